"""The commands `xrdgen statistics build` and `show`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from xrdgen.statistics.model import Statistics

app = typer.Typer(
    help="Count in structure tables what the generator draws from.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def build(
    out: Annotated[Path, typer.Option(help="Statistics file to write.")],
    table: Annotated[list[str] | None, typer.Argument(help="Structure tables, as a rule train.parquet.")] = None,
    merge: Annotated[list[str] | None, typer.Option(help="Further statistics to add; may be repeated.")] = None,
    name: Annotated[str, typer.Option(help="Name of the statistics.")] = "",
    citation: Annotated[str, typer.Option(help="What to cite, besides what the tables say.")] = "",
    max_volume: Annotated[float, typer.Option(help="Structures from this volume on are left out, Å^3.")] = 7000.0,
    max_sites: Annotated[int, typer.Option(help="Structures with more sites are left out.")] = 99,
    seed: Annotated[int, typer.Option(help="Seed of the order of the support points.")] = 0,
    json_output: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Build statistics from structure tables: one versioned file without ids.

    \b
    Example:
      xrdgen statistics build parts/train.parquet --out mine.npz
      xrdgen statistics build parts/train.parquet --merge embedded:statistics-materials-project --out both.npz
    """
    from xrdcommon import console
    from xrdcommon.files import check_output

    from xrdgen.statistics.build import Filters, build_statistics
    from xrdgen.statistics.show import LICENCE_WARNING, summary

    check_output(out, [Path(path) for path in (*(table or []), *(merge or []))])
    statistics = build_statistics(
        table or [],
        filters=Filters(max_volume=max_volume, max_sites=max_sites),
        merge=merge or [],
        name=name or out.stem,
        citation=citation,
        seed=seed,
    )
    statistics.save(out)
    figures = summary(statistics)
    if figures["licensed"]:
        console.say(f"warning: {LICENCE_WARNING}")
    if json_output:
        console.emit_json(figures)
        return
    console.emit(
        f"{out}: {figures['structures']:,} structures in {figures['space_groups']} space groups, "
        f"{len(figures['classes'])} of them with {figures['min_structures']} or more"
    )
    for source, tally in figures["counts"].items():
        console.emit(f"  {source}: " + ", ".join(f"{n:,} {what}" for what, n in tally.items()))


@app.command()
def show(
    file: Annotated[str, typer.Argument(help="Statistics file, or embedded:statistics.")] = "embedded:statistics",
    space_group: Annotated[int | None, typer.Option(help="Show what is known of this group.")] = None,
    min_structures: Annotated[int, typer.Option(help="Structures that make a group a class.")] = 50,
    plot: Annotated[Path | None, typer.Option(help="Plot to this file (PNG, PDF, SVG).")] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Draw crystals of each preset and measure how far they are from reality.")
    ] = False,
    number: Annotated[
        int | None, typer.Option("-n", "--number", help="Crystals of each preset; 20000 by default.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Show what a statistics file contains and where it comes from.

    With --compare, draw crystals of the presets paper and improved, and show the Kolmogorov-Smirnov distances of their
    volumes, density factors, numbers of atoms and sites, and c / a to the real structures; the plot shows the
    distributions.

    \b
    Example:
      xrdgen statistics show
      xrdgen statistics show mine.npz --space-group 225 --plot mine.png
      xrdgen statistics show mine.npz --compare --plot presets.png
    """
    from rich.console import Console
    from xrdcommon import console
    from xrdcommon.errors import InputError

    from xrdgen.statistics import show as views
    from xrdgen.statistics.model import Statistics

    if number is not None and not compare:
        raise InputError("-n belongs to --compare: it says how many crystals are drawn")
    if compare and space_group is not None:
        raise InputError("--compare with --space-group: crystals are compared over all groups; choose one of the two")
    if plot is not None:
        views.check_plot_type(plot)
    statistics = Statistics.load(file)
    if compare:
        _compare(statistics, 20_000 if number is None else number, min_structures, plot, json_output=json_output)
        return
    if json_output:
        figures = views.summary(statistics, min_structures)
        console.emit_json(figures if space_group is None else views.group_summary(statistics, space_group))
    else:
        shown = (
            views.summary_view(statistics, min_structures)
            if space_group is None
            else views.group_view(statistics, space_group)
        )
        terminal = Console()
        for table in shown:
            terminal.print(table)
    if statistics.header.get("licensed"):
        console.say(f"warning: {views.LICENCE_WARNING}")
    if plot is not None:
        views.plot(statistics, plot, min_structures)
        console.say(f"{plot}: plotted")


def _compare(statistics: Statistics, n: int, min_structures: int, plot: Path | None, *, json_output: bool) -> None:
    """Draw crystals of each preset, print and plot how far they are from the real structures."""
    from rich.console import Console
    from xrdcommon import console

    from xrdgen.crystals import comparison as views

    comparison = views.compare(statistics, n, min_structures=min_structures)
    if json_output:
        console.emit_json(comparison.to_dict())
    else:
        terminal = Console()
        for table in views.compare_view(comparison):
            terminal.print(table)
    if plot is not None:
        views.compare_plot(comparison, plot)
        console.say(f"{plot}: plotted")
