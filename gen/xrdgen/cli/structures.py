"""The commands `xrdgen structures import`, `split` and `types`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xrdgen.splitting import SplitBy
from xrdgen.structures.type_counts import NamedBy

app = typer.Typer(
    help="Read real crystal structures and part them into training and test.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("import")
def import_(
    source: Annotated[
        list[str],
        typer.Argument(help="CIF files, folders or zips; an ICSD export (CSV or its folder); tables; embedded:amcsd."),
    ],
    out: Annotated[Path, typer.Option(help="Structure table to write (parquet).")],
    symprec: Annotated[float, typer.Option(help="Tolerance of spglib's symmetry search, Å.")] = 0.01,
    workers: Annotated[int, typer.Option(help="Processes; 0 takes all cores, 1 works in this one.")] = 0,
    name: Annotated[str, typer.Option(help="Name of the collection, for entries that do not say.")] = "",
    citation: Annotated[str, typer.Option(help="What to cite for these structures.")] = "",
    json_output: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Read structures and write them as one table in the standard setting.

    spglib finds the symmetry; every site is moved onto its Wyckoff position; the published space group, the ICSD's
    structure type and its collection code are kept, displacement parameters too. What is left out is in
    OUT.rejected.csv with the reason; what was decided while reading, or is not as it should be, is in the column
    `remarks`. Rows with a remark that begins with `doubtful:` are left out by statistics, freeze and split.
    Stopped, the same command goes on where it was.

    \b
    Example:
      xrdgen structures import my-cifs/ more.zip --out mine.parquet
      xrdgen structures import icsd/ICSD_data_from_API.csv --out icsd.parquet --workers 32
      xrdgen structures import embedded:amcsd --out amcsd.parquet
    """
    from xrdcommon import console

    from xrdgen.structures.importing import ENOUGH_FOR_ESTIMATE, ICSD_SIZE, import_structures, rejected_path

    with console.progress("entries read", None) as advance:
        report = import_structures(
            source, out, symprec=symprec, workers=workers, source_name=name, citation=citation, advance=advance
        )
    if json_output:
        console.emit_json(report.to_dict())
        return
    console.emit(f"{out}: {report.imported} of {report.read} entries imported, {report.disordered} of them disordered")
    if report.rejected:
        console.emit(f"{rejected_path(out)}: {report.rejected} entries left out, with the reasons")
    if report.remarked:
        console.emit(
            f"{report.remarked} entries with remarks (column remarks), {report.doubtful} of them doubtful: left out by "
            "statistics, freeze and split"
        )
    if report.published:
        share = 100.0 * report.published_differs / report.published
        console.emit(
            f"spglib's space group differs from the published one in {report.published_differs} of "
            f"{report.published} ({share:.1f} %)"
        )
    console.emit(f"{report.seconds_per_1000:.1f} s of one process for 1000 entries; {report.seconds:.0f} s in all")
    if report.estimated_hours is not None and report.read >= ENOUGH_FOR_ESTIMATE:
        console.emit(
            f"estimate for {ICSD_SIZE:,} CIFs with {report.workers} "
            f"worker{'s' if report.workers > 1 else ''}: {report.estimated_hours:.1f} h"
        )


