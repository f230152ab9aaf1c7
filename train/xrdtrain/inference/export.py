"""A network as one file that needs no run folder: a bundle, a program of torch.export, or ONNX.

The two programs take patterns on the network's axis (and masks, where it has a channel for them), in float32, transform
them as the network needs, and return calibrated logits. What the network is stands in their metadata.

# B patterns, P points of the axis, C classes
"""

from __future__ import annotations

import importlib.util
import io
import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from xrdcommon.errors import InputError
from xrdcommon.files import check_output, write_bytes

from xrdtrain.inference.bundle import SUFFIX, Bundle, save_bundle
from xrdtrain.inference.features import load_reference
from xrdtrain.inference.load import Run
from xrdtrain.inference.prior import met_in_training
from xrdtrain.inputs.transform import with_channels

SUFFIXES: Final = (SUFFIX, ".pt2", ".onnx")
METADATA: Final = "xrdstream.json"
"""Name of the description inside a .pt2 file; in ONNX it is the property `xrdstream`."""

_TRIED: Final = 3
"""Patterns of the example that a program is traced with."""


class Program(nn.Module):
    """From patterns on the axis to calibrated logits: (B, P)[, (B, P)] -> (B, C)."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.network, self._spec = run.model, run.spec.input
        n_classes = len(run.spec.classes)
        calibration = run.calibration
        scale = 1.0 if calibration is None else 1.0 / calibration.temperature
        bias = np.zeros(n_classes) if calibration is None else calibration.bias
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))
        self.register_buffer("bias", torch.from_numpy(bias.astype(np.float32)))

    def forward(self, pattern: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return logits; the mask is 1 where the pattern was measured, else 0."""
        x = pattern if mask is None else pattern * mask
        return self.network(with_channels(self._spec, x, mask)) * self.scale + self.bias  # type: ignore[no-any-return]


def export(run: Run, out: Path, card: dict[str, Any] | None = None) -> None:
    """Write a network into one file, of the kind that the suffix names.

    Args:
        run: loaded network.
        out: .safetensors (a bundle, see `bundle`), .pt2 (`torch.export.load`) or .onnx.
        card: model card of a bundle, any JSON object.

    Raises:
        InputError: another suffix, a folder, or ONNX without the packages for it.
        DiskFullError: no space.

    """
    if out.suffix not in SUFFIXES:
        raise InputError(f"{out}: cannot export '{out.suffix}'; give one of {', '.join(SUFFIXES)}")
    check_output(out, [run.path] if run.path.is_file() else [])
    run = replace(run, model=run.model.cpu().eval(), device=torch.device("cpu"))
    if out.suffix == SUFFIX:
        config = replace(run.config, source=Path(run.config.source).name, tests={}, init_from=None)
        counts = met_in_training(run.path) if run.counts is None else run.counts
        weights = run.model.state_dict()
        gate = run.gate if run.path.is_file() else load_reference(run.path)
        save_bundle(out, Bundle(run.spec, weights, config, run.samples, run.calibration, counts, gate, card or {}))
        return
    description = json.dumps({"network": run.spec.to_dict(), "model": run.config.model, "samples": run.samples})
    example = torch.rand(_TRIED, run.spec.input.n_points)
    arguments = (example, torch.ones_like(example)) if run.spec.input.has_mask else (example,)
    program = Program(run).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporters about themselves; a test compares the answers
        if out.suffix == ".pt2":
            write_bytes(out, _program(program, arguments, description))
        else:
            write_bytes(out, _onnx(program, arguments, description))


def _shapes(arguments: tuple[Tensor, ...]) -> tuple[dict[int, Any], ...]:
    """Leave the number of patterns open."""
    batch = torch.export.Dim("batch")
    return tuple({0: batch} for _ in arguments)


def _program(program: Program, arguments: tuple[Tensor, ...], description: str) -> bytes:
    """Return the file of torch.export."""
    exported = torch.export.export(program, arguments, dynamic_shapes=_shapes(arguments))
    stream = io.BytesIO()
    torch.export.save(exported, stream, extra_files={METADATA: description})
    return stream.getvalue()


def _onnx(program: Program, arguments: tuple[Tensor, ...], description: str) -> bytes:
    """Return the ONNX model.

    Raises:
        InputError: the packages are not installed.

    """
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"ONNX needs the package {missing[0]}: pip install 'xrdstream[onnx]'")
    import onnx

    converted = torch.onnx.export(
        program,
        arguments,
        input_names=["pattern", "mask"][: len(arguments)],
        output_names=["logits"],
        dynamic_shapes=_shapes(arguments),
        dynamo=True,
        verbose=False,
    )
    if converted is None:
        raise InputError("torch made no ONNX model of this network; export it as .pt2")
    model = converted.model_proto
    onnx.helper.set_model_props(model, {"xrdstream": description})
    content: bytes = model.SerializeToString()
    return content
