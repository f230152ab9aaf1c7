"""`xrdgen simulate`: diffractograms of given structures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def simulate(
    files: Annotated[list[Path], typer.Argument(help="CIF files.", metavar="X.cif...")],
    out: Annotated[
        Path | None, typer.Option(help="Two-column file to write; several curves give F-NAME.xy each.", metavar="F.xy")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Plot to write (png, pdf or svg).", metavar="F.png")] = None,
    peaks: Annotated[
        bool, typer.Option("--peaks", help="List hkl, d, 2theta, multiplicity, |F|^2, intensity.")
    ] = False,
    size: Annotated[float, typer.Option(help="Crystallite size, nm.")] = 50.0,
    lorentzian_fraction: Annotated[
        float, typer.Option(help="Peak shape: 0 Gaussian, 1 Lorentzian, between them pseudo-Voigt of the same width.")
    ] = 0.0,
    wavelength: Annotated[float, typer.Option(help="Wavelength in Å.")] = 1.5406,
    b_iso: Annotated[float, typer.Option(help="Displacement parameter B = 8 pi^2 U of all atoms, Å^2.")] = 0.0,
    displacement: Annotated[
        str,
        typer.Option(
            metavar="none|cif|B", help="Displacement parameters: none, those of the file, or B of all atoms in Å^2."
        ),
    ] = "none",
    two_theta_min: Annotated[float, typer.Option(help="First angle, degrees 2theta.")] = 5.0,
    two_theta_max: Annotated[float, typer.Option(help="Last angle, degrees 2theta.")] = 90.0,
    step: Annotated[float, typer.Option(help="Step, degrees 2theta.")] = 0.01,
    as_json: Annotated[bool, typer.Option("--json", help="Print structures and lines as JSON.")] = False,
) -> None:
    """Simulate the diffractograms of structures given as CIF.

    Each structure is brought into the standard setting of its space group by spglib; lines are those of pymatgen's
    XRDCalculator, peaks are Gaussian, pseudo-Voigt or Lorentzian, of the Scherrer width and scaled to a maximum of 1.
    What was decided while reading a file, or is not as it should be, is said; what contradicts itself is refused.

    \b
    Example:
      xrdgen simulate quartz.cif calcite.cif --plot both.png --out both.xy
      xrdgen simulate quartz.cif --lorentzian-fraction 0.6 --size 80 --out quartz.xy
      xrdgen simulate quartz.cif --displacement cif --out quartz.xy
      xrdgen simulate quartz.cif --peaks --wavelength 0.7093 --two-theta-max 40
    """
    from xrdcommon import console
    from xrdcommon.grid import Grid

    from xrdgen.diffraction.cif_input import displacement_of, read_crystals
    from xrdgen.diffraction.output import check_plot_name
    from xrdgen.diffraction.report import simulate_files

    if plot is not None:
        check_plot_name(plot)
    grid = Grid(two_theta_min, two_theta_max, step)
    asked = displacement_of(displacement)
    crystals = [crystal for path in files for crystal in read_crystals(path, b_iso=b_iso, displacement=asked)]
    report = simulate_files(crystals, grid, wavelength, size, out, plot, lorentzian_fraction)
    for remark in report.remarks:
        console.say(remark)
    if as_json:
        console.emit_json(report.records)
        return
    for line in report.table if peaks else report.summary:
        console.emit(line)
