"""What a trained network is, for people and as JSON."""

from __future__ import annotations

import textwrap
from typing import Any

from xrdtrain.inference.load import Run

WIDTH = 100


def describe(run: Run) -> dict[str, Any]:
    """Return what is known of a network; angles in degrees 2theta, wavelengths in Å."""
    grid = run.grid
    calibration = run.calibration
    return {
        "model": run.config.model,
        "parameters": sum(parameter.numel() for parameter in run.model.parameters()),
        "samples": run.samples,
        "space_groups": list(run.spec.classes),
        "range": [grid.two_theta_min, grid.two_theta_max],
        "step": grid.step,
        "wavelength": run.measurement.wavelength,
        "channels": [channel.value for channel in run.spec.input.channels],
        "temperature": None if calibration is None else calibration.temperature,
        "card": run.card,
    }


def lines(name: str, content: dict[str, Any]) -> list[str]:
    """Return the lines for the terminal."""
    low, high = content["range"]
    calibrated = "not calibrated" if content["temperature"] is None else f"temperature {content['temperature']:.2f}"
    found = [
        f"{name}: {content['model']}, {content['parameters']:,} parameters, {content['samples']:,} samples in its last "
        "training",
        f"  input: {low:g} to {high:g} degrees 2theta in steps of {content['step']:g}, {content['wavelength']:g} Å, "
        f"channels {', '.join(content['channels'])}; {calibrated}",
        f"  {len(content['space_groups'])} space groups: {', '.join(map(str, content['space_groups']))}",
    ]
    found[2:] = textwrap.wrap(found[2], WIDTH, initial_indent="", subsequent_indent="    ")
    return found + (_card(content["card"]) if content["card"] else [])


def _card(card: dict[str, Any]) -> list[str]:
    """Return the model card, a paragraph an entry."""
    found: list[str] = []
    for key, value in card.items():
        parts = value if isinstance(value, list) else [value]
        found.append(f"  {key.replace('_', ' ')}:")
        for part in parts:
            text = ", ".join(f"{name} {item}" for name, item in part.items()) if isinstance(part, dict) else str(part)
            if key == "commands":  # to be copied as they are
                found.append(f"    {text}")
            else:
                found += textwrap.wrap(text, WIDTH, initial_indent="    ", subsequent_indent="    ")
    return found
