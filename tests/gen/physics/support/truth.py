"""Independent truth: gemmi's operations, sums over every atom of the cell in double precision, nothing of the kernels.

    symbol      variable        meaning                                             reference
    R, t        rotations, ...  x' = R x + t of gemmi's operations, t in 1/24       Int. Tables A
    G, G*       metric          metric of the cell and its inverse, 1/d^2 = h G* h  Int. Tables A, 1.3
    F(h)        -               sum of f n exp(2 pi i h x) over all atoms           Int. Tables B, 1.2
    f           form_factor     Z - 41.78214 s^2 sum a exp(-b s^2), s = 1 / (2 d)   pymatgen, XRDCalculator
    LP          -               (1 + cos^2 2theta) / (sin^2 theta cos theta)        pymatgen, XRDCalculator

# A atom rows    M atoms in the cell    H lattice points    L Laue operations    O operations
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import gemmi
import numpy as np
import pymatgen.analysis.diffraction
from numpy.typing import NDArray
from xrdgen.crystal import Crystal
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.diffraction.simulator import Peaks
from xrdgen.elements import symbol
from xrdgen.symmetry import wyckoff

OF_THE_MAXIMUM = 1e-6 * 100.0
"""Agreement of peaks, in percent of the strongest."""

INVISIBLE = 1e-7
"""Percent of the strongest; a line that is not listed must be weaker than this by the exact sum."""

ELEMENTS = (1, 3, 8, 14, 26, 47, 57, 82, 92)
ATTRIBUTES = ("positions", "atomic_numbers", "occupancies", "letters", "sites")

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@cache
def setting(number: int) -> gemmi.SpaceGroup:
    """Return gemmi's setting: its first one, but origin choice 2 and hexagonal axes where there is a choice."""
    return next(row for row in gemmi.spacegroup_table() if row.number == number and row.ext in ("\0", "2", "H"))


@cache
def group_operations(number: int) -> gemmi.GroupOps:
    """Return gemmi's operations."""
    return setting(number).operations()


@cache
def matrices(number: int) -> tuple[Ints, Ints]:
    """Return R (O, 3, 3) and 24 t (O, 3), centring included."""
    every = list(group_operations(number))
    rotations = np.array([operation.rot for operation in every]) // gemmi.Op.DEN
    return rotations, np.array([operation.tran for operation in every]) % gemmi.Op.DEN


@cache
def laue(number: int) -> Ints:
    """Return the rotations of the Laue class (L, 3, 3)."""
    rotations, _ = matrices(number)
    return np.unique(np.concatenate([rotations, -rotations]), axis=0)


def orbits(number: int, hkl: Ints) -> tuple[Ints, Ints]:
    """Return a number that all equivalents of a reflection share (H,), and how many there are (H,)."""
    images = np.einsum("hi,lij->hlj", hkl, laue(number)) + 500
    codes = np.sort(images @ np.array([1_000_000, 1000, 1]), axis=1)
    return codes[:, -1], 1 + (np.diff(codes, axis=1) != 0).sum(axis=1)


def metric_of(cell: Floats) -> Floats:
    """Return G (3, 3) in Å^2; exact where an angle is 90 or 120 degrees."""
    cosines = {90.0: 0.0, 120.0: -0.5}
    alpha, beta, gamma = (cosines.get(float(angle), float(np.cos(np.radians(angle)))) for angle in cell[3:])
    unit = np.array([[1.0, gamma, beta], [gamma, 1.0, alpha], [beta, alpha, 1.0]])
    return unit * np.outer(cell[:3], cell[:3])


def cell_of(metric: Floats) -> Floats:
    """Return a, b, c, alpha, beta, gamma of a metric."""
    a, b, c = np.sqrt(np.diag(metric))
    cosines = np.array([metric[1, 2] / (b * c), metric[0, 2] / (a * c), metric[0, 1] / (a * b)])
    return np.concatenate([[a, b, c], np.degrees(np.arccos(cosines))])


