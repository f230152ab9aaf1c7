"""What `xrdgen simulate` does: simulate crystals read from files, write curves and plot, describe the lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError, XrdError
from xrdcommon.grid import Grid

from xrdgen.crystal import Crystal
from xrdgen.diffraction.cif_input import NamedCrystal
from xrdgen.diffraction.effects.parameters import PatternParameters
from xrdgen.diffraction.output import (
    check_plot_name,
    describe_crystal,
    hkl_text,
    peak_lines,
    peak_records,
    plot,
    write_xy,
    xy_paths,
)
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.diffraction.simulator import Diffractogram, Simulator

Imperfect = Callable[[Crystal, int], tuple[NDArray[np.float32], PatternParameters]]
"""Returns pattern and parameters of a crystal, given its number among those that are simulated."""


@dataclass(frozen=True, slots=True)
class SimulationReport:
    """What there is to print.

    Attributes:
        remarks: warnings of the CIF reader and files written, for standard error.
        summary: one line a structure.
        table: all lines of all structures.
        records: JSON values, one per structure.

    """

    remarks: list[str]
    summary: list[str]
    table: list[str]
    records: list[dict[str, Any]]


def simulate_files(
    crystals: list[NamedCrystal],
    grid: Grid,
    wavelength: float,
    size: float,
    out: Path | None = None,
    plot_path: Path | None = None,
    lorentzian_fraction: float = 0.0,
    imperfect: Imperfect | None = None,
) -> SimulationReport:
    """Simulate crystals with one wavelength, grid, crystallite size and peak shape; write curves and plot where asked.

    Args:
        crystals: as read.
        grid: 2theta points.
        wavelength: Å.
        size: crystallite size, nm.
        out: two-column file; several structures give one each (`xy_paths`).
        plot_path: one plot of all.
        lorentzian_fraction: 0 for Gaussian peaks, 1 for Lorentzian ones.
        imperfect: makes patterns with imperfections in place of those of size and peak shape alone.

    Raises:
        InputError: settings or a crystal that cannot be simulated (names the file); nothing is written then.

    """
    if plot_path is not None:
        check_plot_name(plot_path)
    settings = SimulationSettings(
        grid=grid, wavelength=wavelength, size_min=size, size_max=size, lorentzian_fraction=lorentzian_fraction
    )
    simulator = Simulator(settings)
    report = SimulationReport([], [], [], [])
    curves: list[Diffractogram] = []
    titles: list[str] = []
    conditions: list[str] = []
    for number, named in enumerate(crystals):
        described = {"crystallite_size": size, "lorentzian_fraction": lorentzian_fraction}
        try:
            peaks = simulator.peaks(named.crystal)
            if imperfect is None:
                pattern = simulator.pattern(named.crystal, size)
            else:
                pattern, parameters = imperfect(named.crystal, number)
                described = {name: float(value) for name, value in parameters._asdict().items()}
            curves.append(Diffractogram(grid.two_theta, pattern, peaks))
        except InputError as error:
            raise InputError(f"{named.path}: {error}") from error
        conditions.append(f"wavelength {wavelength:g} Å, {_listed(described)}, {grid}")
        about = describe_crystal(named.crystal)
        titles.append(f"{named.name}: {about}")
        strongest = peaks.intensity.argmax()
        report.remarks.extend(f"{named.path}: {remark}" for remark in named.remarks)
        report.summary.append(
            f"{titles[-1]}; {len(peaks.d)} lines, strongest {hkl_text(peaks.hkl[strongest])} at "
            f"{peaks.two_theta[strongest]:.3f} degrees 2theta"
        )
        report.table.extend([titles[-1], *peak_lines(peaks), ""])
        report.records.append(
            {
                "file": str(named.path),
                "name": named.name,
                "space_group": named.crystal.space_group,
                "formula": named.crystal.formula,
                "cell": named.crystal.cell.tolist(),
                "wavelength": wavelength,
                **described,
                "peaks": peak_records(peaks),
            }
        )
    try:
        if out is not None:
            paths = xy_paths(out, [named.name for named in crystals])
            for path, curve, title, condition in zip(paths, curves, titles, conditions, strict=True):
                write_xy(path, curve, [title, condition, "2theta/degrees intensity"])
                report.remarks.append(f"written: {path}")
        if plot_path is not None:
            plot(plot_path, curves, titles)
            report.remarks.append(f"written: {plot_path}")
    except XrdError:
        raise
    except OSError as error:
        place = error.filename2 or error.filename
        raise InputError(f"{place}: cannot be written ({error.strerror}); choose another place") from error
    return report


def _listed(described: dict[str, float]) -> str:
    """Return parameters of a pattern in words; effects that are not there are left out."""
    shown = {"crystallite_size": "crystallite size {:g} nm", "lorentzian_fraction": "Lorentzian fraction {:g}"}
    neutral = PatternParameters()._asdict()
    parts = [shown[name].format(described[name]) for name in shown]
    parts += [f"{name} {value:g}" for name, value in described.items() if name not in shown and value != neutral[name]]
    return ", ".join(parts)
