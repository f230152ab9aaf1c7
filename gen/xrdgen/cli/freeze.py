"""The command `xrdgen freeze`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xrdgen.cli.shared_options import Effects, Preset, Step, TwoThetaMax, TwoThetaMin, Wavelength
from xrdgen.freezing.variants import Labels, Variant


def freeze(
    table: Annotated[str, typer.Argument(help="Structure table (parquet), or embedded:amcsd.")],
    out: Annotated[Path, typer.Option(help="Folder of the fixed set to make (Zarr).")],
    sizes: Annotated[
        int,
        typer.Option(
            "--sizes-per-crystal", "--sizes", help="Crystallite sizes, and so diffractograms, of every crystal."
        ),
    ] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the crystallite sizes.")] = 0,
    two_theta_min: TwoThetaMin = 5.0,
    two_theta_max: TwoThetaMax = 90.0,
    step: Step = 0.01,
    wavelength: Wavelength = 1.5406,
    size_min: Annotated[float, typer.Option(help="Smallest crystallite size, nm.")] = 20.0,
    size_max: Annotated[float, typer.Option(help="Largest crystallite size, nm.")] = 100.0,
    max_volume: Annotated[
        float | None, typer.Option(help="Leave out cells of this volume (Å^3) or more; the paper: 7000. Default: none.")
    ] = None,
    max_sites: Annotated[
        int | None,
        typer.Option(help="Leave out crystals with more sites in the asymmetric unit; the paper: 99. Default: none."),
    ] = None,
    full_sites: Annotated[
        bool,
        typer.Option("--full-sites", help="Leave out crystals with sites occupied in part or by several elements."),
    ] = False,
    structure_types: Annotated[
        str,
        typer.Option(
            metavar="FILE|LIST",
            help="Keep structures of these types alone: a file (as `xrdgen structures types` writes), or labels or "
            "Wyckoff keys with commas between them.",
            show_default=False,
        ),
    ] = "",
    labels: Annotated[
        Labels,
        typer.Option(help="Space group that is the label: spglib's, or the published one (where it is known)."),
    ] = Labels.SPGLIB,
    randomise: Annotated[
        Variant | None,
        typer.Option(
            help="Draw parts of the crystals anew: coordinates, lattice, both; reference: nothing. All sites full.",
            show_default=False,
        ),
    ] = None,
    statistics: Annotated[
        str, typer.Option(help="What lattices (--randomise) and impurities (--preset) are drawn by.")
    ] = "embedded:statistics",
    preset: Preset = "pure",
    effects: Effects = None,
    workers: Annotated[int, typer.Option(help="Processes; 1 works in this one.")] = 1,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing fixed set (or unfinished one).")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Simulate the diffractograms of known structures once and keep them, for tests and for training on real data.

    Partial and mixed occupancies are respected. Structures that cannot be simulated are listed in
    OUT.rejected.csv with the reason. The same table, settings and seed give the same files, with any number of
    workers. Killed or stopped, the same command goes on where it was; until then all is in OUT.partial.

    Everything in the table is kept unless --max-volume or --max-sites is given: the paper leaves out cells of
    7000 Å^3 or more and crystals with more than 99 sites, of its real structures too.

    --preset and --effects give the diffractograms the imperfections that `xrdgen produce` gives to random crystals;
    those of a row are drawn from seed and row, and stand in its record. Impurities are random crystals.

    --randomise makes the paper's randomised sets (section 3.3): four sets of one seed hold the same crystals and
    differ in what was drawn anew. The lattice variant keeps each crystal's volume. A crystal in which spglib does not
    find its space group in all four variants is left out of all of them.

    \b
    Example:
      xrdgen freeze parts/test.parquet --out test.zarr
      xrdgen freeze embedded:amcsd --out amcsd.zarr --sizes-per-crystal 2 --step 0.04
      xrdgen freeze icsd/test.parquet --out icsd-test.zarr --max-volume 7000 --max-sites 99 --workers 16
      xrdgen freeze parts/test.parquet --out test-published.zarr --full-sites --labels published
      xrdgen freeze parts/test.parquet --out test-both.zarr --randomise both
      xrdgen freeze embedded:amcsd --out measured.zarr --preset measured --effects no-impurity
    """
    from xrdcommon import console
    from xrdcommon.grid import Grid

    from xrdgen.diffraction.imperfections import Imperfections, parse_effects
    from xrdgen.diffraction.settings import SimulationSettings
    from xrdgen.embedded import resolve
    from xrdgen.freezing.effects import Effects
    from xrdgen.freezing.freeze import Limits, freeze_table, rejected_path
    from xrdgen.freezing.randomise import Randomisation
    from xrdgen.structures.types import read_types

    settings = SimulationSettings(
        grid=Grid(two_theta_min, two_theta_max, step),
        wavelength=wavelength,
        size_min=size_min,
        size_max=size_max,
    )
    imperfections = Imperfections.preset(preset)
    if effects is not None:
        imperfections = parse_effects(effects, imperfections, settings.measurement)
    types = tuple(name for name, _ in read_types(structure_types)) if structure_types else ()
    limits = Limits(max_volume, max_sites, full_sites, labels, types)
    report = freeze_table(
        resolve(table),
        out,
        settings,
        sizes=sizes,
        seed=seed,
        workers=workers,
        overwrite=force,
        limits=limits,
        randomisation=None if randomise is None else Randomisation(randomise, statistics, seed),
        effects=Effects(imperfections, preset, statistics),
    )
    if report.rejections:
        what = "could not be simulated" if limits == Limits() else "left out"
        doubtful = f", {report.doubtful} of them as their remarks say that they are doubtful" if report.doubtful else ""
        console.say(f"{len(report.rejections)} structures {what}{doubtful}: see {rejected_path(out)}")
    if json_output:
        console.emit_json(report.to_dict())
    else:
        console.emit(f"{out}: {report.diffractograms} diffractograms of {report.crystals} crystals, {settings.grid}")
