"""Crystals written to CIF, by this project, gemmi, pymatgen and ASE, in any setting and rounding, are read back."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import cache

import gemmi
import numpy as np
import pandas as pd
import pytest
import spglib
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from xrdcommon.grid import Grid
from xrdcommon.identity import SampleIdentity
from xrdgen.crystal import Crystal
from xrdgen.crystals.cif import cif_text
from xrdgen.crystals.generator import CrystalGenerator
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.diffraction.simulator import Simulator
from xrdgen.elements import symbol
from xrdgen.statistics.model import Statistics
from xrdgen.structures.cif import read_crystal
from xrdgen.structures.reading.document import read_blocks
from xrdgen.structures.reading.names import Setting
from xrdgen.structures.reading.names import settings as all_settings
from xrdgen.structures.reading.reader import read_structure
from xrdgen.structures.rows import row_of
from xrdgen.structures.standardise import cell_parameters, standardise, standardise_cell
from xrdgen.structures.table import crystal_of, read_table
from xrdgen.symmetry.lattice import vectors
from xrdgen.symmetry.operations import operations

TABLE = list(gemmi.spacegroup_table())
WHOLE = os.environ.get("XRD_WHOLE_ROUND_TRIP")
SETTINGS = SimulationSettings(grid=Grid(5.0, 60.0, 0.02))


@cache
def structures() -> pd.DataFrame:
    """Mineral structures that can be simulated: no position more than full."""
    table = read_table("embedded:amcsd")
    return table[~table["over_occupancy"]].reset_index(drop=True)


@cache
def settings_of(number: int) -> tuple[tuple[Setting, gemmi.SpaceGroup], ...]:
    return tuple((s, row) for s, row in zip(all_settings(), TABLE, strict=True) if s.number == number)


def change_to(row: gemmi.SpaceGroup) -> tuple[np.ndarray, np.ndarray]:
    """P and p with x_setting = P x_standard + p; checked on the operations."""
    standard = operations(row.number)
    matrix = np.array(row.basisop.rot) / gemmi.Op.DEN
    shift = np.array(row.basisop.tran) / gemmi.Op.DEN
    wanted = {
        (tuple(np.ravel(op.rot) // gemmi.Op.DEN), tuple(np.array(op.tran) % gemmi.Op.DEN)) for op in row.operations()
    }
    inverse = np.linalg.inv(matrix)
    for p, q in ((inverse, -inverse @ shift), (matrix, shift)):
        rotations = np.rint(p @ standard.rotations @ np.linalg.inv(p)).astype(int)
        moved = np.rint((standard.translations @ p.T + q - rotations @ q) * gemmi.Op.DEN).astype(int) % gemmi.Op.DEN
        same = {(tuple(r.ravel()), tuple(t)) for r, t in zip(rotations, moved, strict=True)} <= wanted
        if same and round(standard.order / abs(np.linalg.det(p))) == len(wanted):
            return p, q
    raise AssertionError(f"{row.xhm()}: no change of basis")


def written(crystal: Crystal, row: gemmi.SpaceGroup, decimals: int, way: str) -> str:
    """A CIF of a crystal in a setting, with rounded coordinates."""
    p, q = change_to(row)
    cell = cell_parameters(np.linalg.inv(p).T @ vectors(crystal.cell))
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = ["data_x", *(f"_cell_{name} {value:.4f}" for name, value in zip(names, cell, strict=True))]
    quote = "'" if '"' in row.hall else '"'
    lines += {
        "operations": ["loop_", "_space_group_symop_operation_xyz", *(f"'{op.triplet()}'" for op in row.operations())],
        "Hall": [f"_space_group_name_Hall {quote}{row.hall}{quote}"],
        "H-M": [f"_space_group_name_H-M_alt '{row.xhm()}'"],
    }[way]
    columns = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")
    lines += ["loop_", *(f"_atom_site_{column}" for column in columns)]
    for atom, place in enumerate(crystal.positions @ p.T + q):
        element = symbol(int(crystal.atomic_numbers[atom]))
        numbers = " ".join(f"{x:.{decimals}f}" for x in place)
        lines.append(f"{element}{atom} {element} {numbers} {crystal.occupancies[atom]:.4f}")
    return "\n".join(lines) + "\n"


def assert_same(one: Crystal, two: Crystal, similarity: float = 0.99) -> None:
    """Group, content and, by the cosine of the patterns, the diffractogram."""
    assert one.space_group == two.space_group
    np.testing.assert_allclose(one.composition, two.composition, atol=2e-2)
    simulator = Simulator(SETTINGS)
    first, second = (simulator.pattern(crystal, 50.0).astype(np.float64) for crystal in (one, two))
    assert first @ second / np.sqrt((first @ first) * (second @ second)) > similarity


def check_real(row: int, seed: int) -> None:
    entry = structures().iloc[row]
    crystal = crystal_of(entry)
    rng = np.random.default_rng((row, seed))
    choices = settings_of(crystal.space_group)
    _, setting = choices[rng.integers(len(choices))]
    decimals, way = int(rng.integers(3, 6)), ("operations", "Hall", "H-M")[rng.integers(3)]
    text = written(crystal, setting, decimals, way)
    found = read_crystal(read_blocks(text.encode())[0])
    try:
        assert_same(found.crystal, crystal)
    except AssertionError as error:
        raise AssertionError(f"{entry['id']} as {setting.xhm()} by {way} with {decimals} decimals") from error


@pytest.mark.parametrize("part", range(8))
def test_real_structures_in_random_settings_and_roundings(part: int) -> None:
    rows = np.random.default_rng(11).permutation(len(structures()))[: 4000 if WHOLE else 160]
    for row in rows[part::8].tolist():
        check_real(row, seed=1)


@pytest.mark.parametrize("part", range(4))
def test_moyo_is_asked_only_where_spglib_says_the_same(part: int) -> None:
    rows = np.random.default_rng(5).permutation(len(structures()))[: 4000 if WHOLE else 120]
    for row in rows[part::4].tolist():
        crystal = crystal_of(structures().iloc[row])
        if crystal.n_atoms > 200:
            continue
        cell = crystal.full_cell()
        kinds: dict[int, list[tuple[int, float]]] = {}
        for position, z, occupancy in zip(cell.sites.tolist(), cell.atomic_numbers, cell.occupancies, strict=True):
            kinds.setdefault(position, []).append((int(z), round(float(occupancy), 4)))
        _, first = np.unique(cell.sites, return_index=True)
        species = [tuple(sorted(kinds[position])) for position in sorted(kinds)]
        arguments = (cell.lattice, cell.positions[first], species)
        fast, slow = standardise_cell(*arguments, group=crystal.space_group), standardise_cell(*arguments)
        assert fast.space_group == slow.space_group == crystal.space_group
        np.testing.assert_allclose(fast.cell, slow.cell, rtol=1e-6)
        labels = ("formula", "wyckoff_key", "prototype", "n_sites")
        rows_of = [row_of(found) for found in (fast, slow)]
        assert [rows_of[0][label] for label in labels] == [rows_of[1][label] for label in labels]
        numbers = {kind: number for number, kind in enumerate(sorted(set(species)), start=1)}
        dataset = spglib.get_symmetry_dataset((*arguments[:2], [numbers[kind] for kind in species]), symprec=0.01)
        assert dataset is not None
        assert dataset.number == fast.space_group


def with_pymatgen(crystal: Crystal) -> str:
    from pymatgen.io.cif import CifWriter

    return str(CifWriter(crystal.to_pymatgen(), significant_figures=8))


def with_pymatgen_symmetrised(crystal: Crystal) -> str:
    from pymatgen.io.cif import CifWriter

    return str(CifWriter(crystal.to_pymatgen(), symprec=0.01, significant_figures=8))


def with_ase(crystal: Crystal) -> str:
    from io import BytesIO

    from ase import Atoms
    from ase.io.cif import write_cif

    cell = crystal.full_cell()
    atoms = Atoms(numbers=cell.atomic_numbers, scaled_positions=cell.positions, cell=cell.lattice, pbc=True)
    stream = BytesIO()
    write_cif(stream, [atoms])
    return stream.getvalue().decode("latin-1")


def with_gemmi(crystal: Crystal) -> str:
    small = gemmi.SmallStructure()
    small.name = "x"
    small.cell = gemmi.UnitCell(*crystal.cell)
    small.spacegroup_hm = TABLE[0].hm
    group = next(row for _, row in settings_of(crystal.space_group) if row.is_reference_setting())
    small.spacegroup_hm = group.xhm()
    for row in range(len(crystal.positions)):
        site = gemmi.SmallStructure.Site()
        site.type_symbol = symbol(int(crystal.atomic_numbers[row]))
        site.label = f"{site.type_symbol}{row}"
        site.fract = gemmi.Fractional(*crystal.positions[row])
        site.occ = float(crystal.occupancies[row])
        small.add_site(site)
    document = gemmi.cif.Document()
    document.add_copied_block(small.make_cif_block())
    return document.as_string()


def with_this_project(crystal: Crystal) -> str:
    return cif_text(crystal, "x")


WRITERS: dict[str, Callable[[Crystal], str]] = {
    "pymatgen": with_pymatgen,
    "pymatgen, symmetrised": with_pymatgen_symmetrised,
    "ASE": with_ase,
    "gemmi": with_gemmi,
    "xrdgen": with_this_project,
}


@pytest.mark.parametrize("writer", WRITERS)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(row=st.integers(0, 10_000))
def test_what_others_write_is_read_back(writer: str, row: int) -> None:
    table = structures()
    table = table[(table["n_atoms"] <= 120) & ~table["mixed_occupancy"] & ~table["partial_occupancy"]]
    crystal = crystal_of(table.iloc[row % len(table)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what writers say of rounding
        text = WRITERS[writer](crystal)
    found = read_crystal(read_blocks(text.encode())[0])
    assert_same(found.crystal, crystal, similarity=0.9999)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(row=st.integers(0, 10_000))
def test_disordered_crystals_come_back_from_this_projects_cifs(row: int) -> None:
    table = structures()
    table = table[(table["mixed_occupancy"] | table["partial_occupancy"]) & (table["n_atoms"] <= 200)]
    crystal = crystal_of(table.iloc[row % len(table)])
    assert_same(read_crystal(read_blocks(cif_text(crystal, "x").encode())[0]).crystal, crystal, similarity=0.9999)


@cache
def generator() -> CrystalGenerator:
    return CrystalGenerator(Statistics.load("embedded:statistics"))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(index=st.integers(0, 2**31))
def test_what_xrdgen_sample_writes_is_read_back(index: int) -> None:
    crystal = generator().draw(SampleIdentity(7, 0, 0, index))
    cell = crystal.full_cell()
    shifts = cell.positions[:, None] - cell.positions[None]
    distances = np.linalg.norm((shifts - np.rint(shifts)) @ cell.lattice, axis=2)
    assume(np.sort(distances, axis=1)[:, 1].min() > 0.05)  # atoms drawn at random into one place are one to any reader
    text = cif_text(crystal, "x")
    structure = read_structure(read_blocks(text.encode())[0])
    assert structure.group.number == crystal.space_group
    assert len(structure.positions) == crystal.n_atoms
    assert_same(read_crystal(read_blocks(text.encode())[0]).crystal, crystal, similarity=0.9999)


def test_a_structure_of_pymatgen_is_standardised_as_one_of_a_file() -> None:
    for row in (3, 400, 1500):
        crystal = crystal_of(structures().iloc[row])
        assert_same(standardise(crystal.to_pymatgen()), crystal, similarity=0.9999)
