"""What is written after every epoch: metrics.jsonl, TensorBoard, one line at the terminal.

# B rows of a batch, C classes, K ranks kept
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from xrdcommon import console
from xrdcommon.errors import DiskFullError
from xrdcommon.fields import SAMPLE_DTYPE, describe, described_dtype, known_fields
from xrdcommon.files import NO_SPACE, write_bytes
from xrdcommon.json_values import json_ready

from xrdtrain.inference.classifier import rank_logits
from xrdtrain.labels import Classes

RECENT = 10_000
"""Fresh samples whose predictions are kept for evaluation/synthetic.npz."""


_Part = tuple[Tensor, Tensor, NDArray[np.void], Tensor | None]
"""Ranked classes (B, K), their probabilities (B, K), records (B,) and float16 logits (B, C) of a batch; checkpoints of
version 0.1.0 have no logits."""


class Fresh:
    """Predictions for samples before they are trained on, from the training's own forward pass.

    Sums stay on the device, so that a step does not wait for them.
    """

    def __init__(self, device: torch.device) -> None:
        self._sums = torch.zeros(4, dtype=torch.float64, device=device)  # n, loss, top-1, top-5
        self._recent: deque[_Part] = deque()
        self._n_recent = 0

    def add(self, logits: Tensor, labels: Tensor, loss_sum: Tensor, samples: NDArray[np.void]) -> None:
        """Take logits (B, C), labels (B,) and the summed cross-entropy of a batch."""
        with torch.no_grad():
            top, probability = rank_logits(logits)
            right = top == labels.unsqueeze(1)
            self._sums[0] += len(labels)
            self._sums[1] += loss_sum
            self._sums[2] += right[:, 0].sum()
            self._sums[3] += right[:, :5].sum()
        self._recent.append((top.to(torch.int16), probability, samples, logits.detach().half()))
        self._n_recent += len(samples)
        while self._n_recent - len(self._recent[0][2]) >= RECENT:
            self._n_recent -= len(self._recent.popleft()[2])

    def sums(self) -> Tensor:
        """Return samples, loss, top-1 and top-5 summed since the last call, on the CPU."""
        sums = self._sums.cpu().clone()
        self._sums.zero_()
        return sums

    def peek(self) -> Tensor:
        """Return the sums so far without starting anew."""
        return self._sums.cpu()

    def recent(self, classes: Classes) -> dict[str, NDArray[Any]]:
        """Return the arrays of evaluation/synthetic.npz for the last samples."""
        tops = [part[0].cpu().numpy() for part in self._recent]
        probabilities = [part[1].float().cpu().numpy() for part in self._recent]
        samples = np.concatenate([part[2] for part in self._recent])[-RECENT:]
        arrays = {
            "labels": samples["space_group"].astype(np.int16),
            "classes": classes.numbers,
            "top": classes.numbers[np.concatenate(tops)[-RECENT:]],
            "top_probability": np.concatenate(probabilities)[-RECENT:].astype(np.float32),
            "samples": samples,
        }
        logits = [part[3].cpu().numpy() for part in self._recent if part[3] is not None]
        if len(logits) == len(self._recent):
            arrays["logits"] = np.concatenate(logits)[-RECENT:]
        return arrays

    def state(self) -> dict[str, Any]:
        """Return the sums and the recent predictions as tensors, for a checkpoint."""
        parts = [
            (top.cpu(), probability.cpu(), torch.from_numpy(samples.view(np.uint8).reshape(len(samples), -1)), logits)
            for top, probability, samples, logits in self._recent
        ]
        recent = [[*part[:3], *([] if part[3] is None else [part[3].cpu()])] for part in parts]
        return {"sums": self._sums.cpu(), "recent": recent, "fields": describe(SAMPLE_DTYPE)}

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned, here or in another version; what that one did not record has its default."""
        dtype = described_dtype(state.get("fields"))
        self._sums.copy_(state["sums"])
        self._recent.clear()
        for top, probability, raw, *rest in state["recent"]:
            samples = np.ascontiguousarray(raw.cpu().numpy()).view(dtype).reshape(-1)
            self._recent.append((top, probability, known_fields(samples), rest[0] if rest else None))
        self._n_recent = sum(len(part[2]) for part in self._recent)


