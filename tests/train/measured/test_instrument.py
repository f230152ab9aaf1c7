"""An instrument fitted to a standard: known parameters come back, other samples are refused, a file results."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xrdcommon.errors import FormatError, InputError
from xrdcommon.grid import Grid
from xrdcommon.instrument import Instrument
from xrdcommon.measurement import Measurement
from xrdgen.diffraction.effects import asymmetry, shifts, widths
from xrdgen.diffraction.effects.parameters import PatternParameters
from xrdgen.diffraction.imperfections import Imperfections, parse_effects
from xrdtrain.measured.emission import parse_radiation
from xrdtrain.measured.instrument_file import Samples, laws, report, text_of
from xrdtrain.measured.instrument_fit import InstrumentFit, bragg, fit_instrument
from xrdtrain.measured.line_profile import Profile, axial_tail, line
from xrdtrain.measured.pattern import ReadOptions
from xrdtrain.measured.reading import read_measured
from xrdtrain.measured.standards import standard_of, standards

TUBE = Profile(0.034, -0.021, 0.004, -0.003, 0.003, 0.012, 0.03, 0.02, 0.5)
MONOCHROMATED = Profile(0.02, 0.0, 0.0, 0.0, 4e-4, 0.01, 0.02, 0.01, 0.0)
MOLYBDENUM = Profile(0.01, 0.03, 0.001, 0.0, 0.002, 0.005, 0.02, 0.02, 0.5)


def measured(
    path: Path, profile: Profile, standard: str, radiation: str, low: float, high: float, *, head: str = ""
) -> Path:
    """Write counts of a standard whose lines have random heights."""
    lines = parse_radiation(radiation).wavelengths
    x = np.arange(low, high + 0.01, 0.02)
    random = np.random.default_rng(4)
    y = np.full_like(x, 100.0)
    for d in standard_of(standard).d_spacings(max(lines) / 1.999):
        area = 1600.0 * random.uniform(0.15, 1.0)
        for wavelength, share in zip(lines, (1.0, profile.k_alpha_2), strict=False):
            y += area * share * line(x, float(bragg(np.array([d]), wavelength)[0]), profile)
    counts = random.poisson(y)
    path.write_text(head + "".join(f"{a:.4f} {b}\n" for a, b in zip(x, counts, strict=True)))
    return path


def fit_of(path: Path, standard: str, radiation: str) -> InstrumentFit:
    return fit_instrument(read_measured(path, ReadOptions(radiation=parse_radiation(radiation))), standard_of(standard))


@pytest.mark.parametrize(
    ("profile", "standard", "radiation", "given", "low", "high"),
    [
        (TUBE, "LaB6", "CuKa", "CuKa", 18.0, 140.0),
        (TUBE, "LaB6", "CuKa", "CuKa1", 20.0, 90.0),  # the file names K-alpha 1 alone, K-alpha 2 is there
        (TUBE, "Si", "CuKa", "CuKa", 20.0, 140.0),
        (MONOCHROMATED, "LaB6", "CuKa1", "CuKa1", 20.0, 120.0),
        (MOLYBDENUM, "LaB6", "MoKa", "MoKa", 8.0, 60.0),
    ],
)
def test_known_parameters_come_back(
    profile: Profile, standard: str, radiation: str, given: str, low: float, high: float, tmp_path: Path
) -> None:
    fit = fit_of(measured(tmp_path / "s.xy", profile, standard, radiation, low, high), standard, given)
    theta = np.radians(np.linspace(low + 3.0, high - 3.0, 30) / 2.0)
    assert np.abs(fit.profile.shift(theta) - profile.shift(theta)).max() < 0.002
    fwhm, eta = fit.profile.widths(theta)
    true_fwhm, true_eta = profile.widths(theta)
    np.testing.assert_allclose(fwhm, true_fwhm, rtol=0.04)
    np.testing.assert_allclose(eta, true_eta, atol=0.08)
    assert fit.profile.axial == pytest.approx(profile.axial, abs=0.003)
    assert fit.profile.k_alpha_2 == pytest.approx(profile.k_alpha_2, abs=0.02)
    assert fit.rms_offset < 0.002
    assert fit.misfit < 0.3
    assert fit.step == pytest.approx(0.02)
    assert {"zero_shift", "w", "axial"} <= fit.esd.keys()


def test_a_wavelength_that_no_tube_emits_is_fitted(tmp_path: Path) -> None:
    path = measured(tmp_path / "s.xy", MONOCHROMATED, "LaB6", "0.7000", 5.0, 50.0)
    fit = fit_of(path, "LaB6", "0.7003")
    assert fit.radiation.wavelength == pytest.approx(0.7, abs=2e-5)
    assert "displacement" not in fit.esd


def test_what_is_at_a_limit_has_no_deviation(tmp_path: Path) -> None:
    """Without a tail nothing depends on S/L to first order: its deviation came out a hundred times its interval."""
    symmetric = replace(TUBE, u=0.0, v=0.0, axial=0.0)
    fit = fit_of(measured(tmp_path / "s.xy", symmetric, "LaB6", "CuKa", 20.0, 80.0), "LaB6", "CuKa")
    assert "axial" in fit.at_limits
    assert set(fit.at_limits).isdisjoint(fit.esd)
    assert report(fit)["at_limits"] == list(fit.at_limits)
    for name, deviation in fit.esd.items():
        assert abs(getattr(fit.profile, name) - getattr(symmetric, name)) < 4.0 * deviation


def test_lines_of_something_else_are_refused(tmp_path: Path) -> None:
    silicon = measured(tmp_path / "si.xy", TUBE, "Si", "CuKa", 20.0, 140.0)
    with pytest.raises(InputError, match=r"si.xy: its lines are not those of LaB6.*they are those of Si"):
        fit_of(silicon, "LaB6", "CuKa")
    with pytest.raises(InputError, match=r"si.xy: its lines are not those of Si.*is the wavelength right"):
        fit_of(silicon, "Si", "CoKa")
    short = measured(tmp_path / "short.xy", TUBE, "Si", "CuKa", 20.0, 60.0)
    with pytest.raises(InputError, match=r"short.xy: 3 lines .* at least 5 are needed"):
        fit_of(short, "Si", "CuKa")
    noise = tmp_path / "noise.xy"
    x = np.arange(18.0, 140.0, 0.02)
    noise.write_text("".join(f"{a:.4f} {b}\n" for a, b in zip(x, np.random.default_rng(1).poisson(300, len(x)))))  # noqa: B905
    with pytest.raises(InputError, match="its lines are not those of LaB6"):
        fit_of(noise, "LaB6", "CuKa")


def test_a_real_corundum_is_fitted_and_is_no_other_standard(instrument_files: Path) -> None:
    whole = read_measured(instrument_files / "cpd_corundum.prn", ReadOptions(radiation=parse_radiation("CuKa")))
    part = (whole.two_theta > 20.0) & (whole.two_theta < 80.0)
    pattern = replace(whole, two_theta=whole.two_theta[part], s=whole.s[part], intensity=whole.intensity[part])
    fit = fit_instrument(pattern, standard_of("Al2O3"))
    assert fit.profile.k_alpha_2 == pytest.approx(0.5, abs=0.1)
    assert 0.1 < fit.profile.widths(np.radians(np.array([20.0])))[0][0] < 0.25
    with pytest.raises(InputError, match=r"not those of LaB6.*those of Al2O3"):
        fit_instrument(pattern, standard_of("LaB6"))


def test_first_lines_of_the_certificates() -> None:
    first = {"LaB6": (21.358, 30.385, 37.442), "Si": (28.441, 47.300, 56.120), "CeO2": (28.546, 33.081, 47.484),
             "Al2O3": (25.576, 35.150, 37.777)}  # fmt: skip
    for name, expected in first.items():
        d = standards()[name].d_spacings(1.0)
        np.testing.assert_allclose(bragg(d[:3], 1.5405929), expected, atol=0.003, err_msg=name)
    assert standard_of("660c").name == "LaB6"
    with pytest.raises(InputError, match="give one of LaB6"):
        standard_of("gold")


def test_the_laws_are_those_of_the_generator(tmp_path: Path) -> None:
    """Widths, shifts and tails that the generator makes of the file are those of the fitted profile."""
    fit = fit_of(measured(tmp_path / "s.xy", TUBE, "LaB6", "CuKa", 18.0, 140.0), "LaB6", "CuKa")
    file = tmp_path / "mine.toml"
    file.write_text(text_of(fit, Samples(sizes=(1e8, 2e8), strains=(1e-12, 2e-12)), "s.xy"))
    made = parse_effects(str(file), Imperfections.preset("measured"), Measurement(Grid(), 1.5406))
    law = {name: getattr(made, name) for name in laws(fit, Samples())}
    parameters = PatternParameters(
        crystallite_size=law["crystallite_size"].bounds()[1], microstrain=law["microstrain"].bounds()[0],
        caglioti_u=law["caglioti_u"].first, caglioti_v=law["caglioti_v"].first, caglioti_w=law["caglioti_w"].first,
        thompson_cox_hastings=1.0, sample_lorentzian=1.0, zero_shift=law["zero_shift"].first,
        displacement=fit.profile.displacement,
    )  # fmt: skip
    theta = np.radians(np.linspace(10.0, 65.0, 12))
    ours, theirs = fit.profile.widths(theta), widths.line_shapes(theta, parameters, fit.radiation.wavelength, 1e-6)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-4)
    np.testing.assert_allclose(ours[1], theirs[1], atol=1e-3)
    np.testing.assert_allclose(fit.profile.shift(theta), shifts.shift(theta, parameters), atol=1e-6)
    for two_theta in (8.0, 21.0, 60.0, 120.0):
        shift, weight = axial_tail(two_theta, 0.02, 0.06)
        nodes, shares = asymmetry.asymmetry_nodes(two_theta, 0.06, 0.02)
        assert shift @ weight == pytest.approx(nodes @ shares, rel=0.01)
        assert (shift**2) @ weight == pytest.approx((nodes**2) @ shares, rel=0.05)
    # sizes and strains of samples add to what the instrument has
    ordinary = laws(fit, Samples())
    assert 20.0 < ordinary["crystallite_size"]["low"] < 30.0
    assert ordinary["microstrain"]["low"] == pytest.approx(1e-4 + law["microstrain"].bounds()[0], rel=1e-3)


def test_a_file_says_where_it_holds(tmp_path: Path) -> None:
    fit = fit_of(measured(tmp_path / "s.xy", TUBE, "LaB6", "CuKa", 18.0, 140.0), "LaB6", "CuKa")
    text = text_of(fit, Samples(two_theta=(10.0, 80.0)), 'my "s".xy')
    file = tmp_path / "mine.toml"
    file.write_text(text)
    measured_preset = Imperfections.preset("measured")
    made = parse_effects(str(file), measured_preset, Measurement(Grid(5.0, 90.0, 0.02), 1.5406))
    assert (made.late_start.first, made.early_end.first) == (pytest.approx(5.0), pytest.approx(10.0))
    assert made.k_alpha_2.first == pytest.approx(0.5, abs=0.02)
    assert made.march_r == measured_preset.march_r  # what is not named stays
    whole = parse_effects(str(file), measured_preset, Measurement(Grid(20.0, 70.0, 0.02), 1.5406))
    assert (whole.late_start.first, whole.early_end.first) == (0.0, 0.0)
    with pytest.raises(InputError, match=r"mine.toml: fitted to an instrument of 1.54056 Å.*--wavelength 1.54056"):
        parse_effects(str(file), measured_preset, Measurement(Grid(), 0.7093))
    with pytest.raises(InputError, match="less than a fifth"):
        parse_effects(str(file), measured_preset, Measurement(Grid(79.0, 170.0, 0.02), 1.5406))
    for wrong, said in (
        ("format = 1", "format = 2"), ("first = 10.0", "first = 90.0"), ("step = 0.02", "step = -1"),
        ("step = 0.02", 'step = "x"'),
    ):  # fmt: skip
        assert wrong in text
        file.write_text(text.replace(wrong, said))
        with pytest.raises(FormatError, match=r"mine.toml: \[instrument\]"):
            parse_effects(str(file), measured_preset, Measurement(Grid(), 1.5406))


def test_instruments_round_trip() -> None:
    one = Instrument(1.5406, 10.0, 80.0, 0.02, "LaB6 (SRM 660c)", "s.xy")
    assert Instrument.from_dict(one.to_dict(), "x") == one


def test_command(tmp_path: Path, run_command: Callable[..., Any]) -> None:
    path = measured(tmp_path / "lab6.xy", TUBE, "LaB6", "CuKa", 18.0, 120.0, head="# Cu K-alpha\n")
    out = tmp_path / "mine.toml"
    done = run_command("xrdtrain", "instrument", path, "--standard", "LaB6", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["profile"]["zero_shift"] == pytest.approx(0.034, abs=0.003)
    assert len(found["lines"]) > 10
    values = tomllib.loads(out.read_text())
    assert values["instrument"]["first"] == 18.0
    assert values["zero_shift"]["mean"] == pytest.approx(found["profile"]["zero_shift"], abs=1e-6)
    table = run_command("xrdtrain", "instrument", path, "--standard", "LaB6", "--out", out, "--range", 10, 80)
    assert "lines are off by" in table.stdout
    assert tomllib.loads(out.read_text())["instrument"]["last"] == 80.0
    for arguments, said in (
        (("--standard", "Si", "--out", out), "not those of Si"),
        (("--standard", "LaB6", "--out", tmp_path / "x.json"), ".toml"),
        (("--standard", "LaB6", "--out", path), "both input and output"),
        (("--standard", "LaB6", "--out", out, "--sizes", 5, 2), "--sizes 5 2"),
    ):
        done = run_command("xrdtrain", "instrument", path, *arguments)
        assert done.returncode == 2
        assert said in done.stderr
        assert "Traceback" not in done.stderr
