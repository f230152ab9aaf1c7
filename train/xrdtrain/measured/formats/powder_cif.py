"""Powder CIF: the profile through the library or by its data names, radiation by gemmi."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import FormatError

from xrdtrain.measured.emission import Radiation, of_wavelengths
from xrdtrain.measured.formats import library, words
from xrdtrain.measured.formats.guard import decode
from xrdtrain.measured.formats.scans import choose
from xrdtrain.measured.pattern import Axis, ReadOptions, Scan

ANGLES = ("_pd_proc_2theta_corrected", "_pd_meas_2theta_scan", "_pd_meas_2theta_corrected", "_pd_meas_angle_2theta")
RANGES = ("_pd_proc_2theta_range_", "_pd_meas_2theta_range_")
INTENSITIES = (
    "_pd_meas_counts_total", "_pd_meas_intensity_total", "_pd_proc_intensity_total", "_pd_meas_counts",
    "_pd_meas_intensity", "_pd_proc_intensity_net", "_pd_meas_intensity_net", "_pd_proc_intensity_norm",
)  # fmt: skip
OTHER_POSITIONS = {"_pd_proc_d_spacing": Axis.D, "_pd_proc_recip_len_Q": Axis.Q}
WAVELENGTHS = ("_diffrn_radiation_wavelength", "_pd_proc_wavelength", "_diffrn_radiation_wavelength_value",
               "_diffrn_radiation_wavelength_wavelength", "_cell_measurement_wavelength")  # fmt: skip
CATEGORIES = ("_pd_meas", "_pd_proc", "_diffrn_radiation_wavelength", "_diffrn_radiation", "_diffrn_source",
              "_cell_measurement")  # fmt: skip
"""Categories whose items DDLm parts by a dot, the longer of two that begin alike first."""


def read_powder_cif(content: bytes, path: Path, options: ReadOptions) -> Scan:
    """Read a profile of a powder CIF.

    Raises:
        FormatError: not a CIF, no measured profile, neutrons or time of flight.

    """
    text = decode(content).replace("\r\n", "\n").replace("\r", "\n")
    try:
        document = gemmi.cif.read_string(text)
    except (ValueError, RuntimeError) as error:
        line = " ".join(str(error).split())
        raise FormatError(f"{path}: cannot read '.cif' of this form ({line[:120]}); mend that line") from error
    profiles = [block for block in document if _intensities(block) is not None]
    if not profiles:
        flight = any(block.find_values("_pd_meas_time_of_flight") for block in document)
        why = "a neutron time-of-flight profile" if flight else "it holds no measured powder profile"
        raise FormatError(
            f"{path}: cannot read '.cif': {why}; `xrdgen simulate` draws the pattern of a crystal structure"
        )
    index, remarks = choose(len(profiles), options, path)
    block = profiles[index]
    radiation = _radiation([block, *document], path)
    try:
        x, intensity = library.columns(content, path, name="scan.cif", block=block.name)
        axis = Axis.TWO_THETA
    except FormatError:
        x, axis, intensity = _by_names(block, path)
    return Scan(x, intensity, axis=axis, axis_from="the CIF", radiation=radiation, scans=len(profiles),
                remarks=remarks)  # fmt: skip


def _intensities(block: gemmi.cif.Block) -> str | None:
    """Return the data name of a block's measured intensities, None where it has none."""
    return next((name for name in INTENSITIES if len(_values(block, name)) > 1), None)


def _values(block: gemmi.cif.Block, name: str) -> list[str]:
    """Return the values of an item under its name, or as DDLm writes it (`_pd_meas.counts_total`)."""
    plain = list(block.find_values(name))
    dotted = next((c + "." + name.removeprefix(c + "_") for c in CATEGORIES if name.startswith(c + "_")), None)
    return plain if plain or dotted is None else list(block.find_values(dotted))


def _numbers(block: gemmi.cif.Block, name: str) -> NDArray[np.float64]:
    """Return the values of a looped item, NaN where none is given; uncertainties in brackets are dropped."""
    return np.array([gemmi.cif.as_number(value) for value in _values(block, name)], dtype=np.float64)


def _by_names(block: gemmi.cif.Block, path: Path) -> tuple[NDArray[np.float64], Axis, NDArray[np.float64]]:
    """Return positions, what they are, and intensities by data names.

    Raises:
        FormatError: no positions that fit.

    """
    name = _intensities(block)
    intensity = np.empty(0) if name is None else _numbers(block, name)
    for angle in (*ANGLES, *OTHER_POSITIONS):
        x = _numbers(block, angle)
        if len(x) == len(intensity):
            keep = np.isfinite(x) & np.isfinite(intensity)
            return x[keep], OTHER_POSITIONS.get(angle, Axis.TWO_THETA), intensity[keep]
    for prefix in RANGES:
        values = [gemmi.cif.as_number((_values(block, prefix + end) or ["?"])[0]) for end in ("min", "max", "inc")]
        if all(np.isfinite(values)):
            first, last, step = values
            if abs((last - first) / step + 1 - len(intensity)) < 1.5:
                x = first + step * np.arange(len(intensity), dtype=np.float64)
                return x, Axis.TWO_THETA, intensity
    raise FormatError(f"{path}: a profile without positions (2theta, d or a range that fits its points)")


def _radiation(blocks: list[gemmi.cif.Block], path: Path) -> Radiation | None:
    """Return the radiation named in any block, the profile's own first.

    Raises:
        FormatError: neutrons.

    """
    for block in blocks:
        said = " ".join(
            value
            for name in ("_diffrn_radiation_probe", "_diffrn_radiation_type", "_diffrn_source")
            for value in _values(block, name)
        )
        words.refuse_neutrons(said, path)
    for block in blocks:
        for name in WAVELENGTHS:
            numbers = [gemmi.cif.as_number(value) for value in _values(block, name)]
            values = tuple(value for value in numbers if np.isfinite(value) and value > 0.0)
            if values:
                return of_wavelengths(values, f"{name} in the file")
    for block in blocks:
        kind = " ".join(gemmi.cif.as_string(value) for value in _values(block, "_diffrn_radiation_type"))
        named = words.radiation_in(kind.replace("\\a", "alpha"), "_diffrn_radiation_type in the file")
        if named is not None:
            return named
    return None
