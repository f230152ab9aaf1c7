"""Vendors' formats from files written here: several scans, scans that were stopped, other axes, radiation."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from xrdcommon.errors import FormatError
from xrdtrain.measured.pattern import ReadOptions
from xrdtrain.measured.reading import read_measured

Write = Callable[[str, str | bytes], Path]
COUNTS = np.array([10, 12, 11, 300, 900, 310, 14, 10, 11, 12, 10, 13, 80, 20, 11, 10, 9, 10, 11, 10], dtype=float)


def xrdml(*scans: str) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<xrdMeasurements xmlns="http://www.xrdml.com/XRDMeasurement/1.6" status="Completed">'
        '<xrdMeasurement measurementType="Scan" status="Completed"><usedWavelength intended="K-Alpha">'
        '<kAlpha1 unit="Angstrom">1.788965</kAlpha1><kAlpha2 unit="Angstrom">1.792850</kAlpha2>'
        "</usedWavelength><incidentBeamPath><xRayTube><anodeMaterial>Co</anodeMaterial></xRayTube></incidentBeamPath>"
        + "".join(scans)
        + "</xrdMeasurement></xrdMeasurements>"
    )


def xrdml_scan(first: float, last: float, axis: str = "Gonio", status: str = "Completed") -> str:
    return (
        f'<scan appendNumber="0" mode="Continuous" scanAxis="{axis}" status="{status}"><dataPoints>'
        f'<positions axis="2Theta" unit="deg"><startPosition>{first}</startPosition>'
        f'<endPosition>{last}</endPosition></positions><commonCountingTime unit="seconds">1.0</commonCountingTime>'
        f'<intensities unit="counts">{" ".join(f"{c:.0f}" for c in COUNTS)}</intensities></dataPoints></scan>'
    )


def test_xrdml_scans_are_chosen_and_said(write: Write) -> None:
    path = write("two.xrdml", xrdml(xrdml_scan(10, 19.5), xrdml_scan(30, 39.5)))
    first, second = read_measured(path), read_measured(path, ReadOptions(scan=2))
    assert first.two_theta[[0, -1]] == pytest.approx([10, 19.5])
    assert "holds 2 scans" in first.remarks[0]
    assert second.two_theta[[0, -1]] == pytest.approx([30, 39.5])
    assert not second.remarks
    assert first.radiation is not None
    assert first.radiation.wavelengths == pytest.approx((1.788965, 1.792850))
    with pytest.raises(FormatError, match=r"two.xrdml: holds 2 scans, --scan 3"):
        read_measured(path, ReadOptions(scan=3))


def test_xrdml_stopped_early_is_read_with_a_word(write: Write) -> None:
    pattern = read_measured(write("aborted.xrdml", xrdml(xrdml_scan(10, 19.5, status="Aborted"))))
    np.testing.assert_array_equal(pattern.intensity, COUNTS)
    assert "stopped early" in pattern.remarks[0]


@pytest.mark.parametrize("axis", ["Omega", "Phi", "Chi", "Z", "Reciprocal Space"])
def test_xrdml_of_films_is_refused(axis: str, write: Write) -> None:
    with pytest.raises(FormatError, match=rf"film.xrdml: the scan axis is {axis}: .* no powder pattern"):
        read_measured(write("film.xrdml", xrdml(xrdml_scan(10, 19.5, axis=axis))))


def raw1(points: int, follows: int = 0) -> bytes:
    head = struct.pack("<IffIfffff", points, 1.0, 0.5, 0, 0.0, 20.0, -1e6, -1e6, -1e6)
    head += b"sample".ljust(32, b"\0") + struct.pack("<ff", 0.70930, 0.71359) + bytes(72) + struct.pack("<I", follows)
    return head + COUNTS[:points].astype("<f4").tobytes()


def test_raw1_is_read_with_its_wavelengths(write: Write) -> None:
    path = write("old.raw", b"RAW " + raw1(20, follows=1) + raw1(12))
    pattern = read_measured(path)
    np.testing.assert_array_equal(pattern.intensity, COUNTS)
    assert pattern.two_theta[[0, -1]] == pytest.approx([20.0, 29.5])
    assert pattern.wavelength == pytest.approx(0.7093)
    assert "holds 2 scans" in pattern.remarks[0]
    assert len(read_measured(path, ReadOptions(scan=2))) == 12


def raw2(points: int) -> bytes:
    head = b"RAW2" + struct.pack("<H", 1) + bytes(162) + b"19-12-199721:57".ljust(20) + b"Co"
    head += struct.pack("<fff", 1.788965, 1.792850, 0.5)
    head = head.ljust(256, b"\0")
    block = struct.pack("<HHIfff", 48, points, 0, 1.0, 0.5, 20.0).ljust(48, b"\0")
    return head + block + COUNTS.astype("<f4").tobytes()


def test_raw2_that_ends_early_gives_what_is_there(write: Write) -> None:
    pattern = read_measured(write("cut.raw", raw2(points=30)))
    np.testing.assert_array_equal(pattern.intensity, COUNTS)
    assert pattern.remarks == ("the file ends early: 20 of 30 points",)
    assert pattern.wavelength == pytest.approx(1.788965)


def ras(first: float, axis: str = "TwoThetaTheta", end: bool = True, stop: float | None = None) -> str:
    rows = "\n".join(f"{first + 0.5 * i:.4f} {c:.4f} 1.0000" for i, c in enumerate(COUNTS))
    last = first + 9.5 if stop is None else stop
    return (
        f'*RAS_HEADER_START\n*HW_XG_TARGET_NAME "Cu"\n*HW_XG_WAVE_LENGTH_ALPHA1 "1.540593"\n'
        f'*HW_XG_WAVE_LENGTH_ALPHA2 "1.544414"\n*MEAS_SCAN_AXIS_X "{axis}"\n*MEAS_SCAN_START "{first}"\n'
        f'*MEAS_SCAN_STOP "{last}"\n*MEAS_SCAN_STEP "0.5"\n*RAS_HEADER_END\n*RAS_INT_START\n{rows}\n'
        + ("*RAS_INT_END\n" if end else "30.0")
    )


def test_ras_scans_axes_and_early_ends(write: Write) -> None:
    path = write("two.ras", f"*RAS_DATA_START\n{ras(10)}{ras(40)}*RAS_DATA_END\n")
    assert read_measured(path).two_theta[0] == 10.0
    assert read_measured(path, ReadOptions(scan=2)).two_theta[[0, -1]] == pytest.approx([40.0, 49.5])
    cut = read_measured(write("cut.ras", f"*RAS_DATA_START\n{ras(10, end=False, stop=60)}"))
    np.testing.assert_array_equal(cut.intensity, COUNTS)
    assert any("stopped early: 20 of" in remark for remark in cut.remarks)
    with pytest.raises(FormatError, match="rocking curve"):
        read_measured(write("film.ras", f"*RAS_DATA_START\n{ras(10, axis='Omega')}*RAS_DATA_END\n"))


def zipped(members: dict[str, str]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return stream.getvalue()


def brml_raw(axis: str, steps: int) -> str:
    data = "".join(f"<Datum>1,1,{20 + 0.5 * i},{10 + 0.25 * i},{c:.0f}</Datum>" for i, c in enumerate(COUNTS))
    return (
        '<RawData xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><FixedInformation><Tube>'
        '<TubeMaterial Value="Cu"/></Tube></FixedInformation><DataRoutes><DataRoute RouteFlag="Measured">'
        f'<ScanInformation ScanName="LockedCoupled"><ScanAxes><ScanAxisInfo AxisId="{axis}" AxisName="{axis}">'
        "<Start>20</Start><Stop>29.5</Stop><Increment>0.5</Increment></ScanAxisInfo></ScanAxes></ScanInformation>"
        f'<SubScans><SubScanInfo Steps="{steps}" MeasuredSteps="20"/></SubScans>{data}<DataViews>'
        '<RawDataView Start="0" Length="1" LogicName="MeasuredTime" xsi:type="FixedRawDataView"/>'
        '<RawDataView Start="1" Length="1" LogicName="AbsorptionFactor" xsi:type="FixedRawDataView"/>'
        '<RawDataView Start="2" Length="2" LogicName="Varying" xsi:type="VaryingRawDataView"><Varying>'
        f'<FieldDefinitions FieldName="{axis}" AxisId="{axis}"/><FieldDefinitions FieldName="Theta" AxisId="Theta"/>'
        '</Varying></RawDataView><RawDataView Start="4" Length="1" LogicName="Counts" '
        'xsi:type="RecordedRawDataView"><Recording LogicName="Counts"><Unit Base="Counts"/></Recording>'
        "</RawDataView></DataViews></DataRoute></DataRoutes></RawData>"
    )


def brml(axis: str = "TwoTheta", steps: int = 20) -> bytes:
    manifest = (
        "<DataContainer><RawDataReferenceList><string>Experiment0/RawData0.xml</string></RawDataReferenceList>"
        "</DataContainer>"
    )
    return zipped(
        {"Experiment0/DataContainer.xml": manifest, "Experiment0/RawData0.xml": brml_raw(axis, steps)}
    )  # fmt: skip


def test_brml_with_the_anode_only_and_stopped_early(write: Write) -> None:
    pattern = read_measured(write("part.brml", brml(steps=200)))
    np.testing.assert_array_equal(pattern.intensity, COUNTS)
    assert pattern.radiation is not None
    assert pattern.radiation.wavelengths == pytest.approx((1.540562, 1.544390))
    assert "anode" in pattern.radiation.source
    assert pattern.remarks == ("the scan was stopped early: 20 of 200 points",)


def test_brml_of_a_film_is_refused(write: Write) -> None:
    with pytest.raises(FormatError, match=r"film.brml: the scan axis is Theta: a rocking curve"):
        read_measured(write("film.brml", brml(axis="Theta")))


GSAS = "title\nBANK 1 20 4 CONST 2000.0 50.0 0 0 STD\n" + "".join(
    "".join(f"{c:8.0f}" for c in COUNTS[i : i + 10]) + "\n" for i in (0, 10)
)


def test_gsas_takes_its_wavelength_from_the_file_beside_it(write: Write) -> None:
    path = write("a.gsa", GSAS)
    assert read_measured(path).radiation is None
    write("a.instprm", "#GSAS-II instrument parameter file\nType:PXC\nLam1:1.5405\nLam2:1.5443\nZero:0.0\n")
    pattern = read_measured(path)
    assert pattern.two_theta[[0, -1]] == pytest.approx([20.0, 29.5])
    assert pattern.wavelength == pytest.approx(1.5405)
    assert pattern.radiation is not None
    assert pattern.radiation.source == "a.instprm"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("b.prm", "INS   BANK      1\nINS   HTYPE   PNCR\nINS  1 ICONS  1.540500\n"),
        ("b.instprm", "Type:PNC\nLam:1.54\n"),
    ],
)
def test_gsas_of_neutrons_is_refused(name: str, text: str, write: Write) -> None:
    write(name, text)
    with pytest.raises(FormatError, match="neutrons"):
        read_measured(write("b.gsa", GSAS))


def test_gsas_time_of_flight_is_refused(write: Write) -> None:
    text = "title\nBANK 1 20 4 SLOG 2000.0 5000.0 0.0004 0 STD\n" + "\n".join(GSAS.splitlines()[2:]) + "\n"
    with pytest.raises(FormatError, match="time-of-flight"):
        read_measured(write("t.gsa", text))


def cif(names: str, rows: str, head: str = "") -> str:
    return f"data_x\n{head}\nloop_\n{names}\n{rows}\n"


@pytest.mark.parametrize(
    "intensity",
    ["_pd_meas_counts_total", "_pd_meas_intensity_total", "_pd_proc_intensity_total", "_pd_proc_intensity_net"],
)
@pytest.mark.parametrize("angle", ["_pd_meas_2theta_scan", "_pd_proc_2theta_corrected", "_pd_meas_angle_2theta"])
def test_powder_cif_data_names(angle: str, intensity: str, write: Write) -> None:
    rows = "\n".join(f"{20 + 0.5 * i} {c:.0f}(3)" for i, c in enumerate(COUNTS))
    text = cif(f"{angle}\n{intensity}", rows, "_diffrn_radiation_wavelength 0.7107")
    pattern = read_measured(write("p.cif", text))
    np.testing.assert_array_equal(pattern.intensity, COUNTS)
    assert pattern.two_theta[[0, -1]] == pytest.approx([20.0, 29.5])
    assert pattern.wavelength == pytest.approx(0.7093)  # 0.7107 is the mean of the doublet


def test_powder_cif_with_a_range_alone(write: Write) -> None:
    head = "_pd_meas_2theta_range_min 20\n_pd_meas_2theta_range_max 29.5\n_pd_meas_2theta_range_inc 0.5"
    pattern = read_measured(write("p.cif", cif("_pd_meas_counts_total", "\n".join(f"{c:.0f}" for c in COUNTS), head)))
    assert pattern.two_theta[[0, -1]] == pytest.approx([20.0, 29.5])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (cif("_pd_meas_2theta_scan\n_pd_meas_counts_total", "20 1\n20.5 9\n21 2", "_diffrn_radiation_probe neutron"),
         "neutrons"),
        ("data_x\n_cell_length_a 5.43\n", "no measured powder profile"),
        ("data_x\nloop_\n_pd_meas_time_of_flight\n1\n2\n3\n", "time-of-flight"),
    ],
)  # fmt: skip
def test_powder_cif_refusals(text: str, said: str, write: Write) -> None:
    with pytest.raises(FormatError, match=rf"n.cif.*{said}"):
        read_measured(write("n.cif", text))
