"""Forms of files that were read wrongly, or refused without need, before."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from xrdcommon.errors import FormatError, InputError, XrdError
from xrdtrain.measured.formats.words import axis_of_name, radiation_in
from xrdtrain.measured.pattern import Axis, ReadOptions
from xrdtrain.measured.reading import read_measured

Write = Callable[[str, str | bytes], Path]
TwoColumns = tuple[np.ndarray, np.ndarray]


def rows(x: np.ndarray, y: np.ndarray, form: str = "{x:.4f} {y:.2f}") -> str:
    return "".join(form.format(i=i, x=a, y=b) + "\n" for i, (a, b) in enumerate(zip(x, y, strict=True)))


def same(path: Path, lines: TwoColumns, options: ReadOptions | None = None) -> None:
    pattern = read_measured(path, options)
    np.testing.assert_allclose(pattern.two_theta, lines[0], atol=1e-3)
    np.testing.assert_allclose(pattern.intensity, lines[1], atol=0.51)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark(encoding: str, lines: TwoColumns, write: Write) -> None:
    same(write("a.txt", ("2theta I\n" + rows(*lines)).encode(encoding)), lines)


def test_quotes_around_decimal_commas(lines: TwoColumns, write: Write) -> None:
    text = rows(*lines, form='"{x:.4f}"|"{y:.2f}"').replace(".", ",").replace("|", ",")
    same(write("a.csv", '"2theta","I"\n' + text), lines)


@pytest.mark.parametrize(
    ("mark", "form"), [(" ", "{x:.4f};{y}"), ("\u202f", "{x:.4f};{y}"), ("'", "{x:.4f};{y}"), (".", "{x:.4f};{y}")]
)
def test_marks_between_thousands(mark: str, form: str, lines: TwoColumns, write: Write) -> None:
    x, y = lines[0], 5000 * lines[1]
    decimal = "," if mark == "." else "."
    text = "".join(
        f"{a:.4f}".replace(".", decimal) + ";" + f"{b:,.0f}".replace(",", mark) + "\n"
        for a, b in zip(x, y, strict=True)
    )
    same(write("a.csv", "2theta;I\n" + text), (x, y))


def test_decimal_commas_between_commas_are_named(lines: TwoColumns, write: Write) -> None:
    text = rows(*lines, form="{x:.2f}|{y:.1f}").replace(".", ",").replace("|", ",")
    with pytest.raises(FormatError, match="decimal commas and commas between the columns"):
        read_measured(write("a.csv", text))


def test_comments_behind_and_between_rows(lines: TwoColumns, write: Write) -> None:
    text = rows(*lines).splitlines(keepends=True)
    text[700] = text[700].rstrip() + "   # strongest\n"
    text.insert(1500, "# the shutter was closed here for a while\n")
    same(write("a.xy", "".join(text)), lines)


def test_scans_that_nothing_parts(lines: TwoColumns, write: Write) -> None:
    path = write("twice.xy", rows(*lines) + rows(lines[0], 2 * lines[1]))
    same(path, lines)
    assert "holds 2 scans" in read_measured(path).remarks[0]
    same(path, (lines[0], 2 * lines[1]), ReadOptions(scan=2))


@pytest.mark.parametrize("jump", [1.0, 4.0])
def test_scans_that_follow_each_other_are_joined_unless_their_level_jumps(
    jump: float, lines: TwoColumns, write: Write
) -> None:
    x, y = lines[0], lines[1] + 200.0
    half = len(x) // 2
    text = f"[Scan 1]\n{rows(x[:half], y[:half])}[Scan 2]\n{rows(x[half:], jump * y[half:])}"
    path = write("parts.txt", text)
    pattern = read_measured(path)
    if jump == 1.0:
        same(path, (x, y))
        assert "2 scans follow each other" in pattern.remarks[-1]
        same(path, (x[half:], y[half:]), ReadOptions(scan=2))
    else:
        assert len(pattern) == half
        assert "holds 2 scans" in pattern.remarks[0]


@pytest.mark.parametrize(
    ("name", "axis"),
    [("2theta_rad", Axis.RADIANS), ("theta_deg", Axis.THETA), ("Th_deg", Axis.THETA), ("θ/°", Axis.THETA),
     ("d_A", Axis.D), ("d_angstrom", Axis.D), ("scattering_vector", Axis.Q), ("Qnm", Axis.Q_NM),
     ("Theta/2Theta", Axis.TWO_THETA), ("Omega/2Theta", Axis.TWO_THETA), ("two_theta_deg", Axis.TWO_THETA)],
)  # fmt: skip
def test_names_of_columns_with_underscores(name: str, axis: Axis) -> None:
    assert axis_of_name(name)[0] is axis


def test_radians_that_are_named_are_no_degrees(lines: TwoColumns, write: Write) -> None:
    same(write("a.csv", "2theta_rad,I\n" + rows(np.radians(lines[0]), lines[1], "{x:.7f},{y:.2f}")), lines)


@pytest.mark.parametrize(
    "head", ["Wavenumber (cm-1),Intensity", "Omega,Counts", "time,counts", "Energy (keV),I", "1/d,I"]
)
def test_columns_of_something_else_are_refused(head: str, lines: TwoColumns, write: Write) -> None:
    with pytest.raises(FormatError, match=r"other.csv: its first column is named"):
        read_measured(write("other.csv", f"{head}\n" + rows(*lines, form="{x:.4f},{y:.2f}")))


@pytest.mark.parametrize(
    ("text", "wavelength"),
    [("anode material: Cobalt", 1.788965), ("Target: copper", 1.540562), ("Beam energy (eV): 8048", 1.540562),
     ("energy (keV) 20.0", 0.61992), ("# X-ray,Co", 1.788965), ("wavelength [nm] 0.15406", 1.5406),
     ("Fe 1.93604 5 90", 1.93604),
     # a digit of a line's name is no wavelength
     ("First Angle=10.00 Step=0.02 Anode=Cu Wavelength Ka1=1.54060 Ka2=1.54439", 1.5406),
     ("Ka1 1.78897 Ka2 1.79285 ratio 0.5", 1.78897), ("CuKa1 = 1.54056", 1.54056), ("lambda1.5406", 1.5406)],
)  # fmt: skip
def test_radiation_in_other_words(text: str, wavelength: float) -> None:
    found = radiation_in(text)
    assert found is not None
    assert found.wavelength == pytest.approx(wavelength, abs=2e-5)


@pytest.mark.parametrize(
    "text", ["Ratio K-Alpha2/K-Alpha1,0.5", "Cu 2.5 g", "x-ray diffraction", "Rigaku X-ray Co., Ltd."]
)
def test_ratios_and_weights_are_no_wavelengths(text: str) -> None:
    assert radiation_in(text) is None


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_table_on_its_side_is_turned(mark: str, lines: TwoColumns, write: Write) -> None:
    x, y = lines
    content = mark.join(["2theta", *(f"{a:.2f}" for a in x)]) + "\n" + mark.join(["I", *(f"{b:.2f}" for b in y)]) + "\n"
    for form in (content, content.replace(f"2theta{mark}", "").replace(f"I{mark}", "")):
        path = write("a.csv", form)
        same(path, lines)
        assert any("on its side" in remark for remark in read_measured(path).remarks)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("2theta,sample A,sample B", "'sample B'"),
        ("2theta,I,2theta,I", "'I'"),
        ("Angle,TimePerStep,Intensity,ESD", ""),
        ("2theta,Iobs,Icalc,background", ""),
        ("2theta,d,Intensity,sigma", ""),
    ],
)
def test_further_columns_of_intensities_are_said(head: str, said: str, lines: TwoColumns, write: Write) -> None:
    x, y = lines
    values = {"2theta": x, "Angle": x, "d": 1.0 / x, "TimePerStep": np.full(len(x), 10.0)}
    table = [values.get(name, y + 1.0 + place) for place, name in enumerate(head.split(","))]
    text = head + "\n" + "".join(",".join(f"{column[i]:.5f}" for column in table) + "\n" for i in range(len(x)))
    remarks = " ".join(read_measured(write("a.csv", text)).remarks)
    assert (said in remarks and "--columns" in remarks) if said else "--columns" not in remarks, remarks


def test_a_list_of_peaks_is_called_one(write: Write) -> None:
    peaks = "2theta I\n27.37 13\n31.70 100\n45.45 55\n53.87 2\n56.48 15\n66.23 6\n75.30 11\n"
    with pytest.raises(FormatError, match="7 uneven angles, a list of peaks"):
        read_measured(write("a.txt", peaks))


def test_waves_of_no_tube_may_be_neutrons(lines: TwoColumns, write: Write) -> None:
    for wavelength, said in (("1.494", True), ("1.5406", False), ("0.41", False), ("1.3922", False)):
        pattern = read_measured(write("a.xy", f"# wavelength {wavelength}\n{rows(*lines)}"))
        assert any("neutrons" in remark for remark in pattern.remarks) == said, wavelength


def test_chi_files_name_their_axis(lines: TwoColumns, write: Write) -> None:
    q = 4 * np.pi * np.sin(np.radians(lines[0] / 2)) / 1.5406
    body = rows(q, lines[1], " {x:.7E} {y:.7E}")
    pattern = read_measured(write("a.chi", f"title\nQ (A^-1)\nIntensity\n {len(q)}\n{body}"))
    assert pattern.axis is Axis.Q
    np.testing.assert_allclose(pattern.s, q / (4 * np.pi), rtol=1e-6)
    with pytest.raises(FormatError, match="--axis q"):
        read_measured(write("b.chi", f"title\nQ\nIntensity\n {len(q)}\n{body}"))


def gsas(kind: str, lines: TwoColumns) -> str:
    n = len(lines[0])
    head = "a title".ljust(80) + "\n" + f"BANK 1 {n} {n} CONS 500.00 2.00 0 0 {kind}\n"
    if kind == "FXY":
        return head + rows(100 * lines[0], lines[1], "{x:12.3f} {y:12.3f}")
    return head + "".join(f"{100 * a:12.3f} {b:12.3f} {b**0.5:12.4f}\n" for a, b in zip(*lines, strict=True))


@pytest.mark.parametrize("kind", ["FXY", "FXYE"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_gsas_records_of_pairs(kind: str, end: str, lines: TwoColumns, write: Write) -> None:
    same(write("a.gsa", gsas(kind, lines).replace("\n", end)), lines)


def test_gsas_pairs_that_are_damaged(lines: TwoColumns, write: Write) -> None:
    with pytest.raises(FormatError, match=r"a.gsa: '.*' is no row of an FXY record"):
        read_measured(write("a.gsa", gsas("FXY", lines) + "what is this\n"))


def test_powder_cif_of_the_new_dictionaries(lines: TwoColumns, write: Write) -> None:
    head = (
        "data_x\n_diffrn_radiation_wavelength.value 0.7093\n_diffrn_radiation.probe x-ray\n"
        "loop_\n_pd_meas.2theta_scan\n_pd_meas.counts_total\n"
    )
    path = write("new.cif", head + rows(*lines))
    same(path, lines)
    assert read_measured(path).wavelength == pytest.approx(0.7093)
    with pytest.raises(FormatError, match="neutrons"):
        read_measured(write("n.cif", head.replace("x-ray", "neutron") + rows(*lines)))


def test_rigaku_scans_of_one_arm_are_no_powder_scans(lines: TwoColumns, write: Write) -> None:
    text = (
        '*RAS_DATA_START\n*RAS_HEADER_START\n*MEAS_SCAN_AXIS_X "Omega"\n*MEAS_SCAN_AXIS_X_INTERNAL "ThetaS"\n'
        f"*RAS_HEADER_END\n*RAS_INT_START\n{rows(*lines, form='{x:.4f} {y:.2f} 1.0')}*RAS_INT_END\n*RAS_DATA_END\n"
    )
    with pytest.raises(FormatError, match="rocking curve"):
        read_measured(write("film.ras", text))


XRDML = (
    '<?xml version="1.0"?><xrdMeasurements xmlns="http://www.xrdml.com/XRDMeasurement/1.5" status="Completed">'
    '<xrdMeasurement status="Completed"><usedWavelength intended="K-Alpha">'
    '<kAlpha1 unit="Angstrom">{wavelength}</kAlpha1></usedWavelength>'
    '<scan scanAxis="Gonio" status="Completed"><dataPoints>'
    '<positions axis="2Theta" unit="deg">'
    "<startPosition>{first}</startPosition><endPosition>{last}</endPosition></positions>{times}"
    '<intensities unit="counts">{counts}</intensities></dataPoints></scan></xrdMeasurement></xrdMeasurements>'
)


@pytest.mark.parametrize("falling", [False, True])
def test_xrdml_counts_of_different_times(falling: bool, lines: TwoColumns, write: Write) -> None:
    x, y = lines
    seconds = np.where(x < 40.0, 1.0, 4.0)
    order = slice(None, None, -1) if falling else slice(None)
    ends = (x[-1], x[0]) if falling else (x[0], x[-1])
    times = f'<countingTimes unit="seconds">{" ".join(f"{t:g}" for t in seconds[order])}</countingTimes>'
    counts = " ".join(f"{c:.0f}" for c in (y * seconds)[order])
    text = XRDML.format(wavelength="1.5406", first=ends[0], last=ends[1], times=times, counts=counts)
    path = write("vct.xrdml", text)
    same(path, lines)
    assert "different times" in read_measured(path).remarks[0]
    with pytest.raises(FormatError, match=r"short.xrdml: 2 counting times of 4251 points"):
        read_measured(write("short.xrdml", text.replace(times, '<countingTimes unit="seconds">1 2</countingTimes>')))


@pytest.mark.parametrize(("wavelength", "said"), [("abc", "kAlpha1 is not a number"), ("15.406", "must be 0.05 to 5")])
def test_xrdml_wavelengths_that_are_none(wavelength: str, said: str, write: Write) -> None:
    text = XRDML.format(wavelength=wavelength, first=10, last=12, times="", counts="1 2 3")
    with pytest.raises(InputError, match=said) as caught:
        read_measured(write("bad.xrdml", text))
    assert "bad.xrdml" in str(caught.value)


def test_xml_of_an_unknown_encoding_is_refused(write: Write) -> None:
    text = XRDML.format(wavelength=1.5406, first=10, last=12, times="", counts="1 2 3")
    with pytest.raises(FormatError, match=r"odd.xrdml: not well-formed XML"):
        read_measured(write("odd.xrdml", text.replace('version="1.0"', 'version="1.0" encoding="UTF-0"')))


def test_npz_under_other_names(lines: TwoColumns, tmp_path: Path) -> None:
    x, y = lines
    q = 4 * np.pi * np.sin(np.radians(x / 2)) / 1.5406
    np.savez(tmp_path / "tth.npz", tth=x, counts=y, wavelength=0.7093)
    np.savez(tmp_path / "q.npz", q=q, I=y)
    pattern = read_measured(tmp_path / "tth.npz")
    np.testing.assert_allclose(pattern.two_theta, x)
    assert pattern.wavelength == pytest.approx(0.7093)
    np.testing.assert_allclose(read_measured(tmp_path / "q.npz").s, q / (4 * np.pi))
    np.savez(tmp_path / "w.npz", tth=x, counts=y, wavelength=np.array(["copper"]))
    with pytest.raises(FormatError, match=r"w.npz: wavelength"):
        read_measured(tmp_path / "w.npz")


def test_arrays_that_are_no_numbers_or_damaged(lines: TwoColumns, write: Write) -> None:
    stream = io.BytesIO()
    np.save(stream, np.stack(lines, axis=1) + 1j)
    with pytest.raises(FormatError, match="complex"):
        read_measured(write("complex.npy", stream.getvalue()))
    stream = io.BytesIO()
    np.savez(stream, two_theta=lines[0], intensity=lines[1])
    content = bytearray(stream.getvalue())
    content[2000] ^= 0xFF  # the checksum of a member no longer fits
    with pytest.raises(FormatError, match=r"flipped.npz: not a pattern"):
        read_measured(write("flipped.npz", bytes(content)))


def test_documents_of_an_office_are_named(write: Write) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("[Content_Types].xml", "<x/>")
        archive.writestr("xl/workbook.xml", "<x/>")
    with pytest.raises(FormatError, match=r"book.csv: an Excel workbook"):
        read_measured(write("book.csv", stream.getvalue()))


def damaged(content: bytes, trial: int, random: np.random.Generator) -> bytes:
    """Cut, flip, drop, insert or overwrite."""
    data = bytearray(content)
    head = min(len(data), 1500)
    if trial % 5 == 0:
        return bytes(data[: int(random.integers(0, len(data)))])
    if trial % 5 == 1:
        for place in random.integers(0, head, 12):
            data[place] ^= 1 << int(random.integers(0, 8))
    elif trial % 5 == 2:
        start = int(random.integers(0, len(data)))
        del data[start : start + int(random.integers(1, 3000))]
    elif trial % 5 == 3:
        start = int(random.integers(0, len(data)))
        data[start:start] = random.bytes(int(random.integers(1, 400)))
    else:
        for place in random.integers(0, head, 6):
            data[place] = int(random.choice(list(b'0123456789.-e,"<> \n')))
    return bytes(data)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["xy", "csv", "gsa", "cif", "xrdml", "npz", "npy"])
def test_damaged_files_of_every_kind_give_a_pattern_or_one_line(kind: str, lines: TwoColumns, write: Write) -> None:
    x, y = lines[0][::4], lines[1][::4]
    stream = io.BytesIO()
    if kind == "npz":
        np.savez(stream, two_theta=x, intensity=y)
    elif kind == "npy":
        np.save(stream, np.stack([x, y], axis=1))
    whole = {
        "xy": rows(x, y).encode(),
        "csv": ("Winkel [°2Theta];Intensität\n" + rows(x, y, "{x:.2f};{y:.1f}").replace(".", ",")).encode("latin-1"),
        "gsa": gsas("FXYE", (x, y)).encode(),
        "cif": ("data_x\nloop_\n_pd_meas_2theta_scan\n_pd_meas_counts_total\n" + rows(x, y)).encode(),
        "xrdml": XRDML.format(wavelength=1.5406, first=x[0], last=x[-1], times="",
                              counts=" ".join(f"{c:.0f}" for c in y)).encode(),
    }.get(kind, stream.getvalue())  # fmt: skip
    random = np.random.default_rng(11)
    name = f"damaged.{kind}"
    same(write(name, whole), (x, y))
    answered = 0
    for trial in range(60):
        try:
            pattern = read_measured(write(name, damaged(whole, trial, random)))
        except XrdError as error:
            assert re.fullmatch(rf".*{name}.*", str(error))  # noqa: PT017 (a pattern or a refusal, never a traceback)
        else:
            answered += 1
            assert np.isfinite(pattern.intensity).all()
            assert (np.diff(pattern.two_theta) > 0).all()
    assert answered < 60
