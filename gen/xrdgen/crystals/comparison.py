"""How far the crystals of each preset are from the real structures: Kolmogorov-Smirnov distances, a table, a plot.

    D = max over x of |F_drawn(x) - F_real(x)|,  F(x) the share of values up to x

Crystals are drawn with the natural frequencies of the groups and verified, as in a production. Structures with
vacancies have no density factor; the others of their group are weighted so that every group keeps its share.

# G = 230 groups    N values    n crystals drawn
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from xrdcommon import console
from xrdcommon.errors import InputError
from xrdcommon.identity import SampleIdentity
from xrdcommon.space_groups import N_GROUPS, crystal_system

from xrdgen.crystals.generator import N_ATTEMPT_REASONS, CrystalGenerator
from xrdgen.crystals.settings import PRESETS, GeneratorSettings
from xrdgen.crystals.tables import represented_groups
from xrdgen.statistics.show import new_figure, save_figure

if TYPE_CHECKING:
    from rich.console import RenderableType

    from xrdgen.statistics.model import Statistics

QUANTITIES = {
    "volume": ("volume / Å³", "volume of the conventional cell / Å³"),
    "density_factor": ("density factor", "density factor V / V_atomic"),
    "n_atoms": ("atoms in the cell", "atoms in the conventional cell"),
    "n_sites": ("sites", "sites in the asymmetric unit"),
    "c_over_a": ("c / a", "c / a of the lattices that are not cubic"),
}
"""What is compared: short and long label."""

WITHIN_GROUPS, WITHIN_LABEL = "c_over_a_within_groups", "c / a within groups"
"""Mean of the distances of c / a group by group, weighted with the crystals drawn."""

LEAST_CRYSTALS = 100
"""Crystals, of a group or of all, below which a distance says nothing."""

COLOURS = {"real": "black", "paper": "#c9711a", "improved": "#2a6f97"}


@dataclass(frozen=True, slots=True)
class Sample:
    """Values of each quantity with their groups and weights.

    Attributes:
        values: (N,) by quantity.
        groups: (N,) space groups of the values.
        weights: (N,) of the values.

    """

    values: dict[str, NDArray[np.float64]]
    groups: dict[str, NDArray[np.int64]]
    weights: dict[str, NDArray[np.float64]]

    def median(self, quantity: str) -> float:
        """Return the weighted median."""
        order = np.argsort(self.values[quantity])
        total = np.cumsum(self.weights[quantity][order])
        return float(self.values[quantity][order][np.searchsorted(total, total[-1] / 2.0)]) if len(order) else np.nan


@dataclass(frozen=True, slots=True)
class Comparison:
    """Crystals of all presets beside the real structures.

    Attributes:
        n: crystals drawn of each preset.
        classes: number of space groups that are drawn.
        real: the real structures.
        drawn: crystals by preset.
        distances: KS distances by preset and quantity.
        refused: share of the attempts that gave no crystal, by preset.

    """

    n: int
    classes: int
    real: Sample
    drawn: dict[str, Sample]
    distances: dict[str, dict[str, float]]
    refused: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return {
            "crystals": self.n,
            "space_groups": self.classes,
            "medians": {
                name: {quantity: sample.median(quantity) for quantity in QUANTITIES}
                for name, sample in {"real": self.real, **self.drawn}.items()
            },
            "ks_distances": self.distances,
            "refused_share": self.refused,
        }


def ks_distance(
    one: NDArray[np.float64],
    other: NDArray[np.float64],
    one_weights: NDArray[np.float64] | None = None,
    other_weights: NDArray[np.float64] | None = None,
) -> float:
    """Return the largest difference between the distribution functions of two weighted samples (N,), (N',)."""
    at = np.union1d(one, other)
    return float(np.abs(_share_up_to(at, one, one_weights) - _share_up_to(at, other, other_weights)).max(initial=0.0))


def _share_up_to(
    at: NDArray[np.float64], values: NDArray[np.float64], weights: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Return the share of the weight of values (N,) up to each point of `at`."""
    order = np.argsort(values)
    total = np.concatenate([[0.0], np.cumsum(np.ones(len(values)) if weights is None else weights[order])])
    share: NDArray[np.float64] = total[np.searchsorted(values[order], at, side="right")] / total[-1]
    return share


def real_sample(statistics: Statistics, classes: NDArray[np.int64]) -> Sample:
    """Return the real structures of some space groups, as the statistics know them."""
    numbers = np.arange(1, N_GROUPS + 1)
    n_pairs, n_lattices = np.diff(statistics.volume_start), np.diff(statistics.lattice_start)
    of_pairs, of_lattices = np.repeat(numbers, n_pairs), np.repeat(numbers, n_lattices)
    share = statistics.n_structures / np.maximum(n_pairs, 1)
    entries = {
        "volume": (statistics.v_atomic * statistics.density_factor, of_pairs, share[of_pairs - 1]),
        "density_factor": (statistics.density_factor, of_pairs, share[of_pairs - 1]),
        "n_atoms": tuple(statistics.n_atoms[:, column] for column in (1, 0, 2)),
        "n_sites": tuple(statistics.n_sites[:, column] for column in (1, 0, 2)),
        "c_over_a": (statistics.lattice[:, 2] / statistics.lattice[:, 0], of_lattices, np.ones(len(of_lattices))),
    }
    kept = {quantity: np.isin(groups, classes) for quantity, (_, groups, _) in entries.items()}
    return Sample(
        values={quantity: entry[0][kept[quantity]].astype(np.float64) for quantity, entry in entries.items()},
        groups={quantity: entry[1][kept[quantity]].astype(np.int64) for quantity, entry in entries.items()},
        weights={quantity: entry[2][kept[quantity]].astype(np.float64) for quantity, entry in entries.items()},
    )


def drawn_sample(generator: CrystalGenerator, n: int, seed: int) -> Sample:
    """Draw n crystals and return their quantities."""
    drawn: dict[str, list[float]] = {quantity: [] for quantity in QUANTITIES}
    groups: dict[str, list[int]] = {quantity: [] for quantity in QUANTITIES}
    for index in console.track(range(n), f"crystals ({generator.settings.preset})"):
        crystal = generator.draw(SampleIdentity(seed, 0, 0, index))
        volume = crystal.volume
        values = {
            "volume": volume,
            "density_factor": volume / crystal.v_atomic,
            "n_atoms": crystal.n_atoms,
            "n_sites": crystal.n_sites,
        }
        if crystal_system(crystal.space_group) != "cubic":
            values["c_over_a"] = crystal.cell[2] / crystal.cell[0]
        for quantity, value in values.items():
            drawn[quantity].append(float(value))
            groups[quantity].append(crystal.space_group)
    return Sample(
        values={quantity: np.array(values) for quantity, values in drawn.items()},
        groups={quantity: np.array(values, dtype=np.int64) for quantity, values in groups.items()},
        weights={quantity: np.ones(len(values)) for quantity, values in drawn.items()},
    )


def distances(drawn: Sample, real: Sample) -> dict[str, float]:
    """Return the KS distance of every quantity, NaN where there is nothing to compare."""
    result = {}
    for quantity in QUANTITIES:
        pair = [(sample.values[quantity], sample.weights[quantity]) for sample in (drawn, real)]
        known = all(len(values) for values, _ in pair)
        result[quantity] = ks_distance(pair[0][0], pair[1][0], pair[0][1], pair[1][1]) if known else np.nan
    values, groups = drawn.values["c_over_a"], drawn.groups["c_over_a"]
    of_groups, crystals = [], []
    for group in np.unique(groups):
        own = values[groups == group]
        if len(own) >= LEAST_CRYSTALS:
            of_groups.append(ks_distance(own, real.values["c_over_a"][real.groups["c_over_a"] == group]))
            crystals.append(len(own))
    result[WITHIN_GROUPS] = float(np.average(of_groups, weights=crystals)) if crystals else np.nan
    return result


def compare(statistics: Statistics, n: int, *, min_structures: int = 50, seed: int = 0) -> Comparison:
    """Draw crystals of each preset and measure how far they are from the real structures.

    Args:
        statistics: of real structures.
        n: crystals of each preset.
        min_structures: groups with fewer structures are left out.
        seed: of the crystals.

    Raises:
        InputError: too few crystals, or no group has so many structures.

    """
    if n < LEAST_CRYSTALS:
        raise InputError(f"-n {n}: a comparison needs at least {LEAST_CRYSTALS} crystals")
    settings = [GeneratorSettings(preset=preset, min_structures=min_structures) for preset in PRESETS]
    classes = np.array(represented_groups(statistics, settings[0]), dtype=np.int64)
    real = real_sample(statistics, classes)
    drawn, refused = {}, {}
    for chosen in settings:
        generator = CrystalGenerator(statistics, chosen)
        drawn[chosen.preset] = drawn_sample(generator, n, seed)
        failed = int(generator.rejections[:, :N_ATTEMPT_REASONS].sum())
        refused[chosen.preset] = failed / (failed + n)
    found = {preset: distances(sample, real) for preset, sample in drawn.items()}
    return Comparison(n, len(classes), real, drawn, found, refused)


def compare_view(comparison: Comparison) -> list[RenderableType]:
    """Return the table for the terminal."""
    from rich.table import Table

    title = f"{comparison.n:,} crystals of each preset, {comparison.classes} space groups"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    table.add_column("real", justify="right")
    for preset in PRESETS:
        table.add_column(preset, justify="right")
        table.add_column("D", justify="right")
    for quantity, (label, _) in QUANTITIES.items():
        cells = [f"{comparison.real.median(quantity):.4g}"]
        for preset in PRESETS:
            distance = comparison.distances[preset][quantity]
            cells += [f"{comparison.drawn[preset].median(quantity):.4g}", f"{distance:.3f}"]
        table.add_row(label, *cells)
    within = [text for preset in PRESETS for text in ("", f"{comparison.distances[preset][WITHIN_GROUPS]:.3f}")]
    table.add_row(WITHIN_LABEL, "", *within)
    refused = [text for preset in PRESETS for text in (f"{100.0 * comparison.refused[preset]:.1f} %", "")]
    table.add_row("attempts refused", "", *refused)
    note = "Medians and Kolmogorov-Smirnov distances D to the real structures; c / a without cubic lattices."
    return [table, note]


def compare_plot(comparison: Comparison, path: Path) -> None:
    """Plot the distribution functions into a file (PNG, PDF or SVG).

    Raises:
        InputError: a file type that cannot be written.

    """
    figure = new_figure(12, 7.5)
    panels = figure.subplots(2, 3).ravel()
    samples = {"real": comparison.real, **comparison.drawn}
    for panel, (quantity, (_, label)) in zip(panels, QUANTITIES.items(), strict=False):
        real = np.sort(comparison.real.values[quantity])
        for name, sample in samples.items():
            if not len(sample.values[quantity]):
                continue
            at = np.unique(sample.values[quantity])
            share = _share_up_to(at, sample.values[quantity], sample.weights[quantity])
            distance = "" if name == "real" else f", D = {comparison.distances[name][quantity]:.3f}"
            width = 2.2 if name == "real" else 1.4
            panel.step(at, share, where="post", color=COLOURS[name], linewidth=width, label=f"{name}{distance}")
        if len(real):
            panel.set_xlim(*np.quantile(real, [0.001, 0.998]))
        panel.set(xscale="log", ylim=(0.0, 1.0), xlabel=label)
        panel.set_ylabel("share of the structures up to this value")
        panel.grid(alpha=0.25)
        panel.legend(frameon=False, loc="lower right", fontsize=9, handlelength=1.2)
    _plain_ticks(panels[:5])
    bars = panels[5]
    names = {**{name: short for name, (short, _) in QUANTITIES.items()}, WITHIN_GROUPS: "c / a within\ngroups"}
    rows = np.arange(len(names))
    for index, preset in enumerate(PRESETS):
        lengths = [comparison.distances[preset][name] for name in names]
        bars.barh(rows + 0.4 * index - 0.2, lengths, height=0.38, color=COLOURS[preset], label=preset)
    bars.set_yticks(rows, list(names.values()))
    bars.invert_yaxis()
    bars.set_xlabel("KS distance D to the real structures")
    bars.legend(frameon=False, loc="upper right")
    figure.suptitle(
        f"Real structures and {comparison.n:,} crystals of each preset, {comparison.classes} space groups (natural)"
    )
    save_figure(figure, path)


def _plain_ticks(panels: Any) -> None:
    """Label logarithmic axes 1, 2, 5, 10 ... instead of powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    for panel in panels:
        panel.xaxis.set_major_locator(LogLocator(base=10.0, subs=(1.0, 2.0, 5.0)))
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.xaxis.set_minor_locator(NullLocator())
