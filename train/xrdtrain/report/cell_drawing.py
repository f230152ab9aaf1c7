"""A unit cell as a drawing: parallel projection, edges and atoms, those in front last.

    symbol      variable    meaning                                                     reference
    A           vectors     lattice vectors as rows, in Cartesian axes                  -
    x           positions   fractional coordinates; atoms on a face are shown on both   -
    R           _view       c upwards, a towards the viewer, turned to show three faces -

Atoms are circles of a radius that grows with the covalent one; their elements have a colour and a letter, so that both
tell them apart.
"""

# M atoms of the cell, N shown ones

from __future__ import annotations

from itertools import product
from typing import Final

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray
from xrdcommon.unit_cells import UnitCell

from xrdtrain.report.svg import number

WIDTH: Final = 520.0
HEIGHT: Final = 250.0
LEGEND: Final = 26.0
"""Height of the legend below the cell."""

MARGIN: Final = 18.0
COLOURS: Final = 8
"""Colours of elements in the style sheet; a crystal of more elements shares the last one."""

MOST_SHOWN: Final = 1_500
"""Atoms; of larger cells those in front are shown."""

ON_FACE: Final = 1e-3
"""Fractional coordinate below which an atom is shown on the opposite face too."""

AZIMUTH: Final = float(np.radians(22.0))
ELEVATION: Final = float(np.radians(14.0))

Reals = NDArray[np.float64]


def _view(vectors: Reals) -> Reals:
    """Return (3, 3) whose columns are the viewer's right, up and towards axes, in the Cartesian axes of the cell."""
    up = vectors[2] / np.linalg.norm(vectors[2])
    towards = vectors[0] - (vectors[0] @ up) * up
    towards /= np.linalg.norm(towards)
    right = np.cross(up, towards)
    turned = np.cos(AZIMUTH) * towards + np.sin(AZIMUTH) * right
    right = np.cross(up, turned)
    towards = np.cos(ELEVATION) * turned + np.sin(ELEVATION) * up
    return np.column_stack([right, np.cross(towards, right), towards])


def _shown(cell: UnitCell) -> tuple[Reals, NDArray[np.int64]]:
    """Return fractional positions (N, 3) with those on faces repeated, and the atom (N,) of each."""
    points, atoms = [], []
    for atom, x in enumerate(cell.positions):
        x = np.where(x > 1.0 - ON_FACE, x - 1.0, x)
        for shift in product(*[(0.0, 1.0) if abs(value) < ON_FACE else (0.0,) for value in x]):
            points.append(x + np.array(shift))
            atoms.append(atom)
    return np.array(points), np.array(atoms, dtype=np.int64)


def elements_of(cell: UnitCell) -> list[tuple[str, int]]:
    """Return elements and their numbers of atoms in the cell, the most frequent first."""
    names, counts = np.unique(np.array(cell.elements), return_counts=True)
    return sorted(zip(names.tolist(), counts.tolist(), strict=True), key=lambda item: (-item[1], item[0]))


def draw_cell(cell: UnitCell) -> Markup:
    """Draw the conventional cell of a crystal, with a legend of its elements."""
    axes = _view(cell.vectors)
    points, atoms = _shown(cell)
    corners = np.array(list(product((0.0, 1.0), repeat=3)))
    seen, edges = points @ cell.vectors @ axes, corners @ cell.vectors @ axes
    biggest = float(cell.radii.max())
    spans = np.ptp(np.concatenate([seen, edges]), axis=0)[:2] + 0.8 * biggest
    scale = float(min((WIDTH - 2 * MARGIN) / spans[0], (HEIGHT - 2 * MARGIN) / spans[1]))
    middle = 0.5 * (edges.min(axis=0) + edges.max(axis=0))

    def place(point: Reals) -> tuple[str, str]:
        x, y = (point[:2] - middle[:2]) * scale
        return number(WIDTH / 2 + float(x)), number(HEIGHT / 2 - float(y))

    order = elements_of(cell)
    style = {name: min(rank, COLOURS - 1) for rank, (name, _) in enumerate(order)}
    lines = []
    for one, other in product(range(8), repeat=2):
        if one < other and int(np.abs(corners[one] - corners[other]).sum()) == 1:
            hidden = min(edges[one][2], edges[other][2]) <= edges[:, 2].min() + 1e-9
            (x1, y1), (x2, y2) = place(edges[one]), place(edges[other])
            lines.append(f'<path class="cell-edge{" behind" if hidden else ""}" d="M{x1},{y1}L{x2},{y2}"/>')
    circles = []
    radius = 0.45 * scale * cell.radii
    lettered = len(points) <= 80
    front = np.argsort(seen[:, 2], kind="stable")[-MOST_SHOWN:]
    for row in front.tolist():
        x, y = place(seen[row])
        name = cell.elements[atoms[row]]
        r = float(np.clip(radius[atoms[row]], 2.0, 26.0))
        circles.append(f'<circle class="atom atom-{style[name]}" cx="{x}" cy="{y}" r="{number(r)}"/>')
        if lettered and r >= 8.0:
            circles.append(f'<text class="atom-name" x="{x}" y="{y}" dy="0.35em">{escape(name)}</text>')
    keys, left, below = [], MARGIN, number(HEIGHT + LEGEND / 2)
    for name, count in order[:12]:
        keys.append(f'<circle class="atom atom-{style[name]}" cx="{number(left + 6)}" cy="{below}" r="6"/>')
        at = f'x="{number(left + 16)}" y="{below}" dy="0.35em"'
        keys.append(f'<text class="atom-key" {at}>{escape(name)} {count}</text>')
        left += 30.0 + 9.0 * (len(name) + 1 + len(str(count)))
    what = escape(f"Unit cell of {cell.name}: " + ", ".join(f"{count} {name}" for name, count in order))
    return Markup(
        f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT + LEGEND:g}" role="img" aria-label="{what}"><title>{what}</title>'
        + "".join([*(line for line in lines if "behind" in line), *circles])
        + "".join([*(line for line in lines if "behind" not in line), *keys])
        + "</svg>"
    )
