"""Grid plus wavelength."""

from __future__ import annotations

import numpy as np
import pytest
from xrdcommon.errors import FormatError, InputError
from xrdcommon.grid import Grid
from xrdcommon.measurement import Measurement


def test_s_is_that_of_braggs_law() -> None:
    measurement = Measurement(Grid(10.0, 100.0, 0.5), 0.71073)
    d = 1.0 / (2.0 * measurement.s)
    np.testing.assert_allclose(2.0 * d * np.sin(np.radians(measurement.grid.two_theta / 2)), 0.71073, rtol=1e-12)
    np.testing.assert_allclose(measurement.two_theta_of(measurement.s), measurement.grid.two_theta, atol=1e-10)
    # the same lines under another radiation; d = 0.5 Å is out of reach of copper
    copper = Measurement(wavelength=1.5406)
    assert copper.two_theta_of(np.array([1 / (2 * 3.1355), 1.0])) == pytest.approx(
        [28.443, np.nan], abs=1e-3, nan_ok=True
    )


def test_reads_back_and_refuses() -> None:
    measurement = Measurement(Grid(5.0, 90.0, 0.02), 1.54056)
    assert Measurement.from_dict(measurement.to_dict()) == measurement
    for wrong in ({}, {"grid": {}, "wavelength": 1.0}, {"grid": Grid().to_dict(), "wavelength": "copper"}):
        with pytest.raises(FormatError):
            Measurement.from_dict(wrong)
    for wavelength in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="wavelength"):
            Measurement(Grid(), wavelength)


def test_sources_that_do_not_name_a_wavelength_have_the_papers() -> None:
    for simulation in (None, {}, {"size_min": 20.0}):
        assert Measurement.of_simulation(Grid(), simulation).wavelength == 1.5406
    assert Measurement.of_simulation(Grid(), {"wavelength": 0.7}).wavelength == 0.7
    with pytest.raises(FormatError, match="'copper'"):
        Measurement.of_simulation(Grid(), {"wavelength": "copper"})


def test_radiation() -> None:
    copper, other = Measurement(), Measurement(Grid(), 1.54056)
    assert copper.same_radiation(Measurement(Grid(5.0, 50.0, 0.1), 1.5406 + 1e-7))
    assert not copper.same_radiation(other)
    with pytest.raises(InputError, match=r"x.xy: wavelength 1.54056 Å, but the run has 1.5406 Å"):
        other.require_radiation("x.xy", copper, "the run")
