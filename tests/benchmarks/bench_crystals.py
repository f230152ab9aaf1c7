"""CPU time of drawing and verifying a crystal, step by step, on one core.

    python tests/benchmarks/bench_crystals.py [--json] [--quick]

Crystals of the embedded statistics in natural frequencies, in compiled loops over the package's own kernels, so that no
call from Python is timed. All loops run over the same random streams:

    drawn       the first candidate of each stream
    ordered     and soft-sphere ordering of it
    tested      the first candidate and the exact symmetry test of it
    verified    until the space group is confirmed: rejected candidates and questions to spglib included

The exact test is what `tested` takes longer than `drawn`, the ordering what `ordered` does. spglib is timed on the
primitive cells of confirmed crystals, for comparison.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import numba
import numpy as np
from clock import alternate, load_average
from numpy.typing import NDArray
from xrdcommon import console
from xrdcommon.identity import Purpose, SampleIdentity, philox_counter, philox_key
from xrdgen import embedded
from xrdgen.crystals.drawing_kernels import BEGIN, CONFIRMED, NOTHING, QUESTION, Draw, DrawTables, draw_verified
from xrdgen.crystals.generator import N_ATTEMPT_REASONS, CrystalGenerator, GeneratorSettings, empty_arrays, empty_draw
from xrdgen.crystals.ordering_kernels import order_atoms
from xrdgen.crystals.sampler_kernels import GROUP, draw_group, next_candidate
from xrdgen.crystals.symmetry_test_kernels import symmetry_verdict
from xrdgen.crystals.verify import SpglibVerifier
from xrdgen.random_kernels import start_stream
from xrdgen.statistics.model import Statistics

DRAW, ORDER, TEST = range(3)
INDEX = 3
"""The word of a counter that counts crystals."""


@numba.njit(error_model="numpy")
def first_candidates(
    draw: Draw,
    tables: DrawTables,
    rejections: NDArray[np.int64],
    n: int,
    steps: int,
) -> int:
    """Draw the first candidates of n streams and do one step more; return the sum of the verdicts."""
    total = 0
    for _ in range(n):
        start_stream(draw.stream, draw.key, draw.counter)
        draw_group(draw.stream, tables.sampler, draw.progress)
        group = draw.progress[GROUP]
        next_candidate(draw.stream, tables.sampler, draw.progress, draw.crystal, rejections[group - 1])
        if steps == ORDER:
            order_atoms(tables.ordering, tables.sampler, tables.primitive, group, draw.crystal)
        elif steps == TEST:
            total += symmetry_verdict(tables.primitive, tables.cosets, group, draw.crystal, tables.tolerance)
        draw.counter[INDEX] += np.uint64(1)
    return total


@numba.njit(error_model="numpy")
def confirmed_crystals(
    draw: Draw,
    tables: DrawTables,
    rejections: NDArray[np.int64],
    last: int,
) -> int:
    """Draw and verify up to a counter; return early with a question for spglib."""
    while draw.counter[INDEX] < last:
        if draw.dialogue[QUESTION] == NOTHING:
            draw.dialogue[QUESTION] = BEGIN
        outcome = draw_verified(draw, tables, rejections)
        if outcome != CONFIRMED:
            return outcome
        draw.counter[INDEX] += np.uint64(1)
    return CONFIRMED


class Loops:
    """The loops over n streams of one generator."""

    def __init__(self, settings: GeneratorSettings, n: int) -> None:
        self.generator = CrystalGenerator(Statistics.load(embedded.statistics_path()), settings)
        self.n = n
        self._draw = empty_draw(empty_arrays(settings.max_sites))

    def _begin(self) -> None:
        """Go back to the first stream."""
        identity = SampleIdentity(run=3, producer=0, shard=0, index=0)
        self._draw.key[:] = philox_key(identity.run, identity.producer)
        self._draw.counter[:] = philox_counter(identity.shard, identity.index, Purpose.CRYSTAL)
        self._draw.dialogue[QUESTION] = NOTHING

    def candidates(self, steps: int) -> float:
        """CPU seconds a first candidate."""
        self._begin()
        scratch = np.zeros_like(self.generator.rejections)
        begin = time.process_time()
        first_candidates(self._draw, self.generator.draw_tables, scratch, self.n, steps)
        return (time.process_time() - begin) / self.n

    def confirmed(self) -> float:
        """CPU seconds a confirmed crystal."""
        self._begin()
        generator = self.generator
        arguments = (self._draw, generator.draw_tables, generator.rejections)
        last = int(self._draw.counter[INDEX]) + self.n
        begin = time.process_time()
        while (outcome := confirmed_crystals(*arguments, last)) != CONFIRMED:
            generator.answer(outcome, self._draw)
        seconds = (time.process_time() - begin) / self.n
        generator.accepted[0] += self.n  # for the sum below only
        return seconds

    def rejected(self) -> float:
        """Share of the candidates of all confirmed crystals that were rejected."""
        rejected = self.generator.rejections[:, :N_ATTEMPT_REASONS].sum()
        return float(rejected / (rejected + self.generator.accepted.sum()))


def spglib_seconds(n: int) -> float:
    """CPU seconds that spglib takes for a confirmed crystal's primitive cell."""
    generator = CrystalGenerator(Statistics.load(embedded.statistics_path()), GeneratorSettings(recheck=0.0))
    verifier = SpglibVerifier(generator.settings.tolerance)
    arrays = empty_arrays(generator.settings.max_sites)
    seconds = 0.0
    for index in range(n):
        group = generator.draw_into(arrays, SampleIdentity(3, 0, 0, index))
        begin = time.process_time()
        verifier.verify(group, arrays)
        seconds += time.process_time() - begin
    return seconds / n


def measure(*, quick: bool) -> dict[str, Any]:
    """Microseconds a crystal of each step."""
    n = 5_000 if quick else 20_000
    paper = Loops(GeneratorSettings(), n)
    improved = Loops(GeneratorSettings(preset="improved"), n)
    soft = Loops(GeneratorSettings(ordering="soft-spheres"), n)
    loops = {
        "drawn": lambda: paper.candidates(DRAW),
        "tested": lambda: paper.candidates(TEST),
        "ordered": lambda: soft.candidates(ORDER),
        "verified": paper.confirmed,
        "verified, improved": improved.confirmed,
        "verified, ordered": soft.confirmed,
    }
    for loop in loops.values():
        loop()  # compiled and warm
    medians = alternate(loops, 3 if quick else 5)
    figures = {name: 1e6 * seconds for name, seconds in medians.items()}
    figures["exact test"] = figures["tested"] - figures["drawn"]
    figures["ordering"] = figures["ordered"] - figures["drawn"]
    figures["spglib"] = 1e6 * spglib_seconds(200 if quick else 1_000)
    return {
        "crystals": n,
        "microseconds": figures,
        "rejected": {"paper": paper.rejected(), "improved": improved.rejected(), "ordered": soft.rejected()},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quick", action="store_true", help="fewer crystals and rounds")
    arguments = parser.parse_args()
    report = measure(quick=arguments.quick)
    if arguments.json:
        console.emit_json(report)
        return
    console.emit(f"{report['crystals']} crystals, CPU microseconds each, {load_average()}:")
    for name, value in report["microseconds"].items():
        console.emit(f"  {name:<20} {value:9.2f}")
    for name, share in report["rejected"].items():
        console.emit(f"  rejected, {name:<10} {100 * share:9.1f} %")


if __name__ == "__main__":
    sys.exit(main())
