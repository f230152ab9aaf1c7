"""The steps of the paper's S1 in plain Python: one attempt at a crystal.

| step of S1 | what is drawn | function |
|---|---|---|
| 2 | number of elements | `draw_number_of_elements` |
| 3 | elements without replacement, and how many atoms of each | `draw_contents` |
| 4 | a Wyckoff position for each atom | `draw_positions` |
| 7 | density factor given V_atomic, from the conditional KDE of the group | `draw_volume` |
| 5 | uniform coordinates in the free parameters of the positions | `draw_parameters` |
| 6 | unit-volume lattice from the KDE of the crystal system | `draw_unit_cell` |

The volume is drawn before the coordinates: it refuses most, and what is refused needs no coordinates.
An attempt that fails raises `Refused` with its reason.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from xrdgen.crystals.settings import GeneratorSettings
from xrdgen.crystals.tables import SamplerTables
from xrdgen.reference.crystal import ReferenceCrystal, cell_volume, v_atomic
from xrdgen.reference.positions import Position, group_positions
from xrdgen.reference.stream import RandomStream

MAX_COLLISIONS = 32
"""After so many picks of what is taken, one pick is made among what is free: the distribution is the same."""

MAX_MISSES = 40
"""After so many picks refused by their weight, one pick is made by the sum of the weights: the same distribution."""

MAX_REDRAWS = 1000
"""Density factors out of range after which the attempt is given up."""

NEGLIGIBLE = 72.0
"""Square of the distance, in bandwidths, beyond which the weight of a support point vanishes in rounding."""


LATTICE_REDRAWS, DENSITY_FACTOR_REDRAWS = REDRAWS = ("lattice_redraws", "density_factor_redraws")
"""Single values drawn again within an attempt."""


class Refused(Exception):  # noqa: N818 - an outcome, not an error
    """The attempt ended without a crystal."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Sampler:
    """Draws candidates; their space group is not verified yet.

    Attributes:
        redraws: single values drawn again within an attempt, by reason, since it was emptied last.

    """

    def __init__(self, tables: SamplerTables, settings: GeneratorSettings) -> None:
        self.tables = tables
        self.settings = settings
        self.redraws: Counter[str] = Counter()

    def draw_choice(self, stream: RandomStream) -> int:
        """Draw the space group (step 1), or the structure type: its number among the choices."""
        return stream.categorical(self.tables.choices.weights)

    def group_of(self, choice: int) -> int:
        """Return the space group of a choice."""
        return int(self.tables.choices.group[choice])

    def sites_of(self, choice: int) -> list[tuple[int, int]]:
        """Return Wyckoff letter and element (-1: open) of the sites of a structure type; none for a group alone."""
        choices = self.tables.choices
        sites = slice(int(choices.site_start[choice]), int(choices.site_start[choice + 1]))
        return list(zip(choices.letters[sites].tolist(), choices.elements[sites].tolist(), strict=True))

    def draw_number_of_elements(self, stream: RandomStream, choice: int) -> int:
        """Draw how many elements the crystal has (step 2)."""
        sites = self.sites_of(choice)
        counts = self.tables.n_elements[self.group_of(choice) - 1]
        if not sites:
            return stream.categorical(counts)
        given = max(element for _, element in sites) + 1
        return given or self.draw_within(stream, counts, 1, len(sites))

    def draw_within(self, stream: RandomStream, cumulative: NDArray[np.int64], low: int, high: int) -> int:
        """Draw a category of low ... high by its counts, `low` where none of these was counted."""
        counts = np.diff(cumulative, prepend=0)
        counts[:low] = 0
        counts[high + 1 :] = 0
        return stream.categorical(np.cumsum(counts)) if counts.any() else low

    def draw_candidate(self, stream: RandomStream, choice: int, n_elements: int) -> ReferenceCrystal:
        """Make one attempt.

        Raises:
            Refused: too many atoms (`sites`), no free position left (`positions`), V_atomic above that of every
                structure (`atomic_volume`), cell too large (`volume`).

        """
        group = self.group_of(choice)
        sites = self.sites_of(choice)
        if sites:
            elements, positions = self.draw_contents_of_type(stream, group, sites, n_elements)
        else:
            elements = self.draw_contents(stream, group, n_elements)
            positions = self.draw_positions(stream, group, len(elements))
        volume = self.draw_volume(stream, group, elements, positions)
        parameters = self.draw_parameters(stream, positions)
        unit_cell = self.draw_unit_cell(stream, group)
        cell = unit_cell * np.array([volume ** (1.0 / 3.0)] * 3 + [1.0] * 3)
        return ReferenceCrystal(group, cell, elements, positions, parameters)

    def draw_contents(self, stream: RandomStream, group: int, n_elements: int) -> tuple[int, ...]:
        """Return Z of every atom of the asymmetric unit, element after element (step 3)."""
        elements: list[int] = []
        atoms: list[int] = []
        for _ in range(n_elements):
            elements.append(self.draw_element(stream, group, elements))
            row = self.tables.repetition_row[group - 1, elements[-1] - 1]
            atoms += [elements[-1]] * stream.categorical(self.tables.repetitions[row])
        if len(atoms) > self.settings.max_sites:
            raise Refused("sites")
        return tuple(atoms)

    def draw_contents_of_type(
        self, stream: RandomStream, group: int, sites: list[tuple[int, int]], n_elements: int
    ) -> tuple[tuple[int, ...], tuple[Position, ...]]:
        """Return Z and Wyckoff position of every site of a structure type (step 3; the positions are given)."""
        available = group_positions(group).positions
        chosen: list[int] = []
        for _ in range(n_elements):
            chosen.append(self.draw_element(stream, group, chosen))
        letters = [letter for letter, _ in sites]
        elements = [chosen[element] for _, element in sites if element >= 0]
        if not elements:
            for number, z in enumerate(chosen, start=1):
                left, after = len(sites) - len(elements), n_elements - number
                counts = self.tables.repetitions[self.tables.repetition_row[group - 1, z - 1]]
                elements += [z] * (self.draw_within(stream, counts, 1, left - after) if after else left)
            for site in range(len(sites) - 1, 0, -1):  # Fisher and Yates
                other = stream.below(site + 1)
                letters[site], letters[other] = letters[other], letters[site]
        return tuple(elements), tuple(available[letter] for letter in letters)

    def draw_element(self, stream: RandomStream, group: int, taken: list[int]) -> int:
        """Draw Z of an element that is not taken."""
        cumulative = self.tables.elements[group - 1]
        for _ in range(MAX_COLLISIONS):
            z = stream.categorical(cumulative) + 1
            if z not in taken:
                return z
        counts = np.diff(cumulative, prepend=0)
        counts[np.array(taken) - 1] = 0
        return stream.categorical(np.cumsum(counts)) + 1

    def draw_positions(self, stream: RandomStream, group: int, n_atoms: int) -> tuple[Position, ...]:
        """Draw a Wyckoff position for every atom; one without a degree of freedom takes one atom only (step 4)."""
        available = group_positions(group).positions
        row = self.tables.wyckoff_row[group - 1, n_atoms]
        cumulative = self.tables.wyckoff[row, : len(available)]
        counts = np.diff(cumulative, prepend=0)
        drawn: list[Position] = []
        full: set[int] = set()
        for _ in range(n_atoms):
            for _ in range(MAX_COLLISIONS):
                letter = stream.categorical(cumulative)
                if letter not in full:
                    break
            else:
                free = np.array([0 if position.letter in full else 1 for position in available])
                if not (free * counts).any():
                    raise Refused("positions")
                letter = stream.categorical(np.cumsum(free * counts))
            drawn.append(available[letter])
            if available[letter].dof == 0:
                full.add(letter)
        return tuple(drawn)

    def draw_volume(
        self, stream: RandomStream, group: int, elements: tuple[int, ...], positions: tuple[Position, ...]
    ) -> float:
        """Draw V = f V_atomic in Å^3, f from p(f / V_atomic) (step 7)."""
        tables = self.tables
        support = slice(int(tables.density_start[group - 1]), int(tables.density_start[group]))
        of_atoms = v_atomic(elements, positions)
        logarithmic = bool(tables.logarithmic[0])
        largest = float(tables.v_atomic[support][-1])
        if of_atoms > (math.exp(largest) if logarithmic else largest) * (1.0 + 1e-9):
            raise Refused("atomic_volume")
        at = math.log(of_atoms) if logarithmic else of_atoms
        n_atoms = sum(position.multiplicity for position in positions)
        smallest = self.settings.min_volume_per_atom * n_atoms / of_atoms
        for _ in range(MAX_REDRAWS):
            # p(f / v) = sum_i w_i N(f; f_i, h_f): pick a support point by its weight, add a deviate of its kernel
            pick = self.pick_by_weight(stream, tables.v_atomic[support], at, float(tables.bandwidth_v[group - 1]))
            deviate, _ = stream.normal_pair()
            factor = float(tables.density_factor[support][pick] + tables.bandwidth_f[group - 1] * deviate)
            factor = math.exp(factor) if logarithmic else factor
            if factor > smallest:
                break
            self.redraws[DENSITY_FACTOR_REDRAWS] += 1
        else:
            raise Refused("volume")
        volume = factor * of_atoms
        if volume >= self.settings.max_volume:
            raise Refused("volume")
        return volume

    def pick_by_weight(self, stream: RandomStream, support: NDArray[np.float64], value: float, bandwidth: float) -> int:
        """Pick a support point i with probability in proportion to w_i = exp(-(value - v_i)^2 / 2 h^2).

        Args:
            stream: random numbers.
            support: (N,) v_i, ascending.
            value: v.
            bandwidth: h.

        """
        nearest = float(np.abs(support - value).min() ** 2 / bandwidth**2)
        reach = bandwidth * math.sqrt(nearest + NEGLIGIBLE)
        first = int(np.searchsorted(support, value - reach))
        last = int(np.searchsorted(support, value + reach, side="right"))
        window = support[first:last]
        weights = np.exp(0.5 * (nearest - ((value - window) / bandwidth) ** 2))  # the largest is 1
        for _ in range(MAX_MISSES):
            pick = stream.below(len(window))
            if stream.uniform() < weights[pick]:
                return first + pick
        target = stream.uniform() * float(weights.sum())
        beyond = np.flatnonzero(np.cumsum(weights) > target)
        return first + int(beyond[0]) if len(beyond) else last - 1

    def draw_parameters(self, stream: RandomStream, positions: tuple[Position, ...]) -> NDArray[np.float64]:
        """Draw u (A, 3) of every atom, uniform; a fixed position needs none (step 5)."""
        u = np.zeros((len(positions), 3))
        for atom, position in enumerate(positions):
            if position.dof > 0:
                u[atom] = [stream.uniform(), stream.uniform(), stream.uniform()]
        return u

    def draw_unit_cell(self, stream: RandomStream, group: int) -> NDArray[np.float64]:
        """Draw a cell (6,) of unit volume: a support lattice x_i plus L z, L L^T the kernel's covariance (step 6)."""
        tables = self.tables
        row = int(tables.lattice_row[group - 1])
        d = int(tables.n_free[row])
        support = tables.lattices[int(tables.lattice_start[row]) : int(tables.lattice_start[row + 1]), :d]
        while True:
            free = np.zeros(0)
            if d:
                pick = stream.below(len(support))
                deviates = [deviate for _ in range((d + 1) // 2) for deviate in stream.normal_pair()]
                free = support[pick] + tables.cholesky[row, :d, :d] @ np.array(deviates[:d])
            source = tables.cell_source[row]
            cell = np.array([tables.cell_fixed[row, i] if source[i] < 0 else free[source[i]] for i in range(6)])
            if tables.logarithmic[1]:
                cell[:3] = [math.exp(cell[i]) if source[i] >= 0 else cell[i] for i in range(3)]
            volume = cell_volume(cell)
            if volume > 0.0:
                cell[:3] *= volume ** (-1.0 / 3.0)
                return cell
            self.redraws[LATTICE_REDRAWS] += 1
