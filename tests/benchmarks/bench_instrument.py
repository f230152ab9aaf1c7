"""What a network answers to files as instruments wrote them, beside their labels: right in the first 1, 5 and 10.

    python tests/benchmarks/bench_instrument.py NETWORK [--folder FOLDER] [--prior P] [--background B] [--json]

NETWORK is a run folder, a .safetensors file or embedded:measured. The folder, by default `data/instrument` in a folder
`shared` above the checkout, has a `labels.csv` with the columns file, space_group (may be empty) and
wavelength_angstrom.
The wavelength is the file's own, else that of the label. Of an enantiomorphic pair either member is right.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass, replace
from pathlib import Path

from xrdcommon import console
from xrdcommon.space_groups import merged_group
from xrdtrain.inference.answer import Answerer
from xrdtrain.inference.networks import open_network
from xrdtrain.inference.options import predict_options
from xrdtrain.inference.predict import Prediction, predict
from xrdtrain.measured.emission import Radiation, parse_radiation

RANKS = 1, 5, 10


def default_folder() -> Path | None:
    """Return the folder of files beside the checkout, None where there is none."""
    for folder in Path(__file__).resolve().parents:
        place = folder / "shared" / "data" / "instrument"
        if (place / "labels.csv").is_file():
            return place
    return None


@dataclass(frozen=True, slots=True)
class Answer:
    """One file: its true space group (None: not known), the prediction, and the rank of the truth (None: not found)."""

    file: str
    group: int | None
    known: bool
    prediction: Prediction

    @property
    def rank(self) -> int | None:
        if self.group is None:
            return None
        wanted = merged_group(self.group)
        found = (i for i, c in enumerate(self.prediction.candidates, 1) if merged_group(c.space_group) == wanted)
        return next(found, None)


def radiation_of(label: str) -> Radiation | None:
    """Return the radiation that a label names ('1.5406', '1.5405 1.5443', 'anode Cu'), None where it names none."""
    words = label.removeprefix("anode").split()
    return parse_radiation(words[0], "the labels") if words else None


def answers(answerer: Answerer, folder: Path, prior: str, background: str) -> list[Answer]:
    """Ask a network about every file of the labels, each with its own wavelength or the label's."""
    with (folder / "labels.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    classes = {merged_group(int(group)) for group in answerer.groups}
    options = predict_options(prior=prior, background=background)
    result = []
    for row in rows:
        said = radiation_of(row["wavelength_angstrom"])
        (one,) = predict(answerer, [folder / row["file"]], options, ask=lambda file, own, said=said: said)
        group = int(row["space_group"]) if row["space_group"].strip() else None
        result.append(Answer(row["file"], group, group is not None and merged_group(group) in classes, one))
    return result


def summary(found: list[Answer]) -> dict[str, int]:
    """Count files that were answered, those with a known group, and how many are right in the first ranks."""
    labelled = [item for item in found if item.group is not None and item.prediction.error is None]
    counts = {
        "files": len(found),
        "answered": sum(item.prediction.error is None for item in found),
        "labelled": len(labelled),
        "outside_classes": sum(not item.known for item in labelled),
    }
    for rank in RANKS:
        counts[f"top{rank}"] = sum(item.rank is not None and item.rank <= rank for item in labelled)
    trusted = [item for item in labelled if not item.prediction.doubts]
    counts["without_doubt"] = len(trusted)
    for rank in RANKS:
        counts[f"top{rank}_without_doubt"] = sum(item.rank is not None and item.rank <= rank for item in trusted)
    return counts


def line(item: Answer) -> str:
    """Return one row of the table."""
    one = item.prediction
    if one.error is not None:
        return f"{item.file:36} {item.group or '-':>4}  refused: {str(one.error).split(': ', 1)[-1][:90]}"
    first = "  ".join(f"{c.label} {c.probability:.0%}" for c in one.candidates[:3])
    rank = "-" if item.group is None else "no class" if not item.known else str(item.rank)
    doubts = f"  ! {'; '.join(one.doubts)}" if one.doubts else ""
    return f"{item.file:36} {item.group or '-':>4}  rank {rank:>8}   {first}{doubts}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network")
    parser.add_argument("--folder", type=Path, default=default_folder())
    parser.add_argument("--prior", default="trained")
    parser.add_argument("--background", default="auto")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if asked.folder is None:
        console.say("no shared/data/instrument above this checkout: nothing to ask; name a --folder")
        return
    found = answers(Answerer([open_network(asked.network)]), asked.folder, asked.prior, asked.background)
    counts = summary(found)
    if asked.json:
        rows = [replace(item.prediction).to_dict(10) | {"label": item.group, "rank": item.rank} for item in found]
        console.emit_json({"summary": counts, "files": rows})
        return
    for item in found:
        console.emit(line(item))
    console.emit(
        f"{counts['labelled']} answered files of known group ({counts['outside_classes']} of no class): right in the "
        f"first 1, 5, 10: {counts['top1']}, {counts['top5']}, {counts['top10']}; {counts['without_doubt']} of them "
        f"without doubt: {counts['top1_without_doubt']}, {counts['top5_without_doubt']}, "
        f"{counts['top10_without_doubt']}"
    )


if __name__ == "__main__":
    main()