@app.command()
def split(
    table: Annotated[list[str], typer.Argument(help="Structure tables; their union is split.")],
    out: Annotated[Path, typer.Option(help="Folder for train.parquet, test.parquet and split.json.")],
    by: Annotated[SplitBy, typer.Option(help="Unit that stays whole.")] = SplitBy.STRUCTURE_TYPE,
    test_fraction: Annotated[float, typer.Option(help="Fraction of the units in the test part.")] = 0.3,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    statistics: Annotated[str, typer.Option(help="With --by unseen: statistics file.")] = "",
    json_output: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Part structures into training and test so that whole families stay together.

    structure-type: the ICSD's type where given, else families linked by Wyckoff key and by mineral name and group.
    prototype: prototype_iso alone, which parts a solid solution from its ordered parent. random: every structure for
    itself. unseen: nothing is drawn, the test part is what no structure of a statistics file is related to.

    \b
    Example:
      xrdgen structures split mine.parquet --out parts
      xrdgen structures split mine.parquet --by unseen --statistics embedded:statistics --out parts
    """
    from xrdcommon import console

    from xrdgen.splitting import split_tables

    report = split_tables(table, out, by=by, test_fraction=test_fraction, seed=seed, statistics=statistics or None)
    if json_output:
        console.emit_json(report.to_dict())
        return
    console.emit(
        f"{out}: {report.train} training and {report.test} test structures; "
        f"{report.test_units} of {report.units} units in the test part (by {report.by})"
    )
    if report.doubtful:
        console.emit(f"{report.doubtful} structures in neither part: their remarks say that they are doubtful")
    for kind, counts in report.shared.items():
        if counts["train"] or counts["test"]:
            console.emit(
                f"{kind.replace('_', ' ')} in both parts: {counts['both']} (of {counts['train']} and "
                f"{counts['test']}), in {counts['test_structures']} test structures"
            )


@app.command()
def types(
    table: Annotated[list[str], typer.Argument(help="Structure tables, or embedded:amcsd.")],
    out: Annotated[Path, typer.Option(help="List to write (CSV).")],
    by: Annotated[
        NamedBy,
        typer.Option(help="label: positions and what shares an element; wyckoff-key: positions alone."),
    ] = NamedBy.LABEL,
    space_groups: Annotated[
        str, typer.Option("--space-groups", "--space-group", metavar="LIST", help="Only these, such as 14,62,195-230.")
    ] = "",
    min_count: Annotated[int, typer.Option(help="Leave out types of fewer structures.")] = 1,
    statistics: Annotated[
        str,
        typer.Option(
            help="Leave out types of which no crystal can be drawn by these statistics (a file, or "
            "embedded:statistics).",
            show_default=False,
        ),
    ] = "",
    min_structures: Annotated[
        int, typer.Option(help="With --statistics: leave out groups with fewer structures there.")
    ] = 50,
    json_output: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """List the structure types of tables with their frequencies, to draw synthetic crystals of them alone.

    `xrdgen produce --structure-types LIST` (and sample, freeze) takes the list. Lines can be removed from it, and the
    counts changed: they are how often each type is drawn, relative to the others.

    \b
    Example:
      xrdgen structures types embedded:amcsd --min-count 10 --statistics embedded:statistics --out types.csv
      xrdgen structures types icsd.parquet --space-groups 221,225,227 --out cubic.csv
    """
    from xrdcommon import console
    from xrdcommon.files import check_output
    from xrdcommon.space_groups import parse_groups

    from xrdgen.crystals.drawable import undrawable
    from xrdgen.crystals.settings import GeneratorSettings
    from xrdgen.embedded import resolve
    from xrdgen.statistics.model import Statistics
    from xrdgen.structures.type_counts import count_types, said, write_types

    check_output(out, [resolve(path) for path in table])
    found, left_out = count_types(
        table, by=by, groups=parse_groups(space_groups) if space_groups else (), min_count=min_count
    )
    if statistics:
        settings = GeneratorSettings(min_structures=min_structures)
        with console.progress("types tried", len(found)) as advance:
            faults = undrawable([item.type for item in found], Statistics.load(statistics), settings, advance)
        for item in found:
            if item.type in faults:
                left_out[faults[item.type]] += item.count
        found = [item for item in found if item.type not in faults]
    write_types(out, found)
    structures = sum(item.count for item in found)
    groups = len({item.space_group for item in found})
    if json_output:
        console.emit_json(
            {"types": len(found), "structures": structures, "space_groups": groups, "left_out": dict(left_out)}
        )
        return
    console.emit(f"{out}: {len(found)} structure types of {groups} space groups, {structures} structures")
    if left_out:
        console.emit(f"structures left out: {said(left_out)}")
