"""Checkpoints: whole or not there, read without pickle's code execution, the last two kept."""

from __future__ import annotations

import random
import re
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import torch
from xrdcommon.errors import FormatError
from xrdcommon.files import NO_SPACE, atomic_writer

FORMAT: Final = 1
KEPT = 2

_NAME = re.compile(r"checkpoint-(\d{12})\.pt")


def path_of(folder: Path, samples: int) -> Path:
    """Return the file of the checkpoint after a number of samples."""
    return folder / f"checkpoint-{samples:012d}.pt"


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def save(folder: Path, samples: int, state: dict[str, Any]) -> Path:
    """Write a checkpoint durably, then remove all but the last two.

    Raises:
        DiskFullError: no space; earlier checkpoints stay.

    """
    path = path_of(folder, samples)
    with atomic_writer(path) as stream:
        try:
            torch.save({"format": FORMAT, "samples": samples, **state}, stream)
        except RuntimeError as error:  # torch's own, about positions in the file, hides the full disk
            if isinstance(error.__context__, OSError) and error.__context__.errno in NO_SPACE:
                raise error.__context__ from None
            raise
    for old in checkpoints(folder)[:-KEPT]:
        old.unlink()
    return path


def load(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint.

    Raises:
        FormatError: damaged, or of another version.

    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, UnpicklingError) as error:
        raise FormatError(
            f"{path}: damaged checkpoint ({str(error).splitlines()[0]}); delete it to go on from the one before"
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        found = state.get("format") if isinstance(state, dict) else None
        raise FormatError(f"{path}: checkpoint of format {found}, this version reads {FORMAT}")
    return state


def random_state(device: torch.device) -> dict[str, Any]:
    """Return the state of torch's generators (dropout draws from them)."""
    state: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Put torch's generators back."""
    torch.set_rng_state(state["cpu"].cpu())
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)


def seed_everything(seed: int) -> None:
    """Seed the generators that initial weights and dropout draw from."""
    random.seed(seed)
    torch.manual_seed(seed)
