"""A finished or running training, loaded to predict with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from xrdcommon import console
from xrdcommon.errors import InputError
from xrdcommon.files import read_json
from xrdcommon.grid import Grid
from xrdcommon.measurement import Measurement

from xrdtrain.inference.bundle import EMBEDDED, is_bundle, network_with, place_of, read_bundle
from xrdtrain.inference.calibration import FILE as CALIBRATION_FILE
from xrdtrain.inference.calibration import Calibration
from xrdtrain.inference.candidates import Candidate, merge_enantiomorphs
from xrdtrain.inference.classifier import CHUNK, rank_logits
from xrdtrain.inference.features import FeatureReference
from xrdtrain.inputs.transform import with_channels
from xrdtrain.labels import Classes
from xrdtrain.measured.emission import Radiation
from xrdtrain.measured.pattern import Axis, ReadOptions, Scan
from xrdtrain.measured.prepare import PrepareOptions, prepare
from xrdtrain.measured.reading import COARSEST, finish
from xrdtrain.models.spec import Network, NetworkSpec
from xrdtrain.runs import checkpoint
from xrdtrain.runs.config import RunConfig, read_config
from xrdtrain.runs.network import read_network


@dataclass(frozen=True)
class Run:
    """A network with all that is needed to use it.

    Attributes:
        path: run folder, or the file of a bundle.
        config: what the run was asked to do.
        model: network in evaluation mode.
        spec: what the network is.
        samples: samples it was trained on.
        device: where it computes.
        calibration: what turns its logits into probabilities that can be trusted; None where it has none.
        counts: (231,) how often each space group was met in training; None: not known, or see the run folder.
        gate: what tells that a pattern is unlike synthetic ones; None: it has none, or see the run folder.
        card: the model card of a bundle.

    """

    path: Path
    config: RunConfig
    model: Network
    spec: NetworkSpec
    samples: int
    device: torch.device
    calibration: Calibration | None = None
    counts: NDArray[np.int64] | None = None
    gate: FeatureReference | None = None
    card: dict[str, Any] | None = None

    @property
    def classes(self) -> Classes:
        """Space groups that the network tells apart."""
        return Classes(self.spec.classes)

    @property
    def measurement(self) -> Measurement:
        """2theta axis and wavelength of the network's input."""
        return self.spec.input.measurement

    @property
    def grid(self) -> Grid:
        """2theta axis of the network's input."""
        return self.measurement.grid

    def logits(
        self, patterns: ArrayLike, mask: ArrayLike | None = None, *, calibrated: bool = True
    ) -> NDArray[np.float32]:
        """Return the logits (n, C), in the order of the classes, of patterns on the network's axis.

        Args:
            patterns: (n, P) intensities in [0, 1], each with a maximum of 1.
            mask: (n, P) True where a pattern was measured; None: everywhere. Elsewhere the pattern counts as 0.
            calibrated: after calibration, where the network has one.

        Raises:
            InputError: another shape.

        """
        values = np.asarray(patterns, dtype=np.float32)
        if values.ndim != 2 or values.shape[1] != self.grid.n_points:
            raise InputError(f"patterns of shape {values.shape}: must be (n, {self.grid.n_points}) for {self.grid}")
        x = torch.from_numpy(values).to(self.device)
        shown = None
        if mask is not None:
            shown = torch.from_numpy(np.asarray(mask, dtype=bool)).to(self.device)
            x = x * shown
        with torch.inference_mode():
            parts = []
            for row in range(0, len(x), CHUNK):
                part = slice(row, row + CHUNK)
                parts.append(
                    self.model(with_channels(self.spec.input, x[part], None if shown is None else shown[part]))
                )
        result: NDArray[np.float32] = torch.cat(parts).float().cpu().numpy()
        if self.calibration is None or not calibrated:
            return result
        return self.calibration(result).astype(np.float32)

    def predict(
        self,
        two_theta: ArrayLike,
        intensity: ArrayLike,
        name: str = "pattern",
        *,
        wavelength: float | None = None,
        background: str = "none",
    ) -> list[Candidate]:
        """Rank the space groups of one pattern.

        Args:
            two_theta: (M,) angles in degrees, rising; they need not be the network's axis.
            intensity: (M,) intensities of any scale.
            name: of the pattern, for messages.
            wavelength: of the pattern, Å; None: the network's own.
            background: what is removed: none, auto or a method (see `measured.background`).

        Returns:
            Candidates, the likeliest first; members of an enantiomorphic pair that are classes are one candidate.

        Raises:
            InputError: not numbers, not rising, or outside the network's axis.

        """
        radiation = Radiation((self.measurement.wavelength if wavelength is None else wavelength,), "the caller")
        x, y = np.asarray(two_theta, dtype=np.float64), np.asarray(intensity, dtype=np.float64)
        if x.ndim != 1 or x.shape != y.shape:
            raise InputError(f"{name}: {x.shape} angles and {y.shape} intensities; need as many of both")
        # a network that learned from coarse steps takes them
        coarsest = max(COARSEST, 2.0 * self.grid.step)
        scan, options = Scan(x, y, axis=Axis.TWO_THETA), ReadOptions(radiation=radiation)
        pattern = finish(scan, Path(name), options, coarsest=coarsest)
        prepared = prepare(
            pattern,
            self.grid,
            self.measurement.wavelength,
            PrepareOptions(background),
            has_mask=self.spec.input.has_mask,
        )
        logits = torch.from_numpy(self.logits(prepared.values[None], prepared.mask[None]))
        top, probability = rank_logits(logits, len(self.spec.classes))
        return merge_enantiomorphs(self.classes.numbers[top[0].numpy()], probability[0].numpy())


