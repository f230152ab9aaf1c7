"""Widths of lines: known values, a true Voigt profile, both forms of the kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import voigt_profile
from xrdgen.diffraction.effects import widths, widths_kernels
from xrdgen.diffraction.effects.parameters import PatternParameters

THETA = np.radians(np.linspace(2.0, 80.0, 60))
Form = Callable[[Any], Callable[..., Any]]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.35, 0.5, 0.8, 1.0])
def test_thompson_cox_hastings_is_close_to_a_voigt_profile(share: float) -> None:
    gaussian, lorentzian = 1.0 - share, share
    fwhm, eta = (
        float(value[0]) for value in widths.thompson_cox_hastings(np.array([gaussian]), np.array([lorentzian]))
    )
    sigma, gamma = gaussian / np.sqrt(8.0 * np.log(2.0)), lorentzian / 2.0
    top = voigt_profile(0.0, sigma, gamma)
    half = brentq(lambda x: float(voigt_profile(x, sigma, gamma)) - top / 2.0, 0.0, 5.0)
    assert fwhm == pytest.approx(2.0 * half, rel=5e-3)
    x = np.linspace(-5.0, 5.0, 2001)
    voigt = voigt_profile(x, sigma, gamma)
    pseudo = eta * voigt_profile(x, 0.0, fwhm / 2.0)
    pseudo += (1.0 - eta) * voigt_profile(x, fwhm / np.sqrt(8.0 * np.log(2.0)), 0.0)
    assert np.abs(pseudo - voigt).max() < 0.014 * voigt.max()


def test_known_values() -> None:
    fwhm, eta = widths.thompson_cox_hastings(np.array([1.0, 2.0, 0.0]), np.array([1.0, 0.0, 3.0]))
    assert fwhm == pytest.approx([1.634643, 2.0, 3.0], rel=1e-6)  # 11.67117^(1/5)
    assert eta == pytest.approx([0.68254, 0.0, 1.0], abs=1e-5)
    at_sixty = np.radians([30.0])  # theta of 2theta = 60 degrees
    assert widths.scherrer_fwhm(at_sixty, 50.0, 1.5406) == pytest.approx([0.1834655], rel=1e-5)
    assert widths.strain_fwhm(at_sixty, 1e-3) == pytest.approx([0.132320], rel=1e-5)
    assert widths.caglioti_fwhm_squared(at_sixty, 0.03, -0.01, 0.02) == pytest.approx([0.0242265], rel=1e-5)


def test_caglioti_is_on_the_two_theta_axis() -> None:
    """W alone is the square of the FWHM in degrees 2theta, at every angle; the authors' code had it in theta."""
    parameters = PatternParameters(caglioti_w=0.01)
    fwhm, eta = widths.line_shapes(THETA, parameters, 1.5406, 0.02)
    assert fwhm == pytest.approx(0.1)
    assert not eta.any()


def test_floor_holds_lines_of_no_width() -> None:
    for by_widths in (0.0, 1.0):
        fwhm, eta = widths.line_shapes(THETA, PatternParameters(thompson_cox_hastings=by_widths), 1.5406, 0.02)
        assert fwhm == pytest.approx(0.02)
        assert not eta.any()


@pytest.mark.parametrize("case", range(12))
def test_kernel_agrees(case: int, form: Form) -> None:
    rng = np.random.default_rng(case)
    parameters = PatternParameters(
        crystallite_size=float(rng.choice([0.0, rng.uniform(5.0, 500.0)])),
        microstrain=float(rng.choice([0.0, rng.uniform(0.0, 0.02)])),
        caglioti_u=rng.uniform(0.0, 0.2),
        caglioti_v=rng.uniform(-0.02, 0.0),
        caglioti_w=rng.uniform(0.0, 0.02),
        thompson_cox_hastings=float(case % 2),
        lorentzian_fraction=rng.random(),
        sample_lorentzian=rng.random(),
    )
    scherrer = widths_kernels.scherrer_at_zero(parameters.crystallite_size, 1.5406, 0.9)
    fwhm, lorentzian = np.empty_like(THETA), np.empty_like(THETA)
    form(widths_kernels.line_shapes)(np.sin(THETA) ** 2, parameters, scherrer, 0.02, fwhm, lorentzian)
    expected = widths.line_shapes(THETA, parameters, 1.5406, 0.02)
    np.testing.assert_allclose(fwhm, expected[0], rtol=1e-10)
    np.testing.assert_allclose(lorentzian, expected[1], rtol=1e-9, atol=1e-12)


def test_fifth_root() -> None:
    for s in np.linspace(1.0, 12.0, 200):
        assert widths_kernels.line_shape.py_func.__globals__["fifth_root"].py_func(s) == pytest.approx(
            s**0.2, rel=2e-12
        )
