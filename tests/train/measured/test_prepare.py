"""From a measured pattern to what a network sees: wavelength, background, resampling, range, mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from xrdcommon.errors import InputError
from xrdcommon.grid import Grid
from xrdtrain.measured.background import METHODS, background
from xrdtrain.measured.emission import Radiation
from xrdtrain.measured.lines import find_lines
from xrdtrain.measured.pattern import Axis, MeasuredPattern, ReadOptions, Scan
from xrdtrain.measured.prepare import PrepareOptions, prepare
from xrdtrain.measured.reading import finish
from xrdtrain.measured.resample import measured_points, resample

GRID = Grid(5.0, 90.0, 0.02)
COPPER, MOLYBDENUM = Radiation((1.5406,), "test"), Radiation((0.70930,), "test")
D = np.array([4.255, 3.343, 2.457, 2.282, 1.818, 1.542, 1.375, 1.182])
AREA = np.array([220.0, 1000.0, 80.0, 80.0, 130.0, 90.0, 110.0, 30.0])


def pattern(x: np.ndarray, y: np.ndarray, radiation: Radiation = COPPER) -> MeasuredPattern:
    return finish(Scan(x, y, axis=Axis.TWO_THETA), Path("p.xy"), ReadOptions(radiation=radiation))


def lines_at(wavelength: float, x: np.ndarray, fwhm: float = 0.1) -> np.ndarray:
    """Lines of quartz-like d with areas in 2theta times the polarisation factor, as on a diffractometer."""
    y = np.zeros_like(x)
    for d, area in zip(D, AREA, strict=True):
        centre = 2 * np.degrees(np.arcsin(wavelength / (2 * d)))
        theta = np.radians(centre / 2)
        lorentz_polarisation = (1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
        width = fwhm * np.tan(theta) / np.tan(np.radians(15)) * 0.4247  # the same in d for every wavelength
        y += area * lorentz_polarisation / width * np.exp(-0.5 * ((x - centre) / width) ** 2)
    return y


def test_the_networks_own_grid_is_left_as_it_is(lines: tuple[np.ndarray, np.ndarray]) -> None:
    prepared = prepare(pattern(*lines), GRID, 1.5406)
    np.testing.assert_array_equal(prepared.values, (lines[1] / lines[1].max()).astype(np.float32))
    assert prepared.mask.all()
    assert prepared.remarks == ()


def test_any_wavelength_gives_the_same_lines() -> None:
    copper = prepare(pattern(GRID.two_theta, lines_at(1.5406, GRID.two_theta)), GRID, 1.5406)
    x = np.arange(2.0, 60.0, 0.005)
    molybdenum = prepare(pattern(x, lines_at(0.7093, x), MOLYBDENUM), GRID, 1.5406)
    assert molybdenum.mask.all()
    # heights within 2 %: Lorentz, polarisation and the change of scale are all in it
    np.testing.assert_allclose(molybdenum.values, copper.values, atol=0.02)
    assert "mapped from 0.7093 Å" in " ".join(molybdenum.remarks)


def test_a_finer_measurement_keeps_the_area_of_lines_narrower_than_a_step() -> None:
    x = np.arange(10.0, 80.0, 0.001)
    for centre in (30.0, 30.004, 30.01, 30.0137):
        y = np.exp(-0.5 * ((x - centre) / 0.002) ** 2)
        found = resample(x, y, GRID.two_theta)
        assert found.sum() * GRID.step == pytest.approx(0.002 * np.sqrt(2 * np.pi), rel=1e-3)
        assert np.interp(GRID.two_theta, x, y).sum() * GRID.step != pytest.approx(found.sum() * GRID.step, rel=0.2)


def test_gaps_and_ends_are_masked() -> None:
    x = np.concatenate([np.arange(10.0, 30.0, 0.02), np.arange(40.0, 70.001, 0.02)])
    y = 1000 * np.exp(-(((x - 25) / 0.1) ** 2)) + 500 * np.exp(-(((x - 50) / 0.1) ** 2))
    prepared = prepare(pattern(x, y), GRID, 1.5406, has_mask=True)
    axis = GRID.two_theta
    expected = ((axis > 9.989) & (axis < 29.995)) | ((axis > 39.985) & (axis < 70.011))
    np.testing.assert_array_equal(prepared.mask, expected)
    assert (prepared.values[~expected] == 0).all()
    np.testing.assert_array_equal(prepared.mask, measured_points(prepared.angles, axis))


def test_range_and_zero_shift(lines: tuple[np.ndarray, np.ndarray]) -> None:
    plain = prepare(pattern(*lines), GRID, 1.5406)
    shifted = pattern(lines[0][:-10] + 0.2, lines[1][:-10])
    back = prepare(shifted, GRID, 1.5406, PrepareOptions(zero_shift=0.2))
    np.testing.assert_allclose(back.values[:-11], plain.values[:-11], atol=1e-5)
    cut = prepare(pattern(*lines), GRID, 1.5406, PrepareOptions(two_theta_range=(15.0, 75.0)))
    assert (cut.values[GRID.two_theta < 14.98] == 0).all()
    assert not cut.mask[GRID.two_theta > 75.02].any()
    with pytest.raises(InputError, match="range 50 to 20"):
        PrepareOptions(two_theta_range=(50.0, 20.0))


def test_too_little_overlap_is_refused_with_both_ranges() -> None:
    x = np.arange(5.0, 20.0, 0.02)
    y = 1.0 + 100 * np.exp(-(((x - 15) / 0.1) ** 2))
    with pytest.raises(InputError, match=r"p.xy: measured 5 to 19.98 .* the network needs 5 to 90"):
        prepare(pattern(x, y), GRID, 1.5406, has_mask=True)
    x = np.arange(5.0, 40.0, 0.02)
    half = pattern(x, 100 * np.exp(-(((x - 15) / 0.1) ** 2)))
    with pytest.raises(InputError, match="less than half"):
        prepare(half, GRID, 1.5406)
    assert prepare(half, GRID, 1.5406, has_mask=True).mask.mean() == pytest.approx(0.41, abs=0.01)


def test_without_a_wavelength_nothing_is_assumed(lines: tuple[np.ndarray, np.ndarray]) -> None:
    unknown = finish(Scan(*lines, axis=Axis.TWO_THETA), Path("p.xy"), ReadOptions())
    with pytest.raises(InputError, match=r"p.xy: its wavelength is not known; give --wavelength"):
        prepare(unknown, GRID, 1.5406)


def measured(level: float, counts: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A pattern with counting noise on a sloping background with a hump, and its true net intensity."""
    x = GRID.two_theta
    net = lines_at(1.5406, x, fwhm=0.15)
    net /= net.max()
    base = level * (0.5 + np.exp(-(x - 5) / 12) + 0.6 * np.exp(-(((x - 24) / 6) ** 2)))
    return np.random.default_rng(seed).poisson((net + base) * counts) / counts, net


