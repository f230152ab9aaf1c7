"""What a network loses where less of its range was measured: accuracy against the share of the axis that is kept.

    python tests/benchmarks/bench_range.py NETWORK [SET.zarr] [--most N] [--seed S] [--plot FIGURE.png] [--json]

NETWORK is a run folder, a .safetensors file or embedded:measured; SET a fixed set with labels, by default the embedded
real test set. Of every pattern one window is kept, whose place is drawn from the seed, and brought to the network as
`xrdtrain predict` does. Patterns of groups that the network does not know are left out.
"""

from __future__ import annotations

import argparse
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from xrdcommon import console
from xrdcommon.errors import InputError, XrdError
from xrdcommon.fixed_sets.fixed_set import FixedSet
from xrdcommon.measurement import Measurement
from xrdcommon.space_groups import merged_group
from xrdtrain.inference.answer import Answerer
from xrdtrain.inference.networks import open_network
from xrdtrain.measured.emission import Radiation
from xrdtrain.measured.pattern import MeasuredPattern
from xrdtrain.measured.positions import s_of
from xrdtrain.measured.prepare import PrepareOptions, prepare

SHARES = 1.0, 0.8, 0.65, 0.5, 0.35, 0.25


def window(angles: np.ndarray, share: float, random: np.random.Generator) -> slice:
    """Return a window of a share of the points (P,), at a random place."""
    width = max(2, round(share * len(angles)))
    first = int(random.integers(0, len(angles) - width + 1))
    return slice(first, first + width)


def accuracy(answerer: Answerer, data: FixedSet, share: float, most: int, seed: int) -> dict[str, Any]:
    """Return top-1 and top-5 over patterns of which a share of the axis is kept; those refused count as wrong."""
    run = answerer.networks[0]
    theirs = Measurement.of_simulation(data.grid, data.attributes.get("simulation"))
    radiation = Radiation((theirs.wavelength,), "the set")
    classes = {merged_group(int(group)) for group in answerer.groups}
    labels = data.samples["space_group"].astype(int)
    rows = [row for row in range(len(data)) if merged_group(int(labels[row])) in classes][:most]
    angles = data.grid.two_theta
    random = np.random.Generator(np.random.Philox(key=seed))
    ready, groups = [], []
    for row in rows:
        part = window(angles, share, random)
        x, y = angles[part], data.patterns(row, row + 1)[0].astype(np.float64)[part]
        one = MeasuredPattern(Path(str(row)), x, s_of(x, theirs.wavelength), y, radiation=radiation)
        try:
            ready.append(
                prepare(one, run.grid, run.measurement.wavelength, PrepareOptions("none"),
                        has_mask=run.spec.input.has_mask)
            )  # fmt: skip
        except InputError:
            continue  # counted as wrong: the network is not asked about so little, or nothing is in the window
        groups.append(merged_group(int(labels[row])))
    ranks = []
    if ready:
        answers = answerer.answer([(np.stack([p.values for p in ready]), np.stack([p.mask for p in ready]))])
        for (candidates, _), wanted in zip(answers, groups, strict=True):
            order = [merged_group(candidate.space_group) for candidate in candidates]
            ranks.append(order.index(wanted) + 1)
    found = np.array(ranks)
    n = max(len(rows), 1)
    return {
        "share": share, "n": len(rows), "refused": len(rows) - len(ready), "top1": float((found == 1).sum()) / n,
        "top5": float((found <= 5).sum()) / n,
    }  # fmt: skip


def plot(points: list[dict[str, Any]], path: Path) -> None:
    """Draw accuracy against the share."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.6), layout="constrained")
    axes: Any = figure.add_subplot()
    shares = [point["share"] for point in points]
    for key, name in (("top1", "top-1"), ("top5", "top-5")):
        axes.plot(shares, [point[key] for point in points], marker="o", label=name)
    axes.set(xlabel="share of the range that was measured", ylabel="accuracy", ylim=(0, 1), xlim=(0, 1.02))
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network")
    embedded = Path(str(files("xrdtrain") / "embedded" / "amcsd-test.zarr"))
    parser.add_argument("set", type=Path, nargs="?", default=embedded)
    parser.add_argument("--most", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    answerer, data = Answerer([open_network(asked.network)]), FixedSet.open(asked.set)
    points = []
    for share in SHARES:
        point = accuracy(answerer, data, share, asked.most, asked.seed)
        points.append(point)
        if not asked.json:
            console.emit(
                f"{share:4.0%} of the range   n {point['n']}   top-1 {point['top1']:.1%}   top-5 {point['top5']:.1%}   "
                f"refused {point['refused']}"
            )
    if asked.plot is not None:
        plot(points, asked.plot)
    if asked.json:
        console.emit_json(points)


if __name__ == "__main__":
    try:
        main()
    except XrdError as error:
        raise SystemExit(f"bench_range: {error}") from None
