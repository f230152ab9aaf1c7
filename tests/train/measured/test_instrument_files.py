"""Files as instruments wrote them: points, range and wavelength beside the labels; refusals with their reason."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from xrdcommon.errors import FormatError
from xrdtrain.measured.reading import read_measured

READ = (
    "cpd_corundum.prn", "cpd_fluorite.prn", "cpd_zincite.prn", "cpd_cpd-1b.prn", "cpd_cpd-2.prn", "datalab_TiO2.raw",
    "rietx_rigaku_nims.ras", "rigaku_a.rasx", "rigaku_b.rasx", "panalytical_a.xrdml", "panalytical_b.xrdml",
    "xylib_BT86.raw", "xylib_BT86_.UXD", "rietx_FAP.XRA", "pxrdnet_wh5012phaseIIsup2.cif", "pxrdnet_sq1033Isup2.cif",
    "crystalyze_Lu_O_F_raw.xy", "autoanalyzer_MnO.xy", "decifer_Fe2O3_AFS012d_a850C.xy", "matterviz_YBCO.brml",
    "xylib_format1.raw", "gsas_KGA1-CONT.RAW", "labpdfproc_zro2_mo.xy", "datalab_example_evadiffract.xy",
)  # fmt: skip
# wavelength of K-alpha 1 that the file, or the parameter file beside it, says
SAID = {
    "datalab_TiO2.raw": 1.5406, "rietx_rigaku_nims.ras": 1.540593, "rigaku_a.rasx": 1.540593,
    "rigaku_b.rasx": 1.540593, "panalytical_a.xrdml": 1.540598, "panalytical_b.xrdml": 1.540598,
    "xylib_BT86.raw": 1.5406, "xylib_BT86_.UXD": 1.5406, "rietx_FAP.XRA": 1.5405, "matterviz_YBCO.brml": 1.5406,
    "xylib_format1.raw": 1.5406, "gsas_KGA1-CONT.RAW": 1.5406, "pyxrd_brk_raw2.raw": 1.5406,
    "datalab_example_evadiffract.xy": 1.540562, "pxrdnet_wh5012phaseIIsup2.cif": 0.7093,
    "pxrdnet_sq1033Isup2.cif": 1.540562,
}  # fmt: skip
REFUSED = {"xrdpattern_stoe.raw": "Stoe", "xylib_1517474.cif": "neutrons", "rietx_INST_XRY.PRM": "parameter file"}


@pytest.mark.parametrize("name", READ)
def test_points_and_range_are_those_of_the_label(name: str, instrument_files: Path) -> None:
    with (instrument_files / "labels.csv").open() as stream:
        seen = {row["file"]: row["points_and_range_seen"] for row in csv.DictReader(stream)}[name]
    match = re.match(r"(\d+) pts ([\d.]+)-([\d.]+)", seen)
    assert match is not None
    pattern = read_measured(instrument_files / name)
    assert len(pattern) == int(match[1])
    assert pattern.two_theta[[0, -1]] == pytest.approx([float(match[2]), float(match[3])], abs=6e-4)
    assert (np.diff(pattern.two_theta) > 0).all()


@pytest.mark.parametrize("name", [*READ, "pyxrd_brk_raw2.raw"])
def test_wavelength_is_the_files_own_or_none(name: str, instrument_files: Path) -> None:
    pattern = read_measured(instrument_files / name)
    if name in SAID:
        assert pattern.wavelength == pytest.approx(SAID[name], abs=1e-6)
        assert len(pattern.s) == len(pattern)
    else:
        assert pattern.radiation is None  # never assumed


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_the_file_and_the_reason(name: str, instrument_files: Path) -> None:
    with pytest.raises(FormatError, match=REFUSED[name]) as caught:
        read_measured(instrument_files / name)
    assert name in str(caught.value)


def test_raw2_holds_the_counts_of_its_text_export(instrument_files: Path) -> None:
    binary = read_measured(instrument_files / "pyxrd_brk_raw2.raw")
    text = read_measured(instrument_files / "cpd_zincite.prn")
    np.testing.assert_array_equal(binary.intensity, text.intensity)
    np.testing.assert_allclose(binary.two_theta, text.two_theta, atol=1e-3)


def test_one_scan_in_two_formats_is_the_same(instrument_files: Path) -> None:
    raw, uxd = (read_measured(instrument_files / name) for name in ("xylib_BT86.raw", "xylib_BT86_.UXD"))
    np.testing.assert_array_equal(raw.intensity, uxd.intensity)
    np.testing.assert_allclose(raw.two_theta, uxd.two_theta, rtol=0, atol=5.1e-3)  # UXD rounds to hundredths


def test_several_scans_are_said(instrument_files: Path) -> None:
    pattern = read_measured(instrument_files / "xylib_format1.raw")
    assert any("3 scans" in remark and "--scan" in remark for remark in pattern.remarks)


@pytest.mark.parametrize(
    "name",
    ["p01_commadec_semicolon.csv", "p03_commadec_blank.xy", "p05a_count_first.xy", "p06_xye.xye",
     "p07_pandas_index.csv", "p10_bom.xy", "p19_footer.txt"],
)  # fmt: skip
def test_forms_of_text_give_the_plain_pattern(name: str, pattern_cases: Path) -> None:
    plain, other = read_measured(pattern_cases / "p00_plain.xy"), read_measured(pattern_cases / name)
    np.testing.assert_allclose(other.two_theta, plain.two_theta, atol=1e-9)
    np.testing.assert_allclose(other.intensity, plain.intensity, atol=1e-9)


def test_q_and_molybdenum_map_to_the_same_s(pattern_cases: Path) -> None:
    plain = read_measured(pattern_cases / "p00_plain.xy")
    q = read_measured(pattern_cases / "p13a_Q_A.csv")
    molybdenum = read_measured(pattern_cases / "p15_Mo_header.xy")
    strongest = np.sin(np.radians(plain.two_theta[plain.intensity.argmax()] / 2)) / 1.5406
    assert q.radiation is None
    assert q.s[q.intensity.argmax()] == pytest.approx(strongest, rel=2e-3)
    assert molybdenum.wavelength == pytest.approx(0.7093)
    assert molybdenum.s[molybdenum.intensity.argmax()] == pytest.approx(strongest, rel=2e-3)


def test_what_must_be_asked_is_refused_with_the_option(pattern_cases: Path) -> None:
    with pytest.raises(FormatError, match=r"p28_theta.xy.*--axis theta"):
        read_measured(pattern_cases / "p28_theta.xy")
    with pytest.raises(FormatError, match=r"p20_missing_value.csv: line 2252: '50.00,'"):
        read_measured(pattern_cases / "p20_missing_value.csv")
