"""Reflection lines against pymatgen's XRDCalculator and against brute force over spglib's operations."""

from __future__ import annotations

import gzip
import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from xrdcommon.grid import Grid
from xrdcommon.space_groups import N_GROUPS
from xrdgen.crystal import Crystal
from xrdgen.diffraction.group_tables import group_tables
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.diffraction.simulator import Simulator
from xrdgen.elements import element_table
from xrdgen.embedded import amcsd_path
from xrdgen.structures.table import crystal_of, read_table
from xrdgen.symmetry.operations import operations

OF_THE_MAXIMUM = 1e-6 * 100.0


def assert_same_lines(ours, theirs):
    two_theta, intensity = ours
    assert len(two_theta) == len(theirs[0])
    np.testing.assert_allclose(two_theta, theirs[0], atol=1e-5, rtol=0.0)
    np.testing.assert_allclose(intensity, theirs[1], atol=OF_THE_MAXIMUM, rtol=0.0)


def strong(lines, weakest=1e-6):
    """Scale merged lines to a maximum of 100 and leave out those at the level of rounding."""
    two_theta, intensity = lines[0], lines[1] * 100.0 / lines[1].max()
    keep = intensity > weakest
    return two_theta[keep], intensity[keep]


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
@pytest.mark.parametrize("disorder", [False, True], ids=["ordered", "mixed and partial sites"])
def test_lines_agree_with_pymatgen_in_all_groups(block, disorder, simulator, make_crystal, pymatgen_lines, merge_lines):
    for space_group in range(1 + block, N_GROUPS + 1, 10):
        crystal = make_crystal(space_group, seed=int(disorder), disorder=disorder, largest=5.5 if disorder else 7.5)
        peaks = simulator.peaks(crystal)
        ours = strong(merge_lines(peaks.two_theta, peaks.intensity))
        theirs = strong(merge_lines(*pymatgen_lines(crystal, simulator.settings)))
        assert_same_lines(ours, theirs)


@pytest.mark.parametrize(
    "settings",
    [
        SimulationSettings(grid=Grid(2.0, 40.0, 0.02), wavelength=0.7093),
        SimulationSettings(grid=Grid(10.0, 175.0, 0.01), wavelength=2.2897),
    ],
    ids=["molybdenum", "chromium to 175 degrees"],
)
def test_lines_agree_with_pymatgen_at_other_wavelengths(settings, make_crystal, pymatgen_lines, merge_lines):
    simulator = Simulator(settings)
    for space_group in (2, 15, 62, 88, 148, 176, 205, 227):
        crystal = make_crystal(space_group, seed=3, disorder=True, largest=5.5)
        peaks = simulator.peaks(crystal)
        ours = strong(merge_lines(peaks.two_theta, peaks.intensity))
        assert_same_lines(ours, strong(merge_lines(*pymatgen_lines(crystal, settings))))


def bench_crystals(folder: Path) -> list[Crystal]:
    z_of = {symbol: z for z, symbol in enumerate(element_table().symbols)}
    from pymatgen.core import Lattice
    from xrdgen.symmetry import wyckoff

    crystals = []
    for entry in json.loads(gzip.decompress((folder / "crystals.json.gz").read_bytes())):
        cell = np.array(Lattice(entry["lattice"]).parameters).round(8)
        atoms = entry["asu"]
        crystals.append(
            Crystal(
                space_group=entry["sg"],
                cell=cell,
                positions=np.array([position for _, position, _ in atoms]),
                atomic_numbers=np.array([z_of[symbol] for symbol, _, _ in atoms]),
                occupancies=np.ones(len(atoms)),
                letters=np.array([wyckoff.letter_index(label[-1]) for _, _, label in atoms]),
                sites=np.arange(len(atoms)),
            )
        )
    return crystals


@pytest.mark.slow
def test_lines_agree_with_pymatgen_on_the_benchmark_crystals(shared_bench, simulator, pymatgen_lines, merge_lines):
    for crystal in bench_crystals(shared_bench)[::5]:
        peaks = simulator.peaks(crystal)
        ours = strong(merge_lines(peaks.two_theta, peaks.intensity))
        assert_same_lines(ours, strong(merge_lines(*pymatgen_lines(crystal, simulator.settings))))


