"""Soft-sphere ordering: push atoms that are too close apart, without leaving their Wyckoff positions.

Uniform coordinates put atoms closer together than in any real crystal. Here every atom is a soft sphere; spheres that
overlap push each other apart along the line between them, a few steps, each no longer than a bound.

| symbol | variable | meaning |
|---|---|---|
| u_i | `crystal.parameters` (A, 3) | free parameters of site i |
| P, w | `primitive.rotation`, `.translation` | x = P u + w: an atom of the orbit, primitive axes (Int. Tables A) |
| s_i | `reach` (M,) | radius of a soft sphere, Å: 0.7 times the covalent radius R_i |
| U | `frame` (3, 3) | primitive vectors as columns, a along x, b in the plane xy; upper triangular, Å |
| r | `x, y, z` | vector from atom i to an image of atom j, Å |
| p_i | `push` (3,) | displacement of atom i, Å |
| P^+ | `ordering.to_parameters` (W, 3, 3) | pseudoinverse of P of the first atom of an orbit |

    p_i  = - sum over j, n of  1/2 (s_i + s_j - |r|) r / |r|    r = U (x_j + n - x_i),  |r| < s_i + s_j,  n whole
    p_i  is cut to the length of the longest step
    u_i <- u_i + P^+ U^-1 p_i                                   all atoms at once

Two atoms alone come to touch in one step. Only the first atom of each orbit is looked at: the crystal keeps its
symmetry, so the others are pushed alike. p_i has the symmetry of the site and lies in the position's free space; P^+
therefore only takes rounding away. An atom's own images lie at n and -n, where their pushes cancel.

All images n within the radius are summed, not the nearest alone: cells may be thinner than an atom. Since U is upper
triangular, |r|^2 is a sum of squares of which the first contains n_3 only, the next n_2 and n_3, so that each whole
number runs over just what is left of the sphere (Fincke & Pohst, Math. Comp. 44 (1985) 463), whatever the cell's shape.

# A sites of the asymmetric unit    M atoms of the primitive cell    W Wyckoff positions of all groups
"""

from __future__ import annotations

from math import ceil, floor, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xrdgen.crystals.primitive import PrimitiveTables
from xrdgen.crystals.primitive_kernels import primitive_atoms
from xrdgen.crystals.sampler_kernels import CrystalArrays, place_atom
from xrdgen.crystals.symmetry_test_kernels import primitive_metric
from xrdgen.crystals.tables import SamplerTables
from xrdgen.jit import kernel

COINCIDENT = 1e-9
"""Å; atoms closer than this have no direction in which to part."""


class OrderingTables(NamedTuple):
    """What the ordering needs to know; see `ordering.ordering_tables`."""

    steps: int
    """0 for none at all."""
    longest_step: float
    """Å."""
    reach: NDArray[np.float64]
    """(104,) radius of the soft sphere, Å, index Z."""
    to_parameters: NDArray[np.float64]
    """(W, 3, 3) change of u from a displacement of the first atom of an orbit in primitive axes."""


