"""Where lines lie: the goniometer's geometry, Bragg's law for every emission line."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from xrdcommon.errors import InputError
from xrdgen.diffraction.effects import emission, emission_kernels, shifts, shifts_kernels
from xrdgen.diffraction.effects.parameters import PatternParameters


@pytest.mark.parametrize("depth", [0.1, -0.1])
@pytest.mark.parametrize("two_theta", [10.0, 40.0, 80.0, 120.0])
def test_displacement_is_that_of_the_goniometer(depth: float, two_theta: float) -> None:
    """The beam of a fixed source hits the surface y = -depth; the diffracted one is found where it crosses R."""
    radius, theta = 200.0, np.radians(two_theta / 2.0)
    incident, diffracted = np.array([np.cos(theta), -np.sin(theta)]), np.array([np.cos(theta), np.sin(theta)])
    source = -radius * incident
    hit = source + incident * (-depth - source[1]) / incident[1]
    path = brentq(lambda s: float(np.linalg.norm(hit + s * diffracted)) - radius, 0.0, 2.0 * radius)
    detector = hit + path * diffracted
    found = np.degrees(np.arctan2(detector[1], detector[0]) - theta)
    parameters = PatternParameters(displacement=shifts.displacement_of(depth, radius))
    assert shifts.shift(np.array([theta]), parameters) == pytest.approx([found], rel=1e-5)


def test_kernels_of_shifts_agree() -> None:
    parameters = PatternParameters(zero_shift=0.03, displacement=-0.08)
    for theta in np.radians([3.0, 30.0, 70.0]):
        expected = shifts.shift(np.array([theta]), parameters)[0]
        assert shifts_kernels.shift.py_func(np.cos(theta), parameters) == pytest.approx(expected, abs=1e-15)
        assert abs(expected) <= shifts_kernels.largest_shift(parameters)
    assert shifts.shift(np.array([0.5]), PatternParameters())[0] == 0.0


def test_doublet_of_copper_is_computed_from_d() -> None:
    """Silicon 111, d = 3.13556 Å (SRM 640): 28.443 degrees with K-alpha 1, 28.514 with K-alpha 2."""
    lines = emission.emission_of(1.5406, doublet=True)
    assert lines[:2] == (1.54056, 1.54439)
    angles = [2.0 * np.degrees(emission.bragg_angles(np.array([3.13556]), wave))[0] for wave in lines[:2]]
    assert angles == pytest.approx([28.4423, 28.5148], abs=2e-3)
    # tan(theta) d lambda / lambda, doubled: the splitting grows with the angle
    for d in (3.0, 1.5, 1.0):
        first, second = (2.0 * np.degrees(emission.bragg_angles(np.array([d]), wave))[0] for wave in lines[:2])
        middle = np.radians((first + second) / 4.0)
        assert second - first == pytest.approx(np.degrees(2 * np.tan(middle) * 0.00383 / 1.542475), rel=1e-3)


def test_lines_beyond_the_limiting_sphere_reflect_nowhere() -> None:
    assert np.isnan(emission.bragg_angles(np.array([0.7]), 1.54)).all()


@pytest.mark.parametrize("tube", emission.tubes().items(), ids=lambda item: item[0])
def test_tubes_are_found_by_wavelength(tube: tuple[str, emission.Tube]) -> None:
    anode, wavelengths = tube
    lines = emission.emission_of(wavelengths.k_alpha_1, doublet=True)
    assert lines[:3] == wavelengths, anode
    # the fine structure of all anodes: K-alpha 2 a little longer, K-beta about a tenth shorter
    assert 1.001 < lines.k_alpha_2 / lines.k_alpha_1 < 1.009
    assert 0.88 < lines.k_beta / lines.k_alpha_1 < 0.92


def test_a_wavelength_of_no_tube_has_no_doublet() -> None:
    assert emission.emission_of(1.2, doublet=False) == (1.2, 0.0, 0.0, 0.0)
    with pytest.raises(InputError, match=r"1\.2 Å: its K-alpha 2 is not known"):
        emission.emission_of(1.2, doublet=True)


def test_kernel_lists_the_lines_that_a_pattern_has() -> None:
    lines = emission.emission_of(1.5406, doublet=True)
    wavelengths, weights = np.zeros(4), np.zeros(4)
    for parameters in (
        PatternParameters(),
        PatternParameters(k_alpha_2=0.5),
        PatternParameters(k_alpha_2=0.5, tungsten=0.01),
        PatternParameters(k_beta=0.02),
        PatternParameters(k_alpha_2=0.4, k_beta=0.02, tungsten=0.01),
    ):
        n = emission_kernels.emission_lines(parameters, lines, wavelengths, weights)
        expected = emission.emission_weights(parameters)
        assert weights[:n].tolist() == expected[expected > 0.0].tolist()
        assert wavelengths[:n].tolist() == np.array(lines)[expected > 0.0].tolist()