def load_run(path: str | Path, device: torch.device | None = None) -> Run:
    """Load a network, built as its own description says: the last sound checkpoint of a run folder, or a bundle.

    Args:
        path: run folder, .safetensors file, or the name of a network of the package (`embedded:pure`).
        device: where it is to compute; CUDA where there is one.

    Raises:
        MissingFileError: no such run.
        InputError: not a run folder, or without a checkpoint yet.
        FormatError: a file of the run is damaged or of another version, or no checkpoint has finite weights.

    """
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if is_bundle(path):
        return _from_bundle(path, device)
    path = Path(path)
    config = read_config(path)
    found = checkpoint.newest(path / "checkpoints", device)
    if found is None:
        raise InputError(f"{path}: no checkpoint yet; train it first (`xrdtrain fit --run {path}`)")
    place, state = found
    spec = network_of(state, place, path)
    model = network_with(spec, state["model"], place).to(device).eval()
    samples = int(state["samples"])
    return Run(path, config, model, spec, samples, device, _calibration(path, spec, samples))


def _from_bundle(name: str | Path, device: torch.device) -> Run:
    """Load a network that is one file."""
    bundle = read_bundle(name)
    path = place_of(str(name)) if str(name).startswith(EMBEDDED) else Path(name)
    model = network_with(bundle.spec, bundle.weights, path).to(device).eval()
    return Run(
        path,
        bundle.config,
        model,
        bundle.spec,
        bundle.samples,
        device,
        bundle.calibration,
        bundle.counts,
        bundle.gate,
        bundle.card,
    )


def _calibration(run: Path, spec: NetworkSpec, samples: int) -> Calibration | None:
    """Return the calibration of a run, unless it was trained on since."""
    place = run / CALIBRATION_FILE
    if not place.is_file():
        return None
    calibration = Calibration.from_dict(read_json(place), len(spec.classes), str(place))
    if calibration.samples not in (None, samples):
        console.say(
            f"{place}: fitted after {calibration.samples:,} samples, the network has {samples:,}: not used; "
            f"`xrdtrain calibrate {run}` fits it again"
        )
        return None
    return calibration


def network_of(state: dict[str, Any], place: Path, run: Path) -> NetworkSpec:
    """Return the network whose weights a checkpoint holds; version 0.1.0 kept it beside the checkpoint alone.

    Raises:
        FormatError: damaged, or of another version.

    """
    if "network" in state:
        return NetworkSpec.from_dict(state["network"], str(place))
    return read_network(run)