@pytest.mark.parametrize("level", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("counts", [1e3, 1e5])
def test_background_is_removed_and_the_lines_stay(level: float, counts: float) -> None:
    y, net = measured(level, counts, seed=3)
    prepared = prepare(pattern(GRID.two_theta, y), GRID, 1.5406)
    kept = prepare(pattern(GRID.two_theta, y), GRID, 1.5406, PrepareOptions(background="none"))
    error, before = (np.sqrt(np.mean((item.values - net) ** 2)) for item in (prepared, kept))
    noise = np.sqrt(np.mean((net + level) / counts)) * 3
    assert error < 0.004 + noise
    assert level < 0.1 or error < before / 3
    # lines keep their relative heights
    strong = net > 0.1
    np.testing.assert_allclose(prepared.values[strong], net[strong], atol=0.03 + 5 * noise)


def test_air_scatter_at_the_first_angles_is_background() -> None:
    x = GRID.two_theta
    y, net = measured(0.05, 1e4, seed=5)
    air = 3.0 * np.exp(-(x - 5.0) / 0.8)
    y = y + np.random.default_rng(6).poisson(air * 1e4) / 1e4
    prepared = prepare(pattern(x, y), GRID, 1.5406)
    assert prepared.values.argmax() == net.argmax()
    assert prepared.values[x < 12].max() < 0.08
    strong = net > 0.1
    np.testing.assert_allclose(prepared.values[strong], net[strong], atol=0.06)


def test_background_that_was_removed_already_is_left() -> None:
    y, _ = measured(0.1, 1e4, seed=4)
    clipped = np.maximum(y - background(GRID.two_theta, y, "arpls", Path("p")) - 0.003, 0.0)
    prepared = prepare(pattern(GRID.two_theta, clipped), GRID, 1.5406)
    assert prepared.background is None
    np.testing.assert_allclose(prepared.values, clipped / clipped.max(), atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_takes_a_flat_background_away(method: str) -> None:
    net = lines_at(1.5406, GRID.two_theta)
    net /= net.max()
    y = net + 0.5 + np.random.default_rng(1).normal(0, 0.003, len(net))
    base = background(GRID.two_theta, y, method, Path("p"))
    assert base is not None
    assert np.median(base) == pytest.approx(0.5, abs=0.03)


def test_names_of_methods() -> None:
    with pytest.raises(InputError, match="--background magic: give auto, none or one of"):
        background(GRID.two_theta, GRID.two_theta, "magic", Path("p"))
    assert background(GRID.two_theta, GRID.two_theta, "none", Path("p")) is None


def test_lines_stand_out_of_noise_and_humps_do_not() -> None:
    x, random = GRID.two_theta, np.random.default_rng(7)
    y, _ = measured(0.3, 1e4, seed=8)
    found = find_lines(x, y)
    assert 6 <= len(found) <= 10  # two of the eight hide in the noise
    assert found.signal_to_noise > 20
    strongest = 2 * np.degrees(np.arcsin(1.5406 / (2 * 3.343)))
    assert np.abs(found.positions - strongest).min() < 0.03
    for name, other in {
        "normal": random.normal(100, 10, len(x)),
        "clipped": random.normal(0, 10, len(x)).clip(0),
        "few counts": random.poisson(0.3, len(x)).astype(float),
        "slope": random.poisson(50 + 500 * np.exp(-(x - 5) / 10)).astype(float),
        "hump": random.poisson(100 + 800 * np.exp(-(((x - 22) / 5) ** 2))).astype(float),
    }.items():
        nothing = find_lines(x, other)
        assert len(nothing) <= 1 or nothing.signal_to_noise < 4, name
    clean = find_lines(x, lines_at(1.5406, x))
    assert 5 <= len(clean) <= 8
