"""Showing statistics: summary for JSON, tables for the terminal, a plot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from xrdcommon.errors import InputError
from xrdcommon.space_groups import CRYSTAL_SYSTEMS, check_group, symbol

from xrdgen.elements import symbol as element_symbol
from xrdgen.statistics.model import Statistics
from xrdgen.symmetry.lattice import FREE_PARAMETERS
from xrdgen.symmetry.wyckoff import letter

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import RenderableType

LICENCE_WARNING = (
    "the sources are licensed: each support point (pair of V_atomic and density factor, lattice) derives from a single "
    "entry, and so may rare joint counts; check the licence before passing this file on"
)


def summary(statistics: Statistics, min_structures: int = 50) -> dict[str, Any]:
    """Return the figures of a statistics file as JSON values."""
    header = statistics.header
    return {
        "name": header.get("name", ""),
        "format": header.get("format"),
        "structures": int(statistics.n_structures.sum()),
        "space_groups": int((statistics.n_structures > 0).sum()),
        "classes": statistics.classes(min_structures),
        "min_structures": min_structures,
        "with_density_factor": len(statistics.v_atomic),
        "lattices": {system: len(statistics.lattices_of(system)) for system in CRYSTAL_SYSTEMS},
        "n_structures": {
            str(group): int(statistics.n_structures[group - 1]) for group in np.flatnonzero(statistics.n_structures) + 1
        },
        "sources": header.get("sources", []),
        "counts": header.get("counts", {}),
        "filters": header.get("filters", {}),
        "citations": header.get("citations", []),
        "inputs": header.get("inputs", []),
        "families_seen": len(statistics.family_hashes),
        "licensed": bool(header.get("licensed", False)),
    }


def group_summary(statistics: Statistics, group: int) -> dict[str, Any]:
    """Return what the statistics know of one space group.

    Raises:
        InputError: no such group, or none of the structures has it.

    """
    row = check_group(group) - 1
    n = int(statistics.n_structures[row])
    if not n:
        raise InputError(f"space group {group} ({symbol(group)}): no structure in the statistics")
    pairs = slice(int(statistics.volume_start[row]), int(statistics.volume_start[row + 1]))
    elements = statistics.elements[row]
    return {
        "space_group": group,
        "symbol": symbol(group),
        "structures": n,
        "elements_per_structure": _histogram(statistics.n_elements[row]),
        "sites_per_element": _histogram(statistics.repetitions[row]),
        "sites_per_structure": _sparse_histogram(statistics.n_sites, group),
        "atoms_per_cell": _sparse_histogram(statistics.n_atoms, group),
        "elements": {
            element_symbol(int(z) + 1): int(elements[z])
            for z in np.argsort(-elements, kind="stable")[: np.count_nonzero(elements)]
        },
        "wyckoff": {letter(index): int(count) for index, count in enumerate(statistics.wyckoff[row]) if count},
        "volume": _quartiles(statistics.v_atomic[pairs] * statistics.density_factor[pairs]),
        "density_factor": _quartiles(statistics.density_factor[pairs]),
    }


def _histogram(counts: Any) -> dict[str, int]:
    """Return the entries of a histogram that are not 0."""
    return {str(index): int(count) for index, count in enumerate(counts) if count}


def _sparse_histogram(counts: Any, group: int) -> dict[str, int]:
    """Return the histogram of one group from sparse counts (J, 3)."""
    return {str(value): n for _, value, n in counts[counts[:, 0] == group].tolist()}


def _quartiles(values: Any) -> list[float]:
    """Return minimum, quartiles and maximum."""
    return [round(float(value), 4) for value in np.percentile(values, [0, 25, 50, 75, 100])] if len(values) else []


def summary_view(statistics: Statistics, min_structures: int = 50) -> list[RenderableType]:
    """Return the summary for the terminal."""
    from rich.table import Table

    figures = summary(statistics, min_structures)
    overview = Table(title=f"Statistics {figures['name']}".rstrip(), show_header=False, title_justify="left")
    overview.add_row("structures", f"{figures['structures']:,} in {figures['space_groups']} space groups")
    overview.add_row(f"groups with {min_structures} or more", str(len(figures["classes"])))
    overview.add_row("density factors", f"{figures['with_density_factor']:,}")
    overview.add_row("lattices", ", ".join(f"{name} {n:,}" for name, n in figures["lattices"].items() if n))
    overview.add_row("families seen", f"{figures['families_seen']:,} keys (salted hashes)")
    for source, tally in figures["counts"].items():
        overview.add_row(source, ", ".join(f"{n:,} {what}" for what, n in tally.items()))
    for item in figures["inputs"]:
        overview.add_row("input", f"{item['file']} (sha256 {item['sha256'][:12]})")
    for citation in figures["citations"]:
        overview.add_row("cite", citation)
    groups = Table(title="Most frequent space groups", title_justify="left")
    for column in ("group", "symbol", "structures", "median volume Å³", "median density factor"):
        groups.add_column(column, justify="right")
    for row in np.argsort(-statistics.n_structures, kind="stable")[:20]:
        group = int(row) + 1
        if not statistics.n_structures[row]:
            break
        detail = group_summary(statistics, group)
        medians = [f"{detail[name][2]:.4g}" if detail[name] else "-" for name in ("volume", "density_factor")]
        groups.add_row(str(group), detail["symbol"], f"{detail['structures']:,}", *medians)
    return [overview, groups]


def group_view(statistics: Statistics, group: int) -> list[RenderableType]:
    """Return what is known of one group for the terminal."""
    from rich.table import Table

    detail = group_summary(statistics, group)
    table = Table(title=f"Space group {group}, {detail['symbol']}", show_header=False, title_justify="left")
    table.add_row("structures", f"{detail['structures']:,}")
    for name in (
        "elements_per_structure",
        "sites_per_element",
        "sites_per_structure",
        "atoms_per_cell",
        "wyckoff",
        "elements",
    ):
        entries = list(detail[name].items())
        text = ", ".join(f"{key}: {n:,}" for key, n in entries[:30])
        table.add_row(name.replace("_", " "), text + (", ..." if len(entries) > 30 else ""))
    for name in ("volume", "density_factor"):
        table.add_row(f"{name.replace('_', ' ')} (quartiles)", ", ".join(f"{value:.4g}" for value in detail[name]))
    return [table]


def plot(statistics: Statistics, path: Path, min_structures: int = 50) -> None:
    """Plot groups, volumes, density factors and lattices into a file (PNG, PDF or SVG).

    Raises:
        InputError: a file type that cannot be written.

    """
    figure = new_figure(11, 8)
    groups, volumes, factors, lattices = figure.subplots(2, 2).ravel()
    represented = statistics.n_structures >= min_structures
    numbers = np.arange(1, len(represented) + 1)
    for chosen, colour, label in (
        (represented, "#2a6f97", f"{min_structures} or more structures: {int(represented.sum())} groups"),
        (~represented, "#c9a227", f"fewer: {int((~represented & (statistics.n_structures > 0)).sum())} groups"),
    ):
        groups.bar(numbers[chosen], statistics.n_structures[chosen], width=1.0, color=colour, label=label)
    groups.set(yscale="log", xlabel="space group", ylabel="structures", title="Space groups")
    groups.legend(frameon=False)
    volumes.hist(statistics.v_atomic * statistics.density_factor, bins=80, color="#2a6f97")
    volumes.set(xlabel="volume of the conventional cell / Å³", ylabel="structures", title="Volume")
    factors.hist(np.clip(statistics.density_factor, 0.0, 4.0), bins=80, color="#2a6f97")
    factors.set(xlabel="volume / V_atomic (clipped at 4)", ylabel="structures", title="Density factor")
    for system in CRYSTAL_SYSTEMS:
        cells = statistics.lattices_of(system)
        if len(cells) and FREE_PARAMETERS[system]:
            lattices.hist(
                np.log2(cells[:, 2] / cells[:, 0]),
                bins=np.linspace(-3, 3, 61),
                histtype="step",
                label=system,
                density=True,
            )
    lattices.set(xlabel="log2 (c / a)", ylabel="density", title="Lattices")
    lattices.legend(frameon=False, fontsize=8)
    save_figure(figure, path)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches that needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def check_plot_type(path: Path) -> None:
    """Refuse a file type that cannot be written, before any work is done for the plot.

    Raises:
        InputError: it cannot.

    """
    types = new_figure(1, 1).canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in types:
        raise InputError(f"{path}: cannot be plotted to; name a file .png, .pdf or .svg")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure (PNG, PDF or SVG, by the name).

    Raises:
        InputError: a file type that cannot be written.

    """
    check_plot_type(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
