"""How often patterns are called unlike anything trained on: by each gate.

    python tests/benchmarks/bench_gates.py NETWORK SYNTHETIC.zarr [--other NAME=SET.zarr ...] [-n N] [--seed S] [--json]

The gates look at the pattern, at the distance of its features, and for mixtures. NETWORK is a run folder with
`features.npz` (`xrdtrain gate`), a .safetensors file or embedded:measured. SYNTHETIC is a fixed set of synthetic
patterns like those of the training, of which neither the network nor its gate has seen any:
they are the good ones, whose refusals are false. From them are made

    noise       counts without a pattern: white, and with the slope of air scatter
    hump        one or two amorphous humps with counting noise
    mixtures    2, 3 or 4 of the patterns with equal areas times uniform(0.5, 1): comparable shares, a few phases
    neutron     line by line other intensities (log-normal), without the fall of X-ray form factors
    half        the good ones, of which only half the axis is shown (a warning here is no refusal of the crystal)

`--other` adds sets of real or foreign crystals (organics, zeolites). All is drawn from the seed, so that two networks
see the same patterns. Shares of patterns with a doubt, and the mean probability of the first candidate without one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from xrdcommon import console
from xrdcommon.errors import InputError, XrdError
from xrdcommon.fixed_sets.fixed_set import FixedSet
from xrdtrain.inference.answer import FAR, MIXED, Answerer
from xrdtrain.inference.mixtures import blend
from xrdtrain.inference.networks import open_network
from xrdtrain.inference.refusal import doubts
from xrdtrain.measured.emission import Radiation
from xrdtrain.measured.pattern import MeasuredPattern
from xrdtrain.measured.positions import s_of
from xrdtrain.measured.prepare import PreparedPattern, PrepareOptions, prepare

Reals = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: shares of n patterns with a doubt of each gate, of any, and the mean of the first.

    `unusable` patterns were refused before any gate (no intensity left).
    """

    kind: str
    n: int
    unusable: int
    pattern: float
    features: float
    mixture: float
    either: float
    sure: float


def noise(angles: Reals, random: np.random.Generator) -> Reals:
    """Return counts of nothing."""
    level = 10.0 ** random.uniform(1.5, 4.0)
    slope = random.choice([0.0, random.uniform(0.5, 5.0)])
    return random.poisson(level * (1.0 + slope * np.exp(-(angles - angles[0]) / 8.0))).astype(np.float64)


def hump(angles: Reals, random: np.random.Generator) -> Reals:
    """Return counts of a glass."""
    level = 10.0 ** random.uniform(2.0, 4.0)
    y = np.full_like(angles, 0.1)
    for height in (1.0, random.uniform(0.0, 0.5)):
        place, fwhm = random.uniform(15.0, 45.0), random.uniform(5.0, 15.0)
        y += height * np.exp(-4.0 * np.log(2.0) * ((angles - place) / fwhm) ** 2)
    return random.poisson(level * y).astype(np.float64)


def mixture(patterns: Reals, random: np.random.Generator) -> Reals:
    """Return a mixture of patterns drawn from (N, P)."""
    return blend(patterns[random.choice(len(patterns), random.integers(2, 5), replace=False)], random)


def neutron(angles: Reals, pattern: Reals, random: np.random.Generator) -> Reals:
    """Return a pattern with intensities that X-rays would not give: other heights, no fall with the angle."""
    knots = np.arange(angles[0], angles[-1] + 0.5, 0.5)
    factors = np.exp(np.interp(angles, knots, random.normal(0.0, 1.0, len(knots))))
    s = s_of(angles, 1.5406)
    return np.asarray(pattern * factors * np.exp(4.0 * s**2))


