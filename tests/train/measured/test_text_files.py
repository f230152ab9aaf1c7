"""Text as people export it: separators, decimal commas, headers, axes, orders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from xrdcommon.errors import FormatError, InputError
from xrdtrain.measured.emission import of_wavelengths, parse_radiation
from xrdtrain.measured.formats.words import radiation_in
from xrdtrain.measured.pattern import Axis, ReadOptions
from xrdtrain.measured.reading import read_measured

Write = Callable[[str, str | bytes], Path]
TwoColumns = tuple[np.ndarray, np.ndarray]


def rows(x: np.ndarray, y: np.ndarray, separator: str = " ", decimal: str = ".", digits: int = 2) -> str:
    text = "\n".join(f"{a:.{digits}f}{separator}{b:.2f}" for a, b in zip(x, y, strict=True)) + "\n"
    return text.replace(".", decimal) if decimal == "," else text


@pytest.mark.parametrize(
    ("separator", "decimal"),
    [(" ", "."), ("\t", "."), (",", "."), (", ", "."), (";", "."), ("; ", ","), (";", ","), ("\t", ","), ("   ", ",")],
)
@pytest.mark.parametrize("head", ["", "some title, 3 words\n", "Angle{}Intensity\n", "# anode: Cu\n2Theta{}Counts\n"])
def test_separators(separator: str, decimal: str, head: str, lines: TwoColumns, write: Write) -> None:
    pattern = read_measured(write("a.txt", head.format(separator) + rows(*lines, separator, decimal)))
    np.testing.assert_allclose(pattern.two_theta, lines[0], atol=1e-9)
    np.testing.assert_allclose(pattern.intensity, lines[1], atol=1e-9)


def test_decimal_commas_between_commas_are_refused(lines: TwoColumns, write: Write) -> None:
    with pytest.raises((FormatError, InputError), match=r"a.csv"):
        read_measured(write("a.csv", rows(*lines, ",", ",")))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_encodings_lose_no_point(encoding: str, lines: TwoColumns, write: Write) -> None:
    pattern = read_measured(write("a.xy", rows(*lines).encode(encoding)))
    assert len(pattern) == len(lines[0])


def test_panalytical_csv(lines: TwoColumns, write: Write) -> None:
    head = "[Measurement conditions]\nAnode material,Co\nK-Alpha1 wavelength,1.78901\nScan axis,Gonio\n[Scan points]\n"
    pattern = read_measured(write("a.csv", head + "Angle,TimePerStep,Intensity,ESD\n" + "".join(
        f"{a:.2f},10.0,{b:.2f},{np.sqrt(b) + 1:.3f}\n" for a, b in zip(*lines, strict=True))))  # fmt: skip
    np.testing.assert_allclose(pattern.intensity, lines[1])
    assert pattern.esd is not None
    assert pattern.wavelength == pytest.approx(1.78901)


def test_start_step_and_stop_above_rows_of_intensities(lines: TwoColumns, write: Write) -> None:
    x, y = lines
    body = "\n".join(" ".join(f"{value:.1f}" for value in y[i : i + 10]) for i in range(0, len(y), 10))
    heads = {
        "fullprof.dat": "5.0 0.02 90.0 some sample\n",
        "dbws.dat": "5.0 0.02 90.0\n",
        "rigaku.asc": "*TYPE = Raw\n*START = 5.0\n*STOP = 90.0\n*STEP = 0.02\n*COUNT = 4251\n",
    }
    for name, head in heads.items():
        pattern = read_measured(write(name, head + body + "\n"))
        np.testing.assert_allclose(pattern.two_theta, x, atol=1e-9, err_msg=name)
        np.testing.assert_allclose(pattern.intensity, y, atol=0.051, err_msg=name)


@pytest.mark.parametrize(
    ("axis", "convert", "digits"),
    [
        (Axis.Q, lambda x: 4 * np.pi * np.sin(np.radians(x / 2)) / 1.5406, 6),
        (Axis.Q_NM, lambda x: 40 * np.pi * np.sin(np.radians(x / 2)) / 1.5406, 5),
        (Axis.D, lambda x: 1.5406 / (2 * np.sin(np.radians(x / 2))), 6),
        (Axis.S, lambda x: np.sin(np.radians(x / 2)) / 1.5406, 7),
        (Axis.THETA, lambda x: x / 2, 4),
        (Axis.RADIANS, np.radians, 6),
        (Axis.CENTIDEGREES, lambda x: 100 * x, 1),
    ],
)
def test_other_axes_are_asked_for_and_then_converted(
    axis: Axis, convert: Callable[[np.ndarray], np.ndarray], digits: int, lines: TwoColumns, write: Write
) -> None:
    path = write("a.xy", rows(convert(lines[0]), lines[1], digits=digits))
    if axis is not Axis.THETA and axis is not Axis.Q_NM:  # numbers alone look like 2theta there
        with pytest.raises((FormatError, InputError), match=r"a.xy: .*--axis"):
            read_measured(path)
    radiation = parse_radiation("1.5406")
    pattern = read_measured(path, ReadOptions(axis=axis, radiation=radiation))
    np.testing.assert_allclose(pattern.s, np.sin(np.radians(lines[0] / 2)) / 1.5406, rtol=2e-4)
    np.testing.assert_allclose(pattern.intensity, lines[1])


@pytest.mark.parametrize("head", ["q (1/A), intensity", "# Q[nm^-1]  I", "d-spacing (A);counts", "theta intensity"])
def test_an_axis_that_the_header_names_is_never_taken_for_two_theta(head: str, lines: TwoColumns, write: Write) -> None:
    separator = ";" if ";" in head else "," if "," in head else " "
    x = np.linspace(5.1, 40.0, len(lines[0]))
    try:
        pattern = read_measured(write("a.csv", f"{head}\n" + rows(x, lines[1], separator, digits=4)))
    except FormatError as error:
        assert "--axis" in str(error)  # noqa: PT017 (either answer is right)
    else:
        assert pattern.axis is not Axis.TWO_THETA


def test_orders(lines: TwoColumns, write: Write) -> None:
    x, y = lines
    turned = read_measured(write("down.xy", rows(x[::-1], y[::-1])))
    np.testing.assert_allclose(turned.two_theta, x)
    np.testing.assert_allclose(turned.intensity, y)
    assert "turned round" in turned.remarks[0]
    with pytest.raises(InputError, match="2theta must rise"):
        read_measured(write("mixed.xy", rows(np.roll(x, 1000), np.roll(y, 1000))))
    cumulative = np.cumsum(y + 1.0)
    with pytest.raises(InputError, match="swapped"):
        read_measured(write("swapped.xy", rows(np.sin(x) * 50 + 60, cumulative)))
    counts = y + 3 * np.sin(np.arange(len(y))) + 10
    swapped = write("columns.xy", rows(counts, x))
    with pytest.raises(InputError, match=r"swapped.*--columns 2,1"):
        read_measured(swapped)
    np.testing.assert_allclose(read_measured(swapped, ReadOptions(columns=(2, 1))).two_theta, x)


def test_equal_angles_are_averaged(write: Write) -> None:
    x = np.repeat(np.arange(10.0, 20.0, 0.1), 1)
    x[5] = x[4]
    pattern = read_measured(write("twice.xy", rows(x, np.arange(len(x)) + 1.0)))
    assert len(pattern) == len(x) - 1
    assert pattern.intensity[4] == pytest.approx(5.5)
    assert "averaged" in pattern.remarks[0]


def test_index_column_alone_is_refused(lines: TwoColumns, write: Write) -> None:
    with pytest.raises(FormatError, match="counts the points"):
        read_measured(write("index.csv", rows(np.arange(4251.0), lines[1], ",", digits=0)))


def test_a_last_line_that_is_cut_short_is_left_out_with_a_word(lines: TwoColumns, write: Write) -> None:
    pattern = read_measured(write("cut.xy", rows(*lines) + "90.02"))
    assert len(pattern) == len(lines[0])
    assert "cut short" in pattern.remarks[0]


def test_blocks_of_rows_are_scans(lines: TwoColumns, write: Write) -> None:
    x, y = lines
    path = write("two.txt", f"[Scan 1]\n{rows(x[600:1100], y[600:1100])}[Scan 2]\n{rows(x[1200:1800], y[1200:1800])}")
    assert len(read_measured(path)) == 500
    assert "holds 2 scans" in read_measured(path).remarks[0]
    np.testing.assert_allclose(read_measured(path, ReadOptions(scan=2)).two_theta, x[1200:1800])


@pytest.mark.parametrize(
    ("text", "wavelength"),
    [
        ("# wavelength 0.7093 (Mo K alpha1)", 0.7093),
        ("# wavelength 1.5406 Å, crystallite size 50 nm", 1.5406),
        ("Wavelength = 0.15406 nm", 1.5406),
        ("lambda: 1,5406", 1.5406),
        ("K-Alpha1 [Å] 1.78901", 1.78901),
        ("Radiation: CuKα", 1.540562),
        ("Co K-alpha1 radiation", 1.788965),
        ('Anode: "Mo"', 0.7093),
        ("wavelength 1.5418", 1.540562),
        ("beam energy 20.0 keV", 0.61992),
    ],
)
def test_wavelength_in_words(text: str, wavelength: float) -> None:
    found = radiation_in(text)
    assert found is not None
    assert found.wavelength == pytest.approx(wavelength, abs=1e-5)


@pytest.mark.parametrize("text", ["scan 12 of sample Co3O4", "In situ, 25 C", "5.0 degrees", "time 1.5 s", "Fe2O3"])
def test_words_that_name_no_wavelength(text: str) -> None:
    assert radiation_in(text) is None


def test_the_files_own_wavelength_comes_first(lines: TwoColumns, write: Write) -> None:
    path = write("mo.xy", "# wavelength 0.7093\n" + rows(*lines))
    pattern = read_measured(path, ReadOptions(radiation=parse_radiation("CuKa")))
    assert pattern.wavelength == pytest.approx(0.7093)
    assert "the file's was taken" in pattern.remarks[0]


def test_names_of_radiations() -> None:
    assert parse_radiation("CuKa").wavelengths == pytest.approx((1.540562, 1.544390))
    assert parse_radiation("MoKa1").wavelengths == pytest.approx((0.70930,))
    assert parse_radiation("Ag").wavelength == pytest.approx(0.5594075)
    assert parse_radiation("0.4").wavelengths == (0.4,)
    assert of_wavelengths((0.7107,), "x").anode == "Mo"
    for wrong in ("Xx", "copper", "-1", "0", "154.06", "nan", ""):
        with pytest.raises(InputError, match="wavelength"):
            parse_radiation(wrong)


def test_neutrons_in_a_header_are_refused(lines: TwoColumns, write: Write) -> None:
    with pytest.raises(FormatError, match="neutrons"):
        read_measured(write("n.dat", "# D2B neutron diffraction, lambda 1.594\n" + rows(*lines)))
