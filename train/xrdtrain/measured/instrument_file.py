"""The file of effects that a fitted instrument becomes: laws for the generator, and what they were fitted to.

law                     from
caglioti_u, _v, _w      U, V, W
crystallite_size        the sizes of samples, their Lorentzian width added to X: 1/L = 1/L_sample + 1/L_X,
                        L_X = K lambda / X
microstrain             the strains of samples with Y / 4 added (X and Y in radians, K = 0.9)
axial_divergence        a
zero_shift              a normal deviate about the zero shift, of its estimated standard deviation, 0.005 degrees at
                        least; the displacement is the sample's own and stays as the preset has it
k_alpha_2               the intensity of K-alpha 2
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from xrdcommon.errors import InputError
from xrdcommon.instrument import TABLE, Instrument

from xrdtrain.measured.instrument_fit import InstrumentFit

SCHERRER = 0.9
LEAST_ZERO_SD = 0.005
"""Degrees; a goniometer that is set up again has another zero."""


@dataclass(frozen=True, slots=True)
class Samples:
    """What will be measured on the instrument.

    Attributes:
        sizes: smallest and largest crystallites, nm.
        strains: smallest and largest microstrain.
        two_theta: first and last angle, degrees; None: those of the standard's measurement.

    """

    sizes: tuple[float, float] = (30.0, 1000.0)
    strains: tuple[float, float] = (1e-4, 4e-3)
    two_theta: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Refuse ranges that are none.

        Raises:
            InputError: not two positive numbers that rise.

        """
        for name, pair in (("sizes", self.sizes), ("strains", self.strains), ("range", self.two_theta)):
            if pair is not None and not (0.0 < pair[0] < pair[1] and all(map(math.isfinite, pair))):
                raise InputError(f"--{name} {pair[0]:g} {pair[1]:g}: give two numbers above 0 that rise")
        if self.two_theta is not None and self.two_theta[1] >= 180.0:
            raise InputError(f"--range {self.two_theta[0]:g} {self.two_theta[1]:g}: must end below 180 degrees")


def instrument_of(fit: InstrumentFit, samples: Samples, file: str) -> Instrument:
    """Return what the file says of the instrument."""
    first, last = samples.two_theta or (fit.first, fit.last)
    return Instrument(fit.radiation.wavelength, max(first, 1e-3), last, fit.step, str(fit.standard), file)


def laws(fit: InstrumentFit, samples: Samples) -> dict[str, Any]:
    """Return the laws by name, as the generator's files have them."""
    profile, wavelength = fit.profile, fit.radiation.wavelength
    lorentzian = math.radians(profile.x) / (SCHERRER * wavelength / 10.0)  # 1 / L_X in 1/nm
    strain = math.radians(profile.y) / 4.0
    sizes = [1.0 / (1.0 / size + lorentzian) for size in samples.sizes]
    zero_sd = max(fit.esd.get("zero_shift", 0.0), LEAST_ZERO_SD)
    return {
        "caglioti_u": profile.u,
        "caglioti_v": profile.v,
        "caglioti_w": profile.w,
        "thompson_cox_hastings": 1.0,
        "crystallite_size": {"law": "log-uniform", "low": sizes[0], "high": sizes[1]},
        "microstrain": {"law": "log-uniform", "low": strain + samples.strains[0], "high": strain + samples.strains[1]},
        "axial_divergence": profile.axial,
        "zero_shift": {
            "law": "normal",
            "mean": profile.zero_shift,
            "sd": zero_sd,
            "low": profile.zero_shift - 4.0 * zero_sd,
            "high": profile.zero_shift + 4.0 * zero_sd,
        },
        "k_alpha_2": profile.k_alpha_2,
    }


def text_of(fit: InstrumentFit, samples: Samples, file: str) -> str:
    """Return the content of the file, TOML."""
    lines = [
        f"# Profile of an instrument, fitted by xrdtrain instrument to {fit.standard}: {len(fit.at)} lines, off by",
        f"# {fit.rms_offset:.4f} degrees (rms), R_wp {fit.misfit:.1%}. For xrdgen produce --preset measured --effects",
        "# FILE; what is not named stays as the preset has it. Units: square degrees, nm, degrees 2theta.",
    ]
    for name, value in laws(fit, samples).items():
        lines.append(f"{name} = {_toml(value)}")
    lines += ["", f"[{TABLE}]"]
    lines += [f"{name} = {_toml(value)}" for name, value in instrument_of(fit, samples, file).to_dict().items()]
    lines += ["", f"[{TABLE}.fit]  # for people"]
    esd = {f"{name}_esd": value for name, value in fit.esd.items()}
    lines += [f"{name} = {_toml(value)}" for name, value in {**asdict(fit.profile), **esd}.items()]
    lines += [f"lines = {_toml(len(fit.at))}", f"rms_offset = {_toml(fit.rms_offset)}", f"r_wp = {_toml(fit.misfit)}"]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """Write a value; numbers keep six digits."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(part)}" for name, part in value.items()) + " }"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        return str(value)
    number = float(np.format_float_positional(value, precision=7, fractional=False)) if value else 0.0
    return repr(number)


def report(fit: InstrumentFit) -> dict[str, Any]:
    """Return the result for JSON."""
    return {
        "standard": str(fit.standard),
        "wavelength": fit.radiation.wavelength,
        "first": fit.first,
        "last": fit.last,
        "step": fit.step,
        "profile": asdict(fit.profile),
        "esd": fit.esd,
        "at_limits": list(fit.at_limits),
        "lines": [{"two_theta": float(at), "offset": float(off)} for at, off in zip(fit.at, fit.offsets, strict=True)],
        "rms_offset": fit.rms_offset,
        "r_wp": fit.misfit,
    }
