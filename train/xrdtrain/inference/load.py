"""A finished or running training, loaded to predict with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn
from xrdcommon.errors import InputError
from xrdcommon.grid import Grid

from xrdtrain.inference.candidates import Candidate, merge_enantiomorphs
from xrdtrain.inference.classifier import Precision, rank_patterns, resolve_precision
from xrdtrain.labels import OUTSIDE, Classes
from xrdtrain.measured.patterns import on_grid
from xrdtrain.models import Preset, build, get_preset
from xrdtrain.runs import checkpoint
from xrdtrain.runs.config import RunConfig, read_config


@dataclass(frozen=True)
class Run:
    """A network with all that is needed to use it.

    Attributes:
        path: run folder.
        config: what the run was asked to do.
        model: network in evaluation mode.
        preset: how its input is transformed.
        classes: space groups it tells apart.
        grid: 2theta grid of its input.
        samples: samples it was trained on.
        device: where it computes.

    """

    path: Path
    config: RunConfig
    model: nn.Module
    preset: Preset
    classes: Classes
    grid: Grid
    samples: int
    device: torch.device

    def predict(self, two_theta: ArrayLike, intensity: ArrayLike, name: str = "pattern") -> list[Candidate]:
        """Rank the space groups of one pattern.

        Args:
            two_theta: (M,) angles in degrees, rising; they need not be the run's grid.
            intensity: (M,) intensities of any scale; background removed if the network was trained without.
            name: of the pattern, for messages.

        Returns:
            Candidates, the likeliest first; members of an enantiomorphic pair that are classes are one candidate.

        Raises:
            InputError: not numbers, not rising, or outside the grid.

        """
        pattern = on_grid(np.asarray(two_theta), np.asarray(intensity), self.grid, name)
        ranking = rank_patterns(
            self.model,
            iter([pattern[None].astype(np.float16)]),
            np.array([OUTSIDE]),
            device=self.device,
            precision=resolve_precision(Precision.FP32, self.device),
            square_root=self.preset.square_root,
            kept=len(self.classes),
        )
        return merge_enantiomorphs(self.classes.numbers[ranking.top[0]], ranking.probability[0])


def load_run(path: str | Path, device: torch.device | None = None) -> Run:
    """Load the last checkpoint of a run.

    Raises:
        MissingFileError: no such run.
        InputError: not a run folder, or without a checkpoint yet.
        FormatError: a file of the run is damaged or of another version.

    """
    path = Path(path)
    config = read_config(path)
    found = checkpoint.checkpoints(path / "checkpoints")
    if not found:
        raise InputError(f"{path}: no checkpoint yet; train it first (`xrdtrain fit --run {path}`)")
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    state = checkpoint.load(found[-1], device)
    preset = get_preset(config.model)
    classes, grid = Classes(config.classes), config.two_theta_grid
    model = build(preset, grid.n_points, len(classes), dropout=config.dropout)
    try:
        model.load_state_dict(state["model"])
    except RuntimeError as error:
        raise InputError(
            f"{found[-1]}: weights do not fit model {config.model} of this version ({str(error).splitlines()[0]}); "
            "use the xrdstream that trained it"
        ) from error
    return Run(path, config, model.to(device).eval(), preset, classes, grid, int(state["samples"]), device)
