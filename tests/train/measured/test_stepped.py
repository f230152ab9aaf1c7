"""Files of intensities alone below a first angle, a step and a last angle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from xrdcommon.errors import FormatError
from xrdtrain.measured.pattern import ReadOptions
from xrdtrain.measured.reading import read_measured

Write = Callable[[str, str | bytes], Path]
TwoColumns = tuple[np.ndarray, np.ndarray]

UDF = """SampleIdent,Sample5 ,/
Title1,Dat2rit program ,/
Anode,Cu,/
LabdaAlpha1, 1.54060,/
RatioAlpha21, 0.50000,/
DataAngleRange,    5.0000,  90.0000,/
ScanStepSize,    0.020,/
ScanStepTime,    1.00,/
RawScan
"""
CPI = "SIETRONICS XRD SCAN\n5.00\n90.00\n0.02\nCu\n1.54060\n1-1-1992\n1.0\nNaCl\nSCANDATA\n"
RIGAKU = """*TYPE = Raw
*GROUP_COUNT = 2
*WAVE_LENGTH1 = 1.78897
*SCAN_AXIS = 2theta/theta
"""
GROUP = """*BEGIN
*GROUP = {group}
*START = 5.0
*STOP = 90.0
*STEP = 0.02
*COUNT = 4251
"""


def body(values: np.ndarray, columns: int, between: str = " ", form: str = "{:8.1f}") -> str:
    words = [form.format(value) for value in values]
    return "\n".join(between.join(words[i : i + columns]) for i in range(0, len(words), columns)) + "\n"


@pytest.mark.parametrize(
    ("name", "head", "columns", "between", "end", "wavelength"),
    [
        ("fullprof.dat", "! a comment\n  5.000 0.0200 90.000 NaCl sample\n", 10, "", "", None),
        ("dbws.dat", "    5.00    0.02   90.00NaCl CuKa\n", 8, "", "", 1.54056),
        ("lhpm.dat", "NaCl at 300 K\n 5.0 0.02 90.0\n", 8, "", "", None),
        ("start-stop-step.dat", "5.0 90.0 0.02\n", 8, "", "", None),
        ("topas.xdd", "/* NaCl */\n5 0.02 90\n", 10, "", "", None),
        ("monitor.dat", "sample, N18\n 5.000 0.020 90.000 18000000., sample='18'\n", 10, "", "", None),
        ("philips.udf", UDF, 8, ",", "/", 1.54056),
        ("jade.mdi", "07/15/98 DIF NaCl\n 5.000 .0200 1.00 CO 1.78897 90.00 4251\n", 8, "", "", 1.78897),
        ("sietronics.cpi", CPI, 1, "", "", 1.5406),
    ],
)  # fmt: skip
def test_the_three_numbers_are_found_wherever_they_stand(
    name: str,
    head: str,
    columns: int,
    between: str,
    end: str,
    wavelength: float | None,
    lines: TwoColumns,
    write: Write,
) -> None:
    x, y = lines
    pattern = read_measured(write(name, head + body(y, columns, between).rstrip() + end))
    np.testing.assert_allclose(pattern.two_theta, x, atol=1e-9)
    np.testing.assert_allclose(pattern.intensity, y, atol=0.051)
    assert (None if pattern.radiation is None else pattern.wavelength) == (
        None if wavelength is None else pytest.approx(wavelength, abs=1e-4)
    )


def test_groups_of_rigakus_text_are_scans(lines: TwoColumns, write: Write) -> None:
    x, y = lines
    groups = [GROUP.format(group=i) + body(y * (i + 1), 4, ", ", "{:.2f}") + "*END\n" for i in range(2)]
    path = write("two.asc", RIGAKU + "".join(groups) + "*EOF\n")
    first = read_measured(path)
    assert any("holds 2 scans" in remark for remark in first.remarks)
    np.testing.assert_allclose(first.intensity, y, atol=0.01)
    second = read_measured(path, ReadOptions(scan=2))
    np.testing.assert_allclose(second.two_theta, x, atol=1e-9)
    np.testing.assert_allclose(second.intensity, 2 * y, atol=0.01)
    assert second.wavelength == pytest.approx(1.78897)


def test_a_scan_that_was_stopped_is_used_with_a_word(lines: TwoColumns, write: Write) -> None:
    x, y = lines
    pattern = read_measured(write("a.asc", RIGAKU + GROUP.format(group=0) + body(y[:3000], 4, ", ") + "*END\n"))
    np.testing.assert_allclose(pattern.two_theta, x[:3000], atol=1e-9)
    assert any("3000 of 4251" in remark for remark in pattern.remarks)


def test_a_rocking_curve_in_rigakus_text_is_refused(lines: TwoColumns, write: Write) -> None:
    head = RIGAKU.replace("2theta/theta", "Omega") + GROUP.format(group=0)
    with pytest.raises(FormatError, match="rocking curve"):
        read_measured(write("a.asc", head + body(lines[1], 4, ", ") + "*END\n"))


def test_deviations_below_the_intensities_are_deviations(lines: TwoColumns, write: Write) -> None:
    x, y = lines
    esd = np.sqrt(y + 4.0)
    pattern = read_measured(write("a.dat", "  5.0 0.02 90.0\n" + body(y, 10) + body(esd, 10)))
    np.testing.assert_allclose(pattern.two_theta, x, atol=1e-9)
    assert pattern.esd is not None
    np.testing.assert_allclose(pattern.esd, esd, atol=0.051)


def test_three_numbers_above_columns_are_no_limits(lines: TwoColumns, write: Write) -> None:
    x, y = lines
    columns = "".join(f"{a:.2f} {b + 1:.2f}\n" for a, b in zip(x, y, strict=True))
    pattern = read_measured(write("a.xy", "5.0 0.02 90.0 limits of the scan\n" + columns))
    np.testing.assert_allclose(pattern.two_theta, x)
    np.testing.assert_allclose(pattern.intensity, y + 1)


@pytest.mark.parametrize(
    "head",
    [
        "HRPT, NdNi4, N18\nlambda= 1.49400, T= 0.000\n 5.000 0.020 90.000 18000000., sample=\"N18\"\n",
        "D1A5 Title: 1.9114 A  LaNi2Mn3Dx\n Ident: 14113\n1.9114 A LaNi2Mn3Dx 2theta\n"
        " 4251 -1.0 100.018 1 100000.0 0.0\n  5.0000 0.0200 90.0000\n",
    ],
)  # fmt: skip
def test_neutron_diffractometers_are_named(head: str, lines: TwoColumns, write: Write) -> None:
    with pytest.raises(FormatError, match=r"names neutrons \('(HRPT|D1A5)'\)"):
        read_measured(write("a.dat", head + body(lines[1], 10)))