def random_cell(number: int, rng: np.random.Generator, smallest: float, largest: float) -> Floats:
    """Return a cell whose metric is a random one averaged over the point group: free wherever symmetry leaves it so."""
    edges = rng.uniform(smallest, largest, 3)
    any_metric = metric_of(np.concatenate([edges, rng.uniform(76.0, 104.0, 3)]))
    rotations, _ = matrices(number)
    return cell_of(np.einsum("oji,jk,okl->il", rotations, any_metric, rotations) / len(rotations)).round(9)


def random_crystal(
    number: int,
    letters: list[int],
    rng: np.random.Generator,
    *,
    disorder: bool = False,
    elements: tuple[int, ...] = ELEMENTS,
    cell: Floats | None = None,
    smallest: float = 4.0,
    largest: float = 6.0,
) -> Crystal:
    """Return a crystal with one site a letter, coordinates random; with disorder sites are mixed, partial, full."""
    cell = random_cell(number, rng, smallest, largest) if cell is None else cell
    records = []
    for site, letter in enumerate(letters):
        point = random_point(number, letter, rng)
        shares = ((0.62, 0.31), (0.45,), (1.0,))[site % 3] if disorder else (1.0,)
        species = rng.choice(elements, len(shares), replace=False)
        records += [(point, z, share, letter, site) for z, share in zip(species, shares, strict=True)]
    return Crystal(number, cell, *(np.array(column) for column in zip(*records, strict=True)))


def random_point(number: int, letter: int, rng: np.random.Generator) -> Floats:
    """Return a point (3,) on a Wyckoff position and clearly on no more special one."""
    table = wyckoff.tables()
    row = table.row(number, letter)
    while True:
        point: Floats = (table.rotation[row] @ rng.random(3) + table.translation[row]) % 1.0
        if len(images(number, point, apart=1e-3)) == table.multiplicity[row]:
            return point


def images(number: int, point: Floats, apart: float = 1e-6) -> Floats:
    """Return the points of the cell equivalent to one, by gemmi's operations, each once."""
    rotations, shifts = matrices(number)
    every = (rotations @ point + shifts / gemmi.Op.DEN) % 1.0
    difference = every[:, None] - every[None]
    same = (np.abs(difference - np.rint(difference)) < apart).all(axis=2)
    distinct: Floats = every[same.argmax(axis=1) == np.arange(len(every))]
    return distinct


def n_letters(number: int) -> int:
    """Return how many Wyckoff positions a group has; the last is the general one."""
    rows = wyckoff.tables().rows(number)
    return rows.stop - rows.start


