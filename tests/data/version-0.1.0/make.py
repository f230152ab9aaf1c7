"""How the files beside this script were made, with xrdstream 0.1.0 as it was before records could grow.

    python make.py COMMAND_FOLDER     # where that version's xrdgen and xrdtrain are

They stay as they are: what they hold is how that version wrote. The weights and moments of the checkpoint were then
replaced by a repeating sequence, so that its packed form is small; all else in it is as `xrdtrain fit` left it.
"""

from __future__ import annotations

import lzma
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

HERE = Path(__file__).parent
ROWS = 32
SAMPLES = 192


def repeating(value: object) -> object:
    """Replace floating-point tensors of more than one number by 0.01, 0.02, ... 0.07, 0.01, ..."""
    if isinstance(value, dict):
        return {key: repeating(item) for key, item in value.items()}
    if isinstance(value, torch.Tensor) and value.is_floating_point() and value.numel() > 1:
        return ((torch.arange(value.numel()) % 7 + 1) * 0.01).reshape(value.shape).to(value.dtype)
    return value


def main(commands: Path) -> None:
    """Make spool, sets and run."""

    def run(command: str, *arguments: object) -> None:
        subprocess.run([commands / command, *map(str, arguments)], check=True)

    with tempfile.TemporaryDirectory() as folder:
        spool, trained = Path(folder) / "spool", Path(folder) / "run"
        grid = ("--two-theta-min", 10, "--two-theta-max", 40, "--step", 0.03)
        options = ("--samples", 2 * ROWS, "--rows-per-shard", ROWS, "--workers", 0, "--seed", 5, *grid)
        run("xrdgen", "produce", spool, *options, "--space-groups", "2,14,62,148,167,225")
        shutil.copytree(spool, HERE / "spool", ignore=shutil.ignore_patterns("statistics*", "control"))
        run("xrdgen", "convert", HERE / "spool" / "ready" / "main", HERE / "set.zarr")
        run("xrdgen", "convert", HERE / "set.zarr", HERE / "set-tars")
        fit = ("--model", "resnet-10-small", "--test", f"real={HERE / 'set.zarr'}", "--precision", "fp32")
        run("xrdtrain", "fit", HERE / "set.zarr", "--run", trained, *fit, "--batch", 32, "--samples", SAMPLES)
        run("xrdtrain", "evaluate", trained)
        shutil.copytree(
            trained, HERE / "run", ignore=shutil.ignore_patterns("checkpoints", "tensorboard", "ballast", "*.html")
        )
        for file in HERE.glob("run/*.json"):
            file.write_text(file.read_text().replace(f"{HERE}/", ""))
        last = sorted((trained / "checkpoints").glob("*.pt"))[-1]
        state = torch.load(last, weights_only=True)
        state["model"], state["optimiser"] = repeating(state["model"]), repeating(state["optimiser"])
        torch.save(state, Path(folder) / last.name)
        packed = HERE / "run" / "checkpoints" / f"{last.name}.xz"
        packed.parent.mkdir()
        packed.write_bytes(lzma.compress((Path(folder) / last.name).read_bytes(), preset=9))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