def brute_force(space_group, max_index):
    """Multiplicity, absence and family of every hkl up to an index, from the operations alone."""
    group = operations(space_group)
    laue = np.unique(np.concatenate([group.rotations, -group.rotations]), axis=0)
    hkl = np.array([index for index in product(range(-max_index, max_index + 1), repeat=3) if any(index)])
    images = np.einsum("hi,oij->hoj", hkl, laue)
    multiplicity = np.array([len(np.unique(row, axis=0)) for row in images])
    family = [tuple(max(map(tuple, row))) for row in images]
    kept = (np.einsum("hi,oij->hoj", hkl, group.rotations) == hkl[:, None]).all(axis=2)
    shifts = (hkl @ group.translations24.T) % 24
    absent = (kept & (shifts != 0)).any(axis=1)
    return hkl, multiplicity, absent, family


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_absences_and_multiplicities_follow_from_the_operations(block, make_crystal):
    # a general position only: whatever is absent is absent by the operations of the group
    simulator = Simulator(SimulationSettings(grid=Grid(1.0, 60.0, 0.01)))
    for space_group in range(1 + block, N_GROUPS + 1, 10):
        crystal = make_crystal(space_group, seed=7, smallest=4.5, largest=5.5)
        general = Crystal(
            space_group=space_group,
            cell=crystal.cell,
            positions=np.array([[0.1234, 0.2719, 0.3811]]),
            atomic_numbers=np.array([8]),
            occupancies=np.ones(1),
            letters=np.array([np.diff(_wyckoff_start())[space_group - 1] - 1]),
            sites=np.zeros(1, dtype=np.int64),
        )
        peaks = simulator.peaks(general)
        highest = int(np.abs(peaks.hkl).max())
        hkl, multiplicity, absent, family = brute_force(space_group, highest)
        by_hkl = {tuple(index): row for row, index in enumerate(hkl)}
        rows = [by_hkl[tuple(index)] for index in peaks.hkl]
        np.testing.assert_array_equal(peaks.multiplicity, multiplicity[rows])
        assert not absent[rows].any()
        assert len({family[row] for row in rows}) == len(rows), "a family of reflections is listed twice"
        # every family within the sphere that is not absent is there
        furthest = (1.0 / peaks.d).max()
        inverse = np.linalg.inv(general.to_pymatgen().lattice.matrix)
        inside = np.linalg.norm(hkl @ inverse.T, axis=1) <= furthest * (1 + 1e-9)
        expected = {family[row] for row in np.flatnonzero(inside & ~absent)}
        assert expected == {family[row] for row in rows}


def _wyckoff_start():
    from xrdgen.symmetry import wyckoff

    return wyckoff.tables().start


def test_every_operation_is_counted_once():
    tables = group_tables()
    rows = np.diff(tables.row_start) * np.diff(tables.coset_start)
    np.testing.assert_array_equal(rows * tables.scale, tables.order)


def test_f_squared_is_that_of_the_conventional_cell(simulator):
    # rock salt: |F(200)| = 4 (f_Na + f_Cl), |F(111)| = 4 (f_Cl - f_Na) (any textbook)
    from xrdgen.diffraction.form_factors import form_factors

    salt = Crystal(
        space_group=225,
        cell=np.array([5.64, 5.64, 5.64, 90.0, 90.0, 90.0]),
        positions=np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]),
        atomic_numbers=np.array([11, 17]),
        occupancies=np.ones(2),
        letters=np.array([0, 1]),
        sites=np.array([0, 1]),
    )
    peaks = simulator.peaks(salt)
    assert [tuple(row) for row in peaks.hkl[:3]] == [(1, 1, 1), (2, 0, 0), (2, 2, 0)]
    assert peaks.multiplicity[:3].tolist() == [8, 6, 12]
    sodium, chlorine = form_factors(1.0 / (4.0 * peaks.d**2))[[11, 17]]
    np.testing.assert_allclose(peaks.f_squared[0], 16.0 * (chlorine - sodium)[0] ** 2, rtol=1e-9)
    np.testing.assert_allclose(peaks.f_squared[1], 16.0 * (chlorine + sodium)[1] ** 2, rtol=1e-9)


@pytest.mark.slow
def test_lines_agree_with_pymatgen_on_real_crystals_of_every_group(simulator, pymatgen_lines, merge_lines):
    table = read_table(amcsd_path())
    table = table[table.volume < 600.0]
    # of every group the smallest ordered and the smallest mixed or partly occupied structure that pymatgen accepts
    seen = set()
    for _, row in table.sort_values("volume").iterrows():
        kind = (row.space_group, bool(row.mixed_occupancy or row.partial_occupancy))
        if kind in seen:
            continue
        crystal = crystal_of(row)
        if np.bincount(crystal.sites, crystal.occupancies).max() > 1.0 + 1e-8:
            continue
        seen.add(kind)
        peaks = simulator.peaks(crystal)
        ours = strong(merge_lines(peaks.two_theta, peaks.intensity))
        assert_same_lines(ours, strong(merge_lines(*pymatgen_lines(crystal, simulator.settings))))
    assert len({group for group, _ in seen}) > 100
    assert sum(disordered for _, disordered in seen) > 50
