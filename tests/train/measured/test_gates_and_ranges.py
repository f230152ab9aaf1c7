"""Which patterns the gates refuse, and what a shorter range costs: the tools that measure it, and the gate's floor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from xrdcommon.fixed_sets.fixed_set import FixedSet
from xrdtrain.inference.answer import Answerer
from xrdtrain.inference.load import load_run

from tests.benchmarks.bench_gates import hump, mixture, neutron, noise, trial
from tests.benchmarks.bench_range import window

ANGLES = np.linspace(5.0, 90.0, 4251)


def test_noise_and_glasses_are_refused(trained: tuple[Path, Path]) -> None:
    run, real = trained
    rows = {row.kind: row for row in trial(Answerer([load_run(run)]), FixedSet.open(real), {}, 15, 3)}
    assert rows.keys() == {"good", "half", "noise", "hump", "mixtures", "neutron"}
    assert rows["noise"].pattern > 0.85
    assert rows["hump"].pattern > 0.85
    assert rows["half"].unusable == 15  # a network without a mask needs more than half of its axis
    assert rows["mixtures"].n == 15


def test_what_the_trial_makes() -> None:
    random = np.random.default_rng(2)
    patterns = np.zeros((5, len(ANGLES)))
    for row, place in enumerate((300, 900, 1500, 2100, 2700)):
        patterns[row, place : place + 8 * (row + 1)] = 1.0
    mixed = mixture(patterns, random)
    areas = np.array([(mixed * (patterns[row] > 0)).sum() for row in range(5)])
    assert 2 <= (areas > 0).sum() <= 4
    assert areas[areas > 0].min() > 0.45 * areas.max()  # comparable shares, whatever the areas were
    assert np.array_equal(neutron(ANGLES, patterns[0], random) > 0, patterns[0] > 0)  # the lines stay where they are
    for counts in (noise(ANGLES, random), hump(ANGLES, random)):
        assert np.array_equal(counts, np.round(counts))
        assert counts.min() >= 0


def test_a_window_keeps_its_share() -> None:
    random = np.random.default_rng(1)
    for share in (1.0, 0.5, 0.25):
        part = window(ANGLES, share, random)
        assert part.stop - part.start == round(share * len(ANGLES))
        assert part.start >= 0
        assert part.stop <= len(ANGLES)
