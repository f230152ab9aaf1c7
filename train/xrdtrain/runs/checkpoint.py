"""Checkpoints: whole or not there, checked before use, read without pickle's code execution, the last two kept.

A checkpoint is a zip archive whose records carry CRC-32 sums. torch writes them but does not look at them when it
reads, so they are compared here before anything is loaded.
"""

from __future__ import annotations

import random
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import torch
from xrdcommon import console
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
        FormatError: damaged, with weights that are not finite, or of another version.

    """
    _check_sums(path)
    state = _read(path, device, mmap=False)
    wrong = not_finite(state["model"])
    if wrong is not None:
        raise FormatError(f"{path}: weights of '{wrong}' are not finite; the training diverged")
    return state


def newest(folder: Path, device: torch.device) -> tuple[Path, dict[str, Any]] | None:
    """Return the newest checkpoint that can be used and its path, saying which ones cannot; None without any.

    Raises:
        FormatError: there are checkpoints, and none of them can be used.

    """
    error: FormatError | None = None
    for path in reversed(checkpoints(folder)):
        try:
            state = load(path, device)
        except FormatError as fault:
            error = error or fault
            console.say(str(fault))
            continue
        if error is not None:
            console.say(f"taking the checkpoint before, {path}")
        return path, state
    if error is not None:
        raise FormatError(f"{error}; no earlier one can be used either: delete it, or train anew in another folder")
    return None


def counters(path: Path) -> dict[str, Any]:
    """Return the counters of a checkpoint without reading its weights.

    Raises:
        FormatError: damaged, or of another version.

    """
    found = _read(path, torch.device("cpu"), mmap=True).get("counters")
    if not isinstance(found, dict):
        raise FormatError(f"{path}: damaged checkpoint (no counters)")
    return found


def not_finite(weights: Mapping[str, torch.Tensor]) -> str | None:
    """Return the name of the first tensor that has NaN or infinite values, None where all are finite."""
    names = [name for name, value in weights.items() if value.is_floating_point()]
    if not names:
        return None
    finite = torch.stack([torch.isfinite(weights[name]).all() for name in names]).cpu()  # one wait for the device
    return None if bool(finite.all()) else names[int((~finite).nonzero()[0])]


def _check_sums(path: Path) -> None:
    """Compare the sums of all records.

    Raises:
        FormatError: one differs, or it is no archive.

    """
    try:
        with zipfile.ZipFile(path) as archive:
            wrong = archive.testzip()
    except (OSError, EOFError, ValueError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise FormatError(f"{path}: damaged checkpoint ({error})") from error
    if wrong is not None:
        raise FormatError(f"{path}: damaged checkpoint (the checksum of {wrong} differs)")


def _read(path: Path, device: torch.device, *, mmap: bool) -> dict[str, Any]:
    """Read the state.

    Raises:
        FormatError: damaged, or of another version.

    """
    try:
        state = torch.load(path, map_location=device, weights_only=True, mmap=mmap)
    except (OSError, RuntimeError, EOFError, ValueError, LookupError, TypeError, UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise FormatError(f"{path}: damaged checkpoint ({reason})") from error
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
