"""What a run folder holds, read and checked for the report."""

# N evaluated diffractograms, K ranked candidates kept of each, C classes.

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import FormatError, InputError, MissingFileError
from xrdcommon.fields import known_fields
from xrdcommon.files import read_json
from xrdcommon.fixed_sets.format import decode_ids
from xrdcommon.space_groups import N_GROUPS

OWN: Final = {"synthetic": "fresh synthetic", "training": "training set"}
"""Evaluations on the data trained on, each predicted before it was trained on: files and what they are called."""

_ARRAYS = ("labels", "classes", "top", "top_probability", "samples")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Ranked predictions for one set.

    Attributes:
        name: of the set, for people.
        labels: (N,) true space groups.
        classes: (C,) space groups that the network knows.
        top: (N, K) candidates, best first.
        probability: (N, K) of the candidates.
        samples: (N,) records of `SAMPLE_DTYPE`.
        ids: N names, or none (synthetic).
        loss: (N,) cross-entropy in nats, NaN where the group is not a class; None where it was not kept.
        gradient_norm: (N,) of the loss of each, where it was measured.

    """

    name: str
    labels: NDArray[np.int64]
    classes: NDArray[np.int64]
    top: NDArray[np.int64]
    probability: NDArray[np.float64]
    samples: NDArray[Any]
    ids: list[str] | None
    loss: NDArray[np.float64] | None = None
    gradient_norm: NDArray[np.float64] | None = None

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Return which rows (N,) have a space group that is a class."""
        return np.isin(self.labels, self.classes)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Return which rows (N,) have the true group as first candidate."""
        result: NDArray[np.bool_] = self.top[:, 0] == self.labels
        return result


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run as far as it has come; what is not there yet is empty."""

    path: Path
    config: dict[str, Any]
    metrics: list[dict[str, Any]]
    evaluations: dict[str, Evaluation]

    @property
    def tests(self) -> dict[str, Evaluation]:
        """Evaluations on test sets."""
        return {name: item for name, item in self.evaluations.items() if name not in OWN}

    @property
    def trained_on(self) -> Evaluation | None:
        """Evaluation on the data trained on: fresh synthetic diffractograms, or a fixed set."""
        return next((self.evaluations[name] for name in OWN if name in self.evaluations), None)

    @property
    def is_fixed(self) -> bool:
        """Return whether the network was trained on a fixed set, whose diffractograms repeat."""
        origin = self.config.get("origin")
        return "training" in self.evaluations or (isinstance(origin, dict) and origin.get("kind") == "fixed set")


def read_run(path: Path) -> RunFolder:
    """Read a run folder.

    Raises:
        MissingFileError: no such folder.
        InputError: the folder is no run.
        FormatError: one of its files is damaged.

    """
    if not path.exists():
        raise MissingFileError(f"{path}: no such run folder; `xrdtrain fit` makes one")
    if not (path / "config.json").is_file():
        raise InputError(f"{path}: not a run folder (no config.json); name a folder made by `xrdtrain fit`")
    config = read_json(path / "config.json")
    if not isinstance(config, dict):
        raise FormatError(f"{path / 'config.json'}: not a JSON object; is this a run folder of `xrdtrain fit`?")
    files = sorted((path / "evaluation").glob("*.npz"))
    return RunFolder(
        path=path,
        config=config,
        metrics=read_metrics(path / "metrics.jsonl"),
        evaluations={file.stem: read_evaluation(file) for file in files},
    )


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a metrics file, none where there is no file.

    A last line cut short by a kill is left out. Lines replayed after a resume replace the older ones.

    Raises:
        FormatError: another line is not JSON.

    """
    if not path.exists():
        return []
    lines = path.read_text().splitlines()
    rows: dict[int, dict[str, Any]] = {}
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            if number == len(lines):
                break
            raise FormatError(f"{path}, line {number}: not JSON ({error})") from error
        if not isinstance(row, dict) or "samples" not in row:
            raise FormatError(f"{path}, line {number}: no 'samples'; not a metrics file of `xrdtrain fit`")
        samples = int(row["samples"])
        rows = {key: value for key, value in rows.items() if key < samples}
        rows[samples] = row
    return list(rows.values())


def read_evaluation(path: Path) -> Evaluation:
    """Read the predictions of one set.

    Raises:
        FormatError: an array is missing, or they do not fit together.

    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            missing = [name for name in _ARRAYS if name not in archive]
            if missing:
                raise FormatError(f"{path}: no array {missing[0]!r}; run `xrdtrain evaluate` again")
            content = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{path}: cannot be read ({error}); run `xrdtrain evaluate` again") from error
    n = len(content["labels"])
    shapes = (content["top"].shape, content["top_probability"].shape, content["samples"].shape)
    if shapes[0] != shapes[1] or len(shapes[0]) != 2 or shapes[0][0] != n or shapes[2] != (n,) or shapes[0][1] < 1:
        raise FormatError(f"{path}: {n} labels, arrays of {shapes}: do not fit; run `xrdtrain evaluate` again")
    try:
        samples = known_fields(content["samples"])
    except FormatError as error:
        raise FormatError(f"{path}: records of another version ({error}); run `xrdtrain evaluate` again") from error
    known = np.isin(content["top"], content["classes"]).all() and n > 0
    if not known or content["labels"].min() < 1 or content["labels"].max() > N_GROUPS:
        raise FormatError(f"{path}: labels or candidates are not space groups of the run; evaluate again")
    return Evaluation(
        name=OWN.get(path.stem, path.stem),
        labels=content["labels"].astype(np.int64),
        classes=np.sort(content["classes"].astype(np.int64)),
        top=content["top"].astype(np.int64),
        probability=content["top_probability"].astype(np.float64),
        samples=samples,
        ids=decode_ids(content["ids"]) if "ids" in content and content["ids"].shape == (n, 64) else None,
        loss=_loss(content, n),
        gradient_norm=_one_each(content, "gradient_norm", n),
    )


def _one_each(content: dict[str, NDArray[Any]], name: str, n: int) -> NDArray[np.float64] | None:
    """Return an array of one number a row, None where there is none."""
    return content[name].astype(np.float64) if name in content and content[name].shape == (n,) else None


def _loss(content: dict[str, NDArray[Any]], n: int) -> NDArray[np.float64] | None:
    """Return the cross-entropy of every row: as kept, else from the logits of all classes, where they were kept."""
    kept = _one_each(content, "loss", n)
    classes = content["classes"].astype(np.int64)
    if kept is not None or "logits" not in content or content["logits"].shape != (n, len(classes)):
        return kept
    return cross_entropy(content["logits"], classes, content["labels"].astype(np.int64))


def cross_entropy(
    logits: NDArray[np.floating[Any]], classes: NDArray[np.int64], labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the loss (N,) in nats of logits (N, C) of classes (C,); NaN where the label (N,) is none of them."""
    order = np.argsort(classes)
    column = order[np.minimum(np.searchsorted(classes, labels, sorter=order), len(classes) - 1)]
    values = logits.astype(np.float64)
    highest = values.max(axis=1)
    total = highest + np.log(np.exp(values - highest[:, None]).sum(axis=1))
    return np.where(classes[column] == labels, total - values[np.arange(len(labels)), column], np.nan)
