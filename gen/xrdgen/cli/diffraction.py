"""`xrdgen simulate`: diffractograms of given structures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xrdgen.cli.shared_options import Effects, Preset, Step, TwoThetaMax, TwoThetaMin, Wavelength

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from xrdgen.crystal import Crystal
    from xrdgen.diffraction.effects.parameters import PatternParameters


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
    wavelength: Wavelength = 1.5406,
    b_iso: Annotated[float, typer.Option(help="Displacement parameter B = 8 pi^2 U of all atoms, Å^2.")] = 0.0,
    displacement: Annotated[
        str,
        typer.Option(
            metavar="none|cif|B", help="Displacement parameters: none, those of the file, or B of all atoms in Å^2."
        ),
    ] = "none",
    two_theta_min: TwoThetaMin = 5.0,
    two_theta_max: TwoThetaMax = 90.0,
    step: Step = 0.01,
    preset: Preset = "pure",
    effects: Effects = None,
    seed: Annotated[int, typer.Option(help="What is random about imperfections follows from it.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print structures and lines as JSON.")] = False,
) -> None:
    """Simulate the diffractograms of structures given as CIF.

    Each structure is brought into the standard setting of its space group by spglib; lines are those of pymatgen's
    XRDCalculator, peaks are Gaussian, pseudo-Voigt or Lorentzian, of the Scherrer width and scaled to a maximum of 1.
    What was decided while reading a file, or is not as it should be, is said; what contradicts itself is refused.

    --preset and --effects give the diffractograms imperfections as `xrdgen produce` does; --json names their values. A
    range of sizes is the preset's own then, and --peaks still lists the lines of one wavelength.

    \b
    Example:
      xrdgen simulate quartz.cif calcite.cif --plot both.png --out both.xy
      xrdgen simulate quartz.cif --lorentzian-fraction 0.6 --size 80 --out quartz.xy
      xrdgen simulate quartz.cif --displacement cif --out quartz.xy
      xrdgen simulate quartz.cif --preset measured --effects no-impurity --seed 3 --plot measured.png
      xrdgen simulate quartz.cif --peaks --wavelength 0.7093 --two-theta-max 40
    """
    from xrdcommon import console
    from xrdcommon.errors import InputError
    from xrdcommon.grid import Grid
    from xrdcommon.identity import SampleIdentity
    from xrdcommon.measurement import Measurement

    from xrdgen.diffraction.cif_input import displacement_of, read_crystals
    from xrdgen.diffraction.imperfections import Imperfections, parse_effects
    from xrdgen.diffraction.output import check_plot_name
    from xrdgen.diffraction.report import Imperfect, simulate_files
    from xrdgen.diffraction.settings import SimulationSettings
    from xrdgen.samples.imaging import ImperfectSimulator

    if not 0 <= seed < 2**64:
        raise InputError(f"--seed {seed}: must be 0 to 2^64 - 1")
    grid = Grid(two_theta_min, two_theta_max, step)
    imperfections = Imperfections.preset(preset)
    if effects is not None:
        imperfections = parse_effects(effects, imperfections, Measurement(grid, wavelength))
    if plot is not None:
        check_plot_name(plot)
    asked = displacement_of(displacement)
    crystals = [crystal for path in files for crystal in read_crystals(path, b_iso=b_iso, displacement=asked)]
    imperfect: Imperfect | None = None
    if imperfections != Imperfections():
        settings = SimulationSettings(
            grid=grid,
            wavelength=wavelength,
            size_min=size,
            size_max=size,
            lorentzian_fraction=lorentzian_fraction,
        )
        simulator = ImperfectSimulator(settings, imperfections)

        def imperfect(crystal: Crystal, number: int) -> tuple[NDArray[np.float32], PatternParameters]:
            """Return pattern and parameters of the crystal of a number."""
            return simulator.pattern(crystal, SampleIdentity(seed, 0, 0, number))

    report = simulate_files(crystals, grid, wavelength, size, out, plot, lorentzian_fraction, imperfect)
    for remark in report.remarks:
        console.say(remark)
    if as_json:
        console.emit_json(report.records)
        return
    for line in report.table if peaks else report.summary:
        console.emit(line)
