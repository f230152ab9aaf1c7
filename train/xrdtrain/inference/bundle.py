"""A network in one file: safetensors with everything that a run folder is needed for, and a model card.

Weights are float32 tensors named as in the network; what the network is, how it was trained, its calibration, how often
it met each space group and a card for people stand as JSON in the file's metadata. Nothing in it can run code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from xrdcommon.errors import FormatError, MissingFileError
from xrdcommon.files import write_bytes

from xrdtrain.inference.calibration import Calibration
from xrdtrain.inference.features import FeatureReference
from xrdtrain.inference.mixtures import WEIGHTS, MixtureDetector
from xrdtrain.models.spec import Network, NetworkSpec
from xrdtrain.runs import checkpoint
from xrdtrain.runs.config import RunConfig

FORMAT: Final = "xrdstream network 1"
SUFFIX: Final = ".safetensors"
EMBEDDED: Final = "embedded:"
_GATE: Final = "gate:"
_GATE_PARTS: Final = ("means", "whitening")
"""Arrays of the gate on features, stored beside the weights under names that no weight has."""


@dataclass(frozen=True)
class Bundle:
    """Content of the file.

    Attributes:
        spec: what the network is.
        weights: its tensors, on the CPU.
        config: what its run was asked to do, without the places of its files.
        samples: samples it was trained on.
        calibration: None where it has none.
        counts: (231,) how often each space group was met among the last samples of the training; None: not known.
        gate: what tells that a pattern is unlike synthetic ones, or a mixture; None where it has none.
        card: for people: any JSON object.

    """

    spec: NetworkSpec
    weights: dict[str, torch.Tensor]
    config: RunConfig
    samples: int
    calibration: Calibration | None
    counts: NDArray[np.int64] | None
    gate: FeatureReference | None
    card: dict[str, Any]


def _folder() -> Path:
    return Path(str(files("xrdtrain") / "embedded"))


def shipped() -> list[str]:
    """Return the names of the networks that come with the package."""
    return [f"{EMBEDDED}{path.stem}" for path in sorted(_folder().glob(f"*{SUFFIX}"))]


def place_of(name: str) -> Path:
    """Return the file of a network that comes with the package, `embedded:pure` for example.

    Raises:
        MissingFileError: none of that name.

    """
    folder = _folder()
    place = folder / f"{name.removeprefix(EMBEDDED)}{SUFFIX}"
    if place.parent != folder or not place.is_file():
        known = ", ".join(shipped()) or "none"
        raise MissingFileError(
            f"{name}: this package comes without that network (it has {known}); name a run folder of `xrdtrain fit` or "
            "a file of `xrdtrain export` instead"
        )
    return place


def is_bundle(name: str | Path) -> bool:
    """Return whether a name is that of a bundle: an embedded network, or a file with its suffix."""
    return str(name).startswith(EMBEDDED) or Path(name).suffix == SUFFIX


def save_bundle(path: Path, bundle: Bundle) -> None:
    """Write a bundle.

    Raises:
        DiskFullError: no space.

    """
    content = {
        "network": bundle.spec.to_dict(),
        "config": {field.name: getattr(bundle.config, field.name) for field in fields(RunConfig)},
        "samples": bundle.samples,
        "calibration": None if bundle.calibration is None else bundle.calibration.to_dict(),
        "counts": None if bundle.counts is None else bundle.counts.tolist(),
        "gate": None if bundle.gate is None else {"threshold": bundle.gate.threshold, "n": bundle.gate.n},
        "card": bundle.card,
    }
    tensors = {name: value.detach().cpu().contiguous() for name, value in bundle.weights.items()}
    if bundle.gate is not None:
        arrays = {part: getattr(bundle.gate, part) for part in _GATE_PARTS}
        if bundle.gate.mixtures is not None:
            arrays |= bundle.gate.mixtures.to_arrays()
        for part, array in arrays.items():
            tensors[f"{_GATE}{part}"] = torch.from_numpy(np.array(array, order="C"))
    metadata = {"format": FORMAT, "sha256": _sum(tensors)}
    metadata |= {name: json.dumps(value) for name, value in content.items()}
    write_bytes(path, save(tensors, metadata))


def read_bundle(name: str | Path) -> Bundle:
    """Read a bundle.

    Raises:
        MissingFileError: no such file.
        FormatError: not a bundle, damaged, or of another version.

    """
    path = place_of(str(name)) if str(name).startswith(EMBEDDED) else Path(name)
    if not path.is_file():
        raise MissingFileError(f"{path}: no such network; `xrdtrain export RUN --out {path}` writes one")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise FormatError(f"{path}: format {metadata.get('format')!r}, this version reads {FORMAT!r}")
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
            if metadata.get("sha256") != _sum(weights):
                raise FormatError(f"{path}: damaged (the checksum of its weights differs); get it again")
            content = {key: json.loads(value) for key, value in metadata.items() if key not in ("format", "sha256")}
            return _bundle(content, weights, path)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{path}: not a network that this version reads ({error})") from error


def _bundle(content: Mapping[str, Any], weights: dict[str, torch.Tensor], path: Path) -> Bundle:
    """Check and return the content."""
    spec = NetworkSpec.from_dict(content["network"], str(path))
    wrong = checkpoint.not_finite(weights)
    if wrong is not None:
        raise FormatError(f"{path}: weights of '{wrong}' are not finite; the training diverged")
    calibration, gate = content["calibration"], content["gate"]
    if gate is not None:
        arrays = {name.removeprefix(_GATE): t.numpy() for name, t in weights.items() if name.startswith(_GATE)}
        mixtures = MixtureDetector.from_arrays(arrays) if WEIGHTS in arrays else None
        means, whitening = (arrays[part] for part in _GATE_PARTS)
        gate = FeatureReference(means, whitening, float(gate["threshold"]), int(gate["n"]), mixtures)
    weights = {name: value for name, value in weights.items() if not name.startswith(_GATE)}
    known = {field.name for field in fields(RunConfig)}
    return Bundle(
        spec,
        weights,
        RunConfig(**{name: value for name, value in content["config"].items() if name in known}),
        int(content["samples"]),
        None if calibration is None else Calibration.from_dict(calibration, len(spec.classes), str(path)),
        None if content["counts"] is None else np.array(content["counts"], dtype=np.int64),
        gate,
        dict(content["card"]),
    )


def _sum(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of names and values, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tuple(tensors[name].shape)} {tensors[name].dtype}".encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()


def network_with(spec: NetworkSpec, weights: Mapping[str, torch.Tensor], where: Path) -> Network:
    """Build a network and give it its weights.

    Raises:
        FormatError: they do not fit.

    """
    model = spec.build()
    try:
        model.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise FormatError(
            f"{where}: weights do not fit the network ({str(error).splitlines()[0]}); use the xrdstream that trained it"
        ) from error
    return model