def show(patterns: list[tuple[Reals, Reals]], answerer: Answerer, background: str, kind: str) -> Row:
    """Ask both gates about patterns of angles (M,) and intensities (M,)."""
    run = answerer.networks[0]
    radiation = Radiation((run.measurement.wavelength,), "the trial")
    ready: list[PreparedPattern] = []
    unusable = 0
    for angles, intensity in patterns:
        s = s_of(angles, run.measurement.wavelength)
        one = MeasuredPattern(Path(kind), angles, s, intensity, radiation=radiation)
        try:
            ready.append(
                prepare(one, run.grid, run.measurement.wavelength, PrepareOptions(background),
                        has_mask=run.spec.input.has_mask)
            )  # fmt: skip
        except InputError:
            unusable += 1  # counted in the table
    if not ready:
        return Row(kind, len(patterns), unusable, 1.0, 1.0, 1.0, 1.0, 0.0)
    first = np.array([len(doubts(item)) > 0 for item in ready], dtype=np.bool_)
    inputs = np.stack([item.values for item in ready]), np.stack([item.mask for item in ready])
    probability, against = answerer.probabilities([inputs])
    far, mixed = against[FAR], against[MIXED]
    either = first | far | mixed
    sure = probability.max(axis=1)[~either]
    n = len(patterns)
    return Row(
        kind, n, unusable, float(first.sum() + unusable) / n, float(far.sum() + unusable) / n,
        float(mixed.sum() + unusable) / n, float(either.sum() + unusable) / n, float(sure.mean()) if len(sure) else 0.0,
    )  # fmt: skip


def trial(
    answerer: Answerer, synthetic: FixedSet, others: dict[str, FixedSet], n: int, seed: int, skip: int = 0
) -> Iterator[Row]:
    """Yield the lines of the table; the first `skip` synthetic patterns are left out, as those that made the gate."""
    random = np.random.Generator(np.random.Philox(key=seed))
    angles = synthetic.grid.two_theta
    rest = np.arange(skip, len(synthetic))
    if len(rest) < 8:
        raise InputError(f"{len(rest)} synthetic patterns after the first {skip}: at least 8 are needed")
    rows = np.sort(random.choice(rest, min(len(rest), 4 * n), replace=False))
    stored = np.stack([synthetic.patterns(int(row), int(row) + 1)[0] for row in rows]).astype(np.float64)
    good, pool = stored[:n], stored[n:] if len(stored) > n + 4 else stored
    half = len(angles) // 2
    kinds: dict[str, tuple[str, Callable[[int], tuple[Reals, Reals]]]] = {
        "good": ("none", lambda i: (angles, good[i % len(good)])),
        "half": ("none", lambda i: (angles[i % 2 * half :][:half], good[i % len(good)][i % 2 * half :][:half])),
        "noise": ("auto", lambda i: (angles, noise(angles, random))),
        "hump": ("auto", lambda i: (angles, hump(angles, random))),
        "mixtures": ("none", lambda i: (angles, mixture(pool, random))),
        "neutron": ("none", lambda i: (angles, neutron(angles, pool[i % len(pool)], random))),
    }
    for kind, (background, make) in kinds.items():
        yield show([make(i) for i in range(n)], answerer, background, kind)
    for name, data in others.items():
        number = min(len(data), n)
        taken = [(data.grid.two_theta, data.patterns(i, i + 1)[0].astype(np.float64)) for i in range(number)]
        yield show(taken, answerer, "none", name)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network")
    parser.add_argument("synthetic", type=Path)
    parser.add_argument("--other", action="append", default=[], metavar="NAME=SET.zarr")
    parser.add_argument("-n", type=int, default=200)
    parser.add_argument("--skip", type=int, default=0, help="synthetic patterns that made the gate, the first ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    answerer = Answerer([open_network(asked.network)])
    if answerer.references[0] is None:
        console.say(f"{asked.network}: without a gate on features; `xrdtrain gate` makes one")
    others = {name: FixedSet.open(Path(path)) for name, _, path in (text.partition("=") for text in asked.other)}
    found = []
    for row in trial(answerer, FixedSet.open(asked.synthetic), others, asked.n, asked.seed, asked.skip):
        found.append(row)
        if not asked.json:
            console.emit(
                f"{row.kind:12} n {row.n:4}  unusable {row.unusable:3}  pattern {row.pattern:6.1%}  features "
                f"{row.features:6.1%}  mixture {row.mixture:6.1%}  "
                f"any {row.either:6.1%}  first candidate of the others {row.sure:.0%}"
            )
    if asked.json:
        console.emit_json([{name: getattr(row, name) for name in Row.__slots__} for row in found])


if __name__ == "__main__":
    try:
        main()
    except XrdError as error:
        raise SystemExit(f"bench_gates: {error}") from None