@kernel
def cartesian_frame(metric: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return U (3, 3), upper triangular with metric = U^T U: Cartesian vectors of a cell as columns, Å."""
    frame = np.zeros((3, 3))
    for i in range(3):
        for j in range(i, 3):
            rest = metric[i, j]
            for k in range(i):
                rest -= frame[k, i] * frame[k, j]
            frame[i, j] = sqrt(rest) if i == j else rest / frame[i, i]
    return frame


@kernel
def sum_pushes(
    atom: int,
    positions: NDArray[np.float64],
    reach: NDArray[np.float64],
    frame: NDArray[np.float64],
    push: NDArray[np.float64],
) -> float:
    """Write the sum of the pushes on one atom from all others and their periodic images; return its length in Å.

    Args:
        atom: which, among M.
        positions: (M, 3) primitive axes.
        reach: (M,) radii of the soft spheres, Å.
        frame: (3, 3) U, Å.
        push: (3,) output, Å.

    """
    push[:] = 0.0
    for other in range(len(positions)):
        if other == atom:
            continue
        contact = reach[atom] + reach[other]
        d0 = positions[other, 0] - positions[atom, 0]
        d1 = positions[other, 1] - positions[atom, 1]
        d2 = positions[other, 2] - positions[atom, 2]
        span2 = contact / frame[2, 2]
        for n2 in range(ceil(-span2 - d2), floor(span2 - d2) + 1):
            f2 = d2 + n2
            z = frame[2, 2] * f2
            left2 = contact * contact - z * z
            if left2 <= 0.0:
                continue
            span1 = sqrt(left2) / frame[1, 1]
            offset1 = frame[1, 2] * f2 / frame[1, 1]
            for n1 in range(ceil(-span1 - d1 - offset1), floor(span1 - d1 - offset1) + 1):
                f1 = d1 + n1
                y = frame[1, 1] * f1 + frame[1, 2] * f2
                left1 = left2 - y * y
                if left1 <= 0.0:
                    continue
                span0 = sqrt(left1) / frame[0, 0]
                offset0 = (frame[0, 1] * f1 + frame[0, 2] * f2) / frame[0, 0]
                for n0 in range(ceil(-span0 - d0 - offset0), floor(span0 - d0 - offset0) + 1):
                    x = frame[0, 0] * (d0 + n0) + frame[0, 1] * f1 + frame[0, 2] * f2
                    distance = sqrt(x * x + y * y + z * z)
                    if COINCIDENT < distance < contact:
                        share = 0.5 * (contact - distance) / distance
                        push[0] -= share * x
                        push[1] -= share * y
                        push[2] -= share * z
    return sqrt(push[0] * push[0] + push[1] * push[1] + push[2] * push[2])


@kernel
def move_parameters(
    scale: float,
    push: NDArray[np.float64],
    frame: NDArray[np.float64],
    to_parameters: NDArray[np.float64],
    parameters: NDArray[np.float64],
) -> None:
    """Add to the parameters u (3,) of a site what a push (3,) in Å on its first atom amounts to: scale P^+ U^-1 p."""
    f2 = scale * push[2] / frame[2, 2]
    f1 = (scale * push[1] - frame[1, 2] * f2) / frame[1, 1]
    f0 = (scale * push[0] - frame[0, 1] * f1 - frame[0, 2] * f2) / frame[0, 0]
    for k in range(3):
        u = parameters[k] + (to_parameters[k, 0] * f0 + to_parameters[k, 1] * f1 + to_parameters[k, 2] * f2)
        u -= np.floor(u)
        parameters[k] = u if u < 1.0 else 0.0


@kernel
def order_atoms(
    ordering: OrderingTables, tables: SamplerTables, primitive: PrimitiveTables, group: int, crystal: CrystalArrays
) -> None:
    """Move the atoms of a crystal apart; parameters and positions change, Wyckoff positions do not.

    Args:
        ordering: number and length of the steps, radii, projections; nothing happens with 0 steps.
        tables: Wyckoff positions.
        primitive: orbits without centring.
        group: space group of the crystal.
        crystal: of the sampler, changed in place.

    """
    n_sites = crystal.n_sites[0]
    first = tables.wyckoff_start[group - 1]
    n_free = 0
    for site in range(n_sites):
        n_free += tables.dof[first + crystal.letters[site]] > 0
    if ordering.steps == 0 or n_free == 0:
        return
    frame = cartesian_frame(primitive_metric(crystal.cell, primitive.basis[group - 1]))
    pushes = np.empty((n_sites, 3))
    lengths = np.zeros(n_sites)
    for _ in range(ordering.steps):
        positions, numbers = primitive_atoms(primitive, group, crystal)
        reach = ordering.reach[numbers]
        longest = 0.0
        atom = 0  # the first of the site's orbit
        for site in range(n_sites):
            position = first + crystal.letters[site]
            if tables.dof[position] > 0:
                lengths[site] = sum_pushes(atom, positions, reach, frame, pushes[site])
                longest = max(longest, lengths[site])
            atom += primitive.start[position + 1] - primitive.start[position]
        if longest == 0.0:
            break  # nothing overlaps
        for site in range(n_sites):
            if lengths[site] > 0.0:
                scale = min(1.0, ordering.longest_step / lengths[site])
                to_parameters = ordering.to_parameters[first + crystal.letters[site]]
                move_parameters(scale, pushes[site], frame, to_parameters, crystal.parameters[site])
    for site in range(n_sites):
        position = first + crystal.letters[site]
        if tables.dof[position] > 0:
            place_atom(tables, position, crystal.parameters[site], crystal.positions[site])
