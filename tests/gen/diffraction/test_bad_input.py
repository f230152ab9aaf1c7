"""Every wrong input gets one line that says what, where and the remedy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from xrdcommon.errors import InputError
from xrdcommon.grid import Grid
from xrdgen.crystal import Crystal
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.diffraction.simulator import Simulator

SALT = Crystal(
    space_group=225,
    cell=np.array([5.64, 5.64, 5.64, 90.0, 90.0, 90.0]),
    positions=np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]),
    atomic_numbers=np.array([11, 17]),
    occupancies=np.ones(2),
    letters=np.array([0, 1]),
    sites=np.array([0, 1]),
)
EMPTY = replace(
    SALT,
    positions=np.empty((0, 3)),
    atomic_numbers=np.empty(0, dtype=np.int64),
    occupancies=np.empty(0),
    letters=np.empty(0, dtype=np.int64),
    sites=np.empty(0, dtype=np.int64),
)


def cell(*values):
    return np.array(values, dtype=np.float64)


BAD_CRYSTALS = {
    "NaN in the cell": (replace(SALT, cell=cell(np.nan, 5.64, 5.64, 90, 90, 90)), "finite"),
    "infinite cell": (replace(SALT, cell=cell(np.inf, np.inf, np.inf, 90, 90, 90)), "finite"),
    "zero length": (replace(SALT, cell=cell(0, 0, 0, 90, 90, 90)), "no volume"),
    "negative length": (replace(SALT, cell=cell(-5, -5, -5, 90, 90, 90)), "no volume"),
    "flat cell": (
        replace(SALT, space_group=1, letters=np.array([0, 0]), cell=cell(5, 5, 5, 120, 120, 120)),
        "no volume",
    ),
    "angles that close no cell": (
        replace(SALT, space_group=1, letters=np.array([0, 0]), cell=cell(5, 5, 5, 60, 60, 150)),
        "no volume",
    ),
    "a cubic group on a tetragonal cell": (replace(SALT, cell=cell(5, 5, 6, 90, 90, 90)), "not cubic"),
    "no atoms": (EMPTY, "no atoms"),
    "half a group": (replace(SALT, space_group=1.5), "whole number"),
    "group 231": (replace(SALT, space_group=231), "must be 1 to 230"),
    "positions in the plane": (replace(SALT, positions=np.zeros((2, 2))), r"positions has shape \(2, 2\)"),
    "too few occupancies": (replace(SALT, occupancies=np.ones(1)), r"occupancies has shape \(1,\); need \(2,\)"),
    "a letter of another group": (replace(SALT, letters=np.array([0, 5000])), "atom row 1: index 5000 of the Wyckoff"),
    "NaN coordinate": (replace(SALT, positions=np.array([[0, 0, 0], [0.5, np.nan, 0.5]])), "atom row 1"),
    "element without form factor": (replace(SALT, atomic_numbers=np.array([11, 103])), "no form factor for Lr"),
    "impossible element": (replace(SALT, atomic_numbers=np.array([11, 200])), "Z = 200"),
    "dummy element": (replace(SALT, atomic_numbers=np.array([0, 11])), "Z = 0"),
    "occupancy above 1": (replace(SALT, occupancies=np.array([1.2, 1.0])), "occupancy 1.2"),
    "occupancy of zero": (replace(SALT, occupancies=np.array([1.0, 0.0])), "atom row 1: occupancy 0"),
    "negative occupancy": (replace(SALT, occupancies=np.array([1.0, -0.5])), "occupancy -0.5"),
    "NaN occupancy": (replace(SALT, occupancies=np.array([1.0, np.nan])), "occupancy nan"),
    "an overfull site": (
        replace(SALT, occupancies=np.array([0.8, 0.5]), positions=np.zeros((2, 3)), sites=np.array([0, 0])),
        "add up to 1.3",
    ),
    "negative displacement": (
        replace(SALT, b_iso=np.array([0.5, -0.1])),
        "atom row 1: displacement parameter B = -0.1",
    ),
    "displacement as a percentage": (SALT.with_b_iso(150.0), "atom row 0: displacement parameter B = 150"),
    "NaN displacement": (SALT.with_b_iso(np.nan), "B = nan"),
    "displacements of other atoms": (replace(SALT, b_iso=np.zeros(3)), "3 displacement parameters B for 2 atom rows"),
    "no such group": (replace(SALT, space_group=231), "space group 231"),
    "cell too small to diffract": (replace(SALT, cell=cell(0.5, 0.5, 0.5, 90, 90, 90)), "no reflection"),
    "a cell of a micrometre": (replace(SALT, cell=cell(1e4, 1e4, 1e4, 90, 90, 90)), "reflections"),
    "an absurd cell": (replace(SALT, cell=cell(1e30, 1e30, 1e30, 90, 90, 90)), "reflections"),
}


@pytest.mark.parametrize("name", BAD_CRYSTALS)
def test_a_bad_crystal_is_refused_in_one_line(name, simulator):
    crystal, message = BAD_CRYSTALS[name]
    for simulate in (simulator.peaks, lambda bad: simulator.pattern(bad, 50.0)):
        with pytest.raises(InputError, match=message) as caught:
            simulate(crystal)
        assert "\n" not in str(caught.value)
        assert any(remedy in str(caught.value) for remedy in ("; ", "must be")), "no remedy"


def test_a_million_atoms_are_refused_with_an_estimate(simulator):
    n = 1_000_000
    rng = np.random.default_rng(0)
    crystal = Crystal(
        space_group=1,
        cell=cell(220, 220, 220, 90, 90, 90),
        positions=rng.random((n, 3)),
        atomic_numbers=np.full(n, 8),
        occupancies=np.ones(n),
        letters=np.zeros(n, dtype=np.int64),
        sites=np.arange(n),
    )
    with pytest.raises(InputError, match=r"1000000 atoms.*terms"):
        simulator.pattern(crystal, 50.0)


def test_a_wavelength_that_leaves_no_reflection_is_named():
    with pytest.raises(InputError, match=r"wavelength 12 Å.*shorter wavelength"):
        Simulator(SimulationSettings(wavelength=12.0)).pattern(SALT, 50.0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"wavelength": 0.0}, "wavelength 0.0"),
        ({"wavelength": float("nan")}, "wavelength nan"),
        ({"size_min": -1.0}, "size_min -1.0"),
        ({"size_min": 80.0, "size_max": 40.0}, "80 to 40 nm"),
        ({"size_max": float("inf")}, "size_max inf"),
        ({"scherrer_constant": 0.0}, "scherrer_constant"),
        ({"size_max": 5000.0}, "smaller step"),
        ({"grid": Grid(5.0, 90.0, 0.1)}, "smaller step"),
        ({"lorentzian_fraction": -0.1}, "Lorentzian fraction -0.1: must be 0"),
        ({"lorentzian_fraction": 1.5}, "Lorentzian fraction 1.5: must be 0"),
        ({"lorentzian_fraction": float("nan")}, "Lorentzian fraction nan: must be 0"),
    ],
)
def test_impossible_settings_are_refused(fields, message):
    with pytest.raises(InputError, match=message):
        SimulationSettings(**fields)


@pytest.mark.parametrize("fraction", [-0.01, 1.01, float("nan")])
def test_a_fraction_of_one_pattern_is_checked(simulator, fraction):
    with pytest.raises(InputError, match=r"Lorentzian fraction .*: must be 0 \(Gaussian"):
        simulator.pattern(SALT, 50.0, lorentzian_fraction=fraction)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ((0.0, 90.0, 0.01), "need 0 < min < max < 180"),
        ((90.0, 5.0, 0.01), "need 0 < min < max < 180"),
        ((5.0, 180.0, 0.01), "need 0 < min < max < 180"),
        ((5.0, 90.0, 0.0), "must be positive"),
        ((5.0, 90.0, 0.013), "does not divide"),
        ((5.0, 90.0, 1e-6), "larger step"),
        ((5.0, float("nan"), 0.01), "not finite"),
    ],
)
def test_impossible_grids_are_refused(limits, message):
    with pytest.raises(InputError, match=message) as caught:
        Grid(*limits)
    assert "\n" not in str(caught.value)


def test_settings_without_a_fraction_are_gaussian():
    fields = SimulationSettings().to_dict()
    del fields["lorentzian_fraction"]
    assert SimulationSettings.from_dict(fields) == SimulationSettings()


def test_settings_survive_json():
    settings = SimulationSettings(
        grid=Grid(10.0, 70.0, 0.02), wavelength=0.7093, size_min=30.0, lorentzian_fraction=0.4
    )
    assert SimulationSettings.from_dict(settings.to_dict()) == settings


@pytest.mark.parametrize("size", [19.9, 100.1, float("nan")])
def test_a_size_outside_the_settings_is_refused(simulator, size):
    with pytest.raises(InputError, match="20 to 100 nm"):
        simulator.pattern(SALT, size)


@pytest.mark.parametrize(
    "out", [np.empty(8500, np.float32), np.empty(8501), np.empty((8501, 2), np.float32)[:, 0]], ids=str
)
def test_an_unfit_output_array_is_refused(simulator, out):
    with pytest.raises(InputError, match="output array"):
        simulator.pattern(SALT, 50.0, out=out)