@dataclass(frozen=True)
class Atoms:
    """All atoms of a cell.

    Attributes:
        metric: G, (3, 3).
        positions: (M, 3) fractional.
        numbers: (M,) Z.
        occupancies: (M,).

    """

    metric: Floats
    positions: Floats
    numbers: Ints
    occupancies: Floats

    def as_p1(self) -> Crystal:
        """Return the same atoms as a crystal without symmetry."""
        n = len(self.positions)
        zeros = np.zeros(n, dtype=np.int64)
        sites = np.arange(n)
        return Crystal(1, cell_of(self.metric), self.positions, self.numbers, self.occupancies, zeros, sites)

    def moved(self, shift: Floats) -> Atoms:
        """Return the atoms with another origin."""
        return Atoms(self.metric, (self.positions + shift) % 1.0, self.numbers, self.occupancies)

    def inverted(self) -> Atoms:
        """Return the mirror image, which is the inverted crystal but for a rotation."""
        return Atoms(self.metric, -self.positions % 1.0, self.numbers, self.occupancies)

    def in_axes(self, matrix: Ints) -> Atoms:
        """Return the atoms in the cell with the axes a' = a P, P (3, 3) whole; |det P| cells make one."""
        volume = round(abs(np.linalg.det(matrix)))
        steps = np.stack(np.meshgrid(*[np.arange(volume)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
        inverse = np.linalg.inv(matrix)
        corners = np.unique(np.rint(steps @ inverse.T % 1.0 * volume).astype(int) % volume, axis=0) / volume
        assert len(corners) == volume
        positions = ((self.positions @ inverse.T)[:, None] + corners).reshape(-1, 3) % 1.0
        numbers, occupancies = (np.repeat(column, volume) for column in (self.numbers, self.occupancies))
        return Atoms(matrix.T @ self.metric @ matrix, positions, numbers, occupancies)


def expand(crystal: Crystal) -> Atoms:
    """Return all atoms of the cell by gemmi's operations, each once."""
    positions, rows = [], []
    for row, point in enumerate(crystal.positions):
        positions.append(images(crystal.space_group, point))
        rows += [row] * len(positions[-1])
    metric = metric_of(crystal.cell)
    return Atoms(metric, np.concatenate(positions), crystal.atomic_numbers[rows], crystal.occupancies[rows])


@cache
def _scattering() -> dict[str, list[list[float]]]:
    path = Path(pymatgen.analysis.diffraction.__path__[0]) / "atomic_scattering_params.json"
    fits: dict[str, list[list[float]]] = json.loads(path.read_text())
    return fits


def form_factor(z: int, s_squared: Floats) -> Floats:
    """Return f (H,) of an element at s^2 in 1/Å^2."""
    a, b = np.array(_scattering()[symbol(z)]).T
    return z - 41.78214 * s_squared * (np.exp(-np.outer(s_squared, b)) @ a)


def shell(metric: Floats, least: float, most: float) -> tuple[Ints, Floats]:
    """Return every hkl (H, 3), both of a Friedel pair, with 1/d in a closed range (1/Å), and its 1/d (H,)."""
    bound = np.floor(most * np.sqrt(np.diag(metric))).astype(int)  # |h| = |h . a| <= 1/d |a|
    ranges = [np.arange(-n, n + 1) for n in bound]
    hkl = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
    length = np.sqrt(np.maximum(np.einsum("hi,ij,hj->h", hkl, np.linalg.inv(metric), hkl), 0.0))
    inside = (length >= max(least, 1e-9)) & (length <= most)
    return hkl[inside], length[inside]


def amplitudes_squared(atoms: Atoms, hkl: Ints, length: Floats) -> Floats:
    """Return |F|^2 (H,) of the whole cell; exp(2 pi i hx) exp(2 pi i ky) exp(2 pi i lz), summed over a box of hkl."""
    low, high = hkl.min(axis=0), hkl.max(axis=0)
    axes = [np.arange(low[i], high[i] + 1) for i in range(3)]
    amplitude = np.zeros(len(hkl), dtype=np.complex128)
    for z in np.unique(atoms.numbers):
        of_z = atoms.numbers == z
        along_a, along_b, along_c = (np.exp(2j * np.pi * np.outer(axes[i], atoms.positions[of_z, i])) for i in range(3))
        in_plane = (along_a * atoms.occupancies[of_z])[:, None] * along_b
        of_box = in_plane @ along_c.T
        amplitude += form_factor(int(z), length**2 / 4.0) * of_box[tuple((hkl - low).T)]
    return np.abs(amplitude) ** 2


@dataclass(frozen=True)
class Lines:
    """Every lattice point within reach, none left out.

    Attributes:
        hkl: (H, 3).
        d: (H,) Å.
        two_theta: (H,) degrees.
        f_squared: (H,).
        intensity: (H,) |F|^2 LP.

    """

    hkl: Ints
    d: Floats
    two_theta: Floats
    f_squared: Floats
    intensity: Floats


def exact_lines(atoms: Atoms, wavelength: float, first: float, last: float) -> Lines:
    """Return the lines between two angles (degrees 2theta)."""
    least, most = (2.0 * np.sin(np.radians(angle / 2.0)) / wavelength for angle in (first, last))
    hkl, length = shell(atoms.metric, least, most)
    middle = len(hkl) // 2  # |F(-h)| = |F(h)|, and the list is symmetric about its middle
    assert (hkl[:middle] == -hkl[: middle - 1 : -1]).all()
    half = amplitudes_squared(atoms, hkl[:middle], length[:middle])
    f_squared = np.concatenate([half, half[::-1]])
    theta = np.arcsin(wavelength * length / 2.0)
    lorentz_polarisation = (1.0 + np.cos(2.0 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
    return Lines(hkl, 1.0 / length, np.degrees(2.0 * theta), f_squared, f_squared * lorentz_polarisation)


@dataclass(frozen=True)
class Orbits:
    """Families of equivalent reflections (K of them) among lattice points.

    Attributes:
        first: (K,) a lattice point of each.
        member: (H,) which family each lattice point belongs to.
        size: (K,) lattice points of each.
        row: family of each code of `orbits`.

    """

    first: Ints
    member: Ints
    size: Ints
    row: dict[int, int]


@lru_cache(maxsize=4)
def _families(number: int, hkl: bytes) -> Orbits:
    codes, sizes = orbits(number, np.frombuffer(hkl, dtype=np.int64).reshape(-1, 3))
    found, first, member = np.unique(codes, return_index=True, return_inverse=True)
    return Orbits(first, member, sizes[first], {code: row for row, code in enumerate(found.tolist())})


def assert_peaks_are_exact(peaks: Peaks, crystal: Crystal, settings: SimulationSettings) -> Lines:
    """Compare every family of reflections with the exact sum; what is not listed must be invisible."""
    number = crystal.space_group
    grid = settings.grid
    lines = exact_lines(expand(crystal), settings.wavelength, grid.two_theta_min, grid.two_theta_max)
    family = _families(number, lines.hkl.tobytes())
    total = np.bincount(family.member, weights=lines.intensity)
    total *= 100.0 / total.max()
    rows = np.array([family.row[code] for code in orbits(number, peaks.hkl)[0].tolist()])
    assert len(np.unique(rows)) == len(rows), "a reflection is listed twice"
    np.testing.assert_array_equal(peaks.multiplicity, family.size[rows])
    np.testing.assert_allclose(peaks.intensity, total[rows], atol=OF_THE_MAXIMUM, rtol=0.0)
    points = family.first[rows]
    np.testing.assert_allclose(peaks.d, lines.d[points], rtol=1e-9)
    np.testing.assert_allclose(peaks.two_theta, lines.two_theta[points], rtol=0.0, atol=1e-6)
    largest = lines.f_squared.max()
    np.testing.assert_allclose(peaks.f_squared, lines.f_squared[points], atol=1e-6 * largest, rtol=0.0)
    unlisted = np.ones(len(total), dtype=bool)
    unlisted[rows] = False
    assert total[unlisted].max(initial=0.0) < INVISIBLE
    return lines


TAIL = 9.0
"""A Gaussian ends 9 sigma from its centre, at 3e-18 of its height."""


def exact_pattern(atoms: Atoms, settings: SimulationSettings, size: float) -> Floats:
    """Return the sum (P,) of area-normalised Gaussians over all lattice points whose tail is seen, maximum 1."""
    grid = settings.grid
    radians = settings.scherrer_constant * settings.wavelength / (10.0 * size)

    def width(angle: Floats) -> Floats:
        """Standard deviation in degrees 2theta: FWHM = K lambda / (L cos theta)."""
        return np.degrees(radians / np.cos(np.radians(angle / 2.0))) / np.sqrt(8.0 * np.log(2.0))

    angles = np.linspace(0.01, 179.9, 17990)
    tail = TAIL * width(angles)
    seen = angles[(angles + tail > grid.two_theta_min) & (angles - tail < grid.two_theta_max)]
    # next to 180 degrees the Scherrer width diverges and everything is in reach again, as a background: left out
    seen = seen[: int(np.argmax(np.diff(seen, append=360.0) > 0.02)) + 1]
    lines = exact_lines(atoms, settings.wavelength, seen[0], seen[-1])
    order = np.argsort(lines.two_theta)
    angles, intensity = lines.two_theta[order], lines.intensity[order]
    starts = np.flatnonzero(np.diff(angles, prepend=-1.0) > 1e-9)  # equivalents add up
    angles, intensity = angles[starts], np.add.reduceat(intensity, starts)
    sigma = width(angles)
    two_theta = np.arange(grid.n_points) * grid.step + grid.two_theta_min
    y = np.zeros(grid.n_points)
    begin, end = (np.searchsorted(two_theta, angles + sign * TAIL * sigma) for sign in (-1.0, 1.0))
    for i in np.flatnonzero((intensity > 1e-15 * intensity.max()) & (end > begin)):
        z = (two_theta[begin[i] : end[i]] - angles[i]) / sigma[i]
        y[begin[i] : end[i]] += intensity[i] / sigma[i] * np.exp(-0.5 * z * z)
    return y / y.max()
