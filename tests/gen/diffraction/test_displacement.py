"""Isotropic displacement parameters: against pymatgen, an exact sum over the cell, and crystals at rest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner
from xrdgen.cli import app
from xrdgen.crystal import Crystal
from xrdgen.diffraction.form_factors import form_factors
from xrdgen.diffraction.simulator import Simulator, simulate
from xrdgen.elements import symbol


def exact_f_squared(crystal: Crystal, hkl: np.ndarray, d: np.ndarray) -> np.ndarray:
    """|F|^2 by the sum over all atoms of the cell, each row with its own B."""
    s_squared = 1.0 / (4.0 * d**2)
    f_of = form_factors(s_squared)
    total = np.zeros(len(hkl), dtype=np.complex128)
    b_iso = np.zeros(len(crystal.positions)) if crystal.b_iso is None else crystal.b_iso
    for row, b in enumerate(b_iso):
        one = slice(row, row + 1)
        alone = Crystal(
            space_group=crystal.space_group,
            cell=crystal.cell,
            positions=crystal.positions[one],
            atomic_numbers=crystal.atomic_numbers[one],
            occupancies=crystal.occupancies[one],
            letters=crystal.letters[one],
            sites=np.zeros(1, dtype=np.int64),
        ).full_cell()
        phases = np.exp(2j * np.pi * hkl @ alone.positions.T).sum(axis=1)
        scattering = f_of[crystal.atomic_numbers[row]] * np.exp(-b * s_squared)
        total += crystal.occupancies[row] * scattering * phases
    return np.abs(total) ** 2


@pytest.mark.parametrize("space_group", [1, 2, 9, 14, 43, 62, 88, 148, 167, 180, 194, 198, 216, 227, 230])
@pytest.mark.parametrize("kind", ["none", "one for all", "one an element", "one a row"])
def test_structure_factors_are_the_exact_sum_over_the_cell(space_group, kind, simulator, make_crystal):
    crystal = make_crystal(space_group, seed=4, disorder=True, largest=5.5)
    rng = np.random.default_rng(space_group)
    by_element = rng.uniform(0.1, 4.0, 119)
    b_iso = {
        "none": None,
        "one for all": np.full(len(crystal.positions), 1.3),
        "one an element": by_element[crystal.atomic_numbers],
        "one a row": rng.uniform(0.0, 4.0, len(crystal.positions)),
    }[kind]
    crystal = replace(crystal, b_iso=b_iso)
    peaks = simulator.peaks(crystal)
    expected = exact_f_squared(crystal, peaks.hkl, peaks.d)
    np.testing.assert_allclose(peaks.f_squared, expected, rtol=1e-7, atol=1e-9 * expected.max())


def test_lines_with_displacements_agree_with_pymatgen(simulator, make_crystal, merge_lines, monkeypatch):
    from pymatgen.analysis.diffraction.xrd import XRDCalculator

    monkeypatch.setattr(
        "pymatgen.analysis.diffraction.core.AbstractDiffractionPatternCalculator.SCALED_INTENSITY_TOL", 1e-9
    )

    grid = simulator.settings.grid
    for space_group in (2, 14, 62, 148, 194, 225):
        crystal = make_crystal(space_group, seed=6, disorder=True, largest=5.0)
        b_of = {int(z): 0.4 + 0.3 * i for i, z in enumerate(np.unique(crystal.atomic_numbers))}
        crystal = replace(crystal, b_iso=np.array([b_of[int(z)] for z in crystal.atomic_numbers]))
        calculator = XRDCalculator(
            simulator.settings.wavelength, debye_waller_factors={symbol(z): b for z, b in b_of.items()}
        )
        theirs = calculator.get_pattern(crystal.to_pymatgen(), two_theta_range=(grid.two_theta_min, grid.two_theta_max))
        peaks = simulator.peaks(crystal)
        ours_x, ours_y = merge_lines(peaks.two_theta, peaks.intensity)
        theirs_x, theirs_y = merge_lines(theirs.x, theirs.y)
        ours_y, theirs_y = ours_y * 100.0 / ours_y.max(), theirs_y * 100.0 / theirs_y.max()
        ours_x, ours_y = ours_x[ours_y > 1e-6], ours_y[ours_y > 1e-6]
        theirs_x, theirs_y = theirs_x[theirs_y > 1e-6], theirs_y[theirs_y > 1e-6]
        np.testing.assert_allclose(ours_x, theirs_x, atol=1e-5, rtol=0.0)
        np.testing.assert_allclose(ours_y, theirs_y, atol=1e-4, rtol=0.0)


def test_displacements_of_zero_change_nothing(simulator, make_crystal):
    for space_group in (1, 62, 227):
        crystal = make_crystal(space_group, seed=8, disorder=True, largest=5.5)
        at_rest = replace(crystal, b_iso=np.zeros(len(crystal.positions)))
        np.testing.assert_array_equal(simulator.pattern(crystal, 40.0), simulator.pattern(at_rest, 40.0))
        np.testing.assert_array_equal(simulator.peaks(crystal).f_squared, simulator.peaks(at_rest).f_squared)


def test_displacements_weaken_by_the_debye_waller_factor(make_crystal):
    # one B for all atoms is a common factor exp(-2 B s^2) of every intensity
    crystal = make_crystal(62, seed=9)
    cold, warm = simulate(crystal).peaks, simulate(crystal, b_iso=2.0).peaks
    by_hkl = dict(zip(map(tuple, cold.hkl.tolist()), cold.f_squared, strict=True))
    expected = np.array([by_hkl[tuple(index)] for index in warm.hkl.tolist()]) * np.exp(-4.0 / (4.0 * warm.d**2))
    np.testing.assert_allclose(warm.f_squared, expected, rtol=1e-9)


def test_a_displacement_on_the_command_line(tmp_path, make_crystal):
    path = tmp_path / "salt.cif"
    make_crystal(225, seed=1).to_pymatgen().to(filename=str(path))
    cold = CliRunner().invoke(app, ["simulate", str(path), "--peaks"])
    warm = CliRunner().invoke(app, ["simulate", str(path), "--peaks", "--b-iso", "1.5"])
    assert cold.exit_code == warm.exit_code == 0
    assert cold.stdout != warm.stdout
    bad = CliRunner().invoke(app, ["simulate", str(path), "--b-iso", "-1"])
    assert bad.exit_code != 0


def test_simulators_know_the_parameters_of_the_crystal(make_crystal):
    crystal = make_crystal(14, seed=3).with_b_iso(1.0)
    arrays = Simulator().arrays(crystal)
    np.testing.assert_array_equal(arrays.b_iso, np.ones(len(crystal.positions)))


@pytest.mark.parametrize(("n_atoms", "elements"), [(160, [14]), (600, [8, 14, 26])])
def test_a_large_triclinic_cell_is_the_exact_sum(n_atoms, elements, simulator):
    # species of so many atoms are summed as matrix products, and 600 atoms in two portions
    rng = np.random.default_rng(n_atoms)
    crystal = Crystal(
        space_group=1,
        cell=np.array([9.0, 10.0, 11.5, 85.0, 95.0, 100.0]),
        positions=rng.random((n_atoms, 3)),
        atomic_numbers=rng.choice(elements, n_atoms),
        occupancies=np.ones(n_atoms),
        letters=np.zeros(n_atoms, dtype=np.int64),
        sites=np.arange(n_atoms),
    )
    peaks = simulator.peaks(crystal)
    expected = exact_f_squared(crystal, peaks.hkl, peaks.d)
    np.testing.assert_allclose(peaks.f_squared, expected, rtol=1e-7, atol=1e-9 * expected.max())