class _ToldOnce:
    """Hook of threads: an error of TensorBoard's thread is raised again at the next flush, and told there."""

    def __init__(self, before: Callable[[threading.ExceptHookArgs], Any]) -> None:
        self._before = before

    def __call__(self, error: threading.ExceptHookArgs) -> None:
        """Pass on all but those."""
        if not (isinstance(error.exc_value, OSError) and type(error.thread).__module__.startswith("tensorboard.")):
            self._before(error)


@contextmanager
def _room_in(run: Path) -> Iterator[None]:
    """Name the run folder where there is no space left in it.

    Raises:
        DiskFullError: no space or quota.

    """
    try:
        yield
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        raise DiskFullError(
            f"{run}: no space left on the device or quota reached; free some, the same command goes on from the last "
            "checkpoint"
        ) from error


class Journal:
    """Writes a record of every epoch; rank 0 alone has one."""

    def __init__(self, run: Path, samples: int) -> None:
        """Open the files of a run, cutting off what was written after the checkpoint at `samples`."""
        # TensorBoard takes a second to import
        from torch.utils.tensorboard import SummaryWriter

        self._run = run
        self._path = run / "metrics.jsonl"
        self._hook_before = threading.excepthook
        threading.excepthook = self._hook = _ToldOnce(self._hook_before)
        with _room_in(run):
            if self._path.exists():
                self.keep_until(samples)
            self._board = SummaryWriter(str(run / "tensorboard"), purge_step=samples + 1 if samples else None)

    def keep_until(self, samples: int) -> None:
        """Drop records of epochs that will be trained again, and a line cut short."""
        kept = []
        for line in self._path.read_text().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                break
            if record["samples"] <= samples:
                kept.append(line + "\n")
        write_bytes(self._path, "".join(kept).encode())

    def write(self, record: dict[str, Any]) -> None:
        """Append a record (keys in the design of the run folder), draw it and say it.

        Raises:
            DiskFullError: no space left.

        """
        with _room_in(self._run):
            self._append(record)
        console.say(summary(record))

    def _append(self, record: dict[str, Any]) -> None:
        """Write a record into both files."""
        clean = json.dumps(json_ready(record), allow_nan=False)
        with self._path.open("a") as stream:
            stream.write(clean + "\n")
        step = int(record["samples"])
        names = ("loss", "top1", "top5", "gap", "learning_rate", "samples_per_second", "wait_fraction")
        for name in (*names, "backlog_samples", "backlog_shards"):
            if record.get(name) is not None:
                self._board.add_scalar(f"training/{name}", record[name], step)
        for test, values in record["tests"].items():
            for name, value in values.items():
                self._board.add_scalar(f"{test}/{name}", value, step)
        self._board.flush()

    def close(self) -> None:
        """Close TensorBoard's file, and give the threads' hook back."""
        try:
            with _room_in(self._run):
                self._board.close()
        finally:
            if threading.excepthook is self._hook:
                threading.excepthook = self._hook_before


def summary(record: dict[str, Any]) -> str:
    """Return the line of an epoch at the terminal."""
    parts = [
        f"epoch {record['epoch']:3d}  {record['samples']:>9,} samples",
        f"loss {record['loss']:.3f}",
        f"fresh top-1 {record['top1']:.1%} top-5 {record['top5']:.1%}",
    ]
    parts += [f"{name} top-1 {test['top1']:.1%} top-5 {test['top5']:.1%}" for name, test in record["tests"].items()]
    parts += [f"{record['samples_per_second']:,.0f}/s", f"waiting {record['wait_fraction']:.1%}"]
    if record["backlog_samples"] is not None:
        parts.append(f"spool {record['backlog_samples']:,}")
    return "  ".join(parts)
