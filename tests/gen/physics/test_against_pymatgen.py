"""Lines against pymatgen's XRDCalculator with every Wyckoff position of every group occupied."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import truth
from numpy.typing import NDArray
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from xrdcommon.grid import Grid
from xrdcommon.space_groups import N_GROUPS
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.diffraction.simulator import Simulator

SETTINGS = {
    "copper": SimulationSettings(grid=Grid(5.0, 90.0, 0.01)),
    "molybdenum": SimulationSettings(grid=Grid(2.0, 36.0, 0.01), wavelength=0.7093),
}

Lines = tuple[NDArray[np.float64], NDArray[np.float64]]


@pytest.fixture(autouse=True)
def weak_lines_too() -> Iterator[None]:
    """Let pymatgen list lines however weak."""
    with pytest.MonkeyPatch.context() as patch:
        core = "pymatgen.analysis.diffraction.core.AbstractDiffractionPatternCalculator.SCALED_INTENSITY_TOL"
        patch.setattr(core, 1e-9)
        yield


def joined(two_theta: NDArray[np.float64], intensity: NDArray[np.float64]) -> Lines:
    """Merge lines less than 3e-5 degrees apart (pymatgen merges at 1e-5), the strongest 100, none under 1e-6."""
    order = np.argsort(two_theta)
    two_theta, intensity = np.asarray(two_theta)[order], np.asarray(intensity)[order]
    start = np.flatnonzero(np.diff(two_theta, prepend=-1.0) > 3e-5)
    total = np.add.reduceat(intensity, start)
    mean = np.add.reduceat(two_theta * intensity, start) / total
    total = total * 100.0 / total.max()
    return mean[total > 1e-6], total[total > 1e-6]


@pytest.mark.slow
@pytest.mark.parametrize("radiation", SETTINGS)
def test_all_positions_of_all_groups(radiation: str) -> None:
    """Mixed, partial and full sites take turns over the positions, in another order for each radiation."""
    settings = SETTINGS[radiation]
    simulator, calculator = Simulator(settings), XRDCalculator(settings.wavelength)
    limits = (settings.grid.two_theta_min, settings.grid.two_theta_max)
    occupied = 0
    for number in range(1, N_GROUPS + 1):
        rng = np.random.default_rng((number, len(radiation)))
        letters = rng.permutation(truth.n_letters(number)).tolist()
        occupied += len(letters)
        crystal = truth.random_crystal(number, letters, rng, disorder=True, smallest=3.2, largest=4.4)
        peaks = simulator.peaks(crystal)
        pattern = calculator.get_pattern(crystal.to_pymatgen(), two_theta_range=limits)
        angles, intensity = joined(peaks.two_theta, peaks.intensity)
        expected_angles, expected = joined(pattern.x, pattern.y)
        assert len(angles) == len(expected_angles)
        np.testing.assert_allclose(angles, expected_angles, atol=1e-5, rtol=0.0)
        np.testing.assert_allclose(intensity, expected, atol=truth.OF_THE_MAXIMUM, rtol=0.0)
    assert occupied == 1731
