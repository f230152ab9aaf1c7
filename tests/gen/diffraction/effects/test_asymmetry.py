"""Axial divergence: lines in place of one against the integral of Finger, Cox and Jephcoat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from xrdgen.diffraction.effects import asymmetry
from xrdgen.diffraction.effects.asymmetry_kernels import asymmetry_nodes

Form = Callable[[Any], Callable[..., Any]]


def nodes(two_theta: float, fwhm: float, a: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    shift, weight = np.zeros(asymmetry.MAX_NODES), np.zeros(asymmetry.MAX_NODES)
    n = asymmetry_nodes(two_theta, float(np.cos(np.radians(two_theta))), fwhm, a, shift, weight)
    return shift[:n], weight[:n]


def weight_in_two_phi(two_phi: float, two_theta: float, a: float) -> float:
    """D of Finger, Cox and Jephcoat (eq. 10) in the angle itself, both slits of half-height a, R = 1."""
    height = np.sqrt((np.cos(two_phi) / np.cos(two_theta)) ** 2 - 1.0)
    return float((2.0 * a - height) / (height * np.cos(two_phi)))


def profile(x: NDArray[np.float64], fwhm: float, lorentzian: bool) -> NDArray[np.float64]:
    return np.asarray(1.0 / (1.0 + 4.0 * (x / fwhm) ** 2) if lorentzian else np.exp(-4.0 * np.log(2) * (x / fwhm) ** 2))


def test_points_and_weights_are_those_of_finger_cox_and_jephcoat() -> None:
    """The mean of 2phi, integrated in the angle as the article writes it (D diverges like a root at 2theta)."""
    two_theta, a = 10.0, 0.02
    angle = np.radians(two_theta)
    least = float(np.arccos(np.cos(angle) * np.sqrt(1.0 + 4.0 * a**2)))

    def moment(power: int) -> float:
        # x = sqrt(2theta - 2phi) takes the root away
        def integrand(x: float) -> float:
            return weight_in_two_phi(angle - x * x, angle, a) * np.degrees(-x * x) ** power * 2.0 * x

        return quad(integrand, 1e-9, np.sqrt(angle - least))[0]

    shift, weight = nodes(two_theta, 0.08, a)
    assert len(shift) > 3
    for power in (1, 2, 3):
        assert weight @ shift**power == pytest.approx(moment(power) / moment(0), rel=2e-3)


@pytest.mark.parametrize("a", [0.005, 0.01, 0.02])
@pytest.mark.parametrize("fwhm", [0.05, 0.085, 0.13])
@pytest.mark.parametrize("two_theta", [7.5, 12.0, 20.0, 40.0, 140.0])
def test_profile_is_right_to_two_percent(a: float, fwhm: float, two_theta: float) -> None:
    points, weights = np.polynomial.legendre.leggauss(300)
    t = (points + 1.0) * a
    fine, factor = asymmetry.tail(two_theta, t)
    share = weights * (2.0 * a - t) * factor
    share /= share.sum()
    x = np.linspace(-1.2, 1.2, 601)
    shift, weight = nodes(two_theta, fwhm, a)
    far = abs(fine).max() / fwhm
    bound = 0.022 if far < 4.5 else 0.06
    for lorentzian in (False, True):
        exact = share @ profile(x - fine[:, None], fwhm, lorentzian)
        ours = weight @ profile(x - shift[:, None], fwhm, lorentzian)
        assert np.abs(ours - exact).max() < bound * exact.max()


def test_tail_points_to_the_beam_below_90_degrees_and_away_above() -> None:
    for two_theta, sign in ((8.0, -1.0), (80.0, -1.0), (100.0, 1.0), (172.0, 1.0)):
        shift, weight = nodes(two_theta, 0.05, 0.02)
        assert (np.sign(shift) == sign).all()
        assert weight.sum() == pytest.approx(1.0)
    assert abs(nodes(80.0, 0.05, 0.02)[0]).max() < 0.01 * abs(nodes(8.0, 0.05, 0.02)[0]).max()


def test_nothing_without_divergence() -> None:
    shift, weight = nodes(8.0, 0.05, 0.0)
    assert (shift.tolist(), weight.tolist()) == ([0.0], [1.0])


@pytest.mark.parametrize("two_theta", [0.5, 2.0, 5.0, 9.0, 33.0, 89.999, 90.0, 130.0, 179.0])
def test_kernel_agrees(two_theta: float, form: Form) -> None:
    shift, weight = np.zeros(asymmetry.MAX_NODES), np.zeros(asymmetry.MAX_NODES)
    n = form(asymmetry_nodes)(two_theta, float(np.cos(np.radians(two_theta))), 0.07, 0.015, shift, weight)
    assert np.isfinite(shift).all()
    assert weight[:n].sum() == pytest.approx(1.0)
    if two_theta == 90.0:
        return  # the tail ends here
    expected_shift, expected_weight = asymmetry.asymmetry_nodes(two_theta, 0.07, 0.015)
    assert n == len(expected_shift)
    # one node: the kernel takes the first order
    tolerance = 1e-9 if n > 1 else 2e-4
    np.testing.assert_allclose(shift[:n], expected_shift, atol=tolerance)
    np.testing.assert_allclose(weight[:n], expected_weight, rtol=1e-9)
