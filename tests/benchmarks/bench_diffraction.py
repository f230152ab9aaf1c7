"""Time of a full diffractogram beside pymatgen's, in CPU milliseconds of one core, in one run.

    python tests/benchmarks/bench_diffraction.py [--json]

Crystals are those of ../shared/bench where it is there, else random ones of a fixed seed. What is timed: the kernel
alone (arrays to pattern), `Simulator.pattern` (with its checks), `Simulator.peaks`, and pymatgen's XRDCalculator (peaks
only). Building input objects is excluded. Agreement of the lines with pymatgen is checked on the way, so that
nothing fast and wrong is reported.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from xrdcommon import console
from xrdgen.crystals.crystal import Crystal
from xrdgen.diffraction.simulation_kernels import simulate_pattern
from xrdgen.diffraction.simulator import Simulator
from xrdgen.elements import atomic_number
from xrdgen.symmetry import wyckoff

SHARED = Path(__file__).resolve().parents[3] / "shared" / "bench" / "crystals.json.gz"
GOLDEN_RATIO = 0.6180339887


def shared_crystals() -> list[Crystal]:
    """The crystals of ../shared/bench."""
    from pymatgen.core import Lattice

    return [
        Crystal(
            space_group=entry["sg"],
            cell=np.array(Lattice(entry["lattice"]).parameters).round(8),
            positions=np.array([position for _, position, _ in entry["asu"]]),
            atomic_numbers=np.array([atomic_number(element) for element, _, _ in entry["asu"]]),
            occupancies=np.ones(len(entry["asu"])),
            letters=np.array([wyckoff.letter_index(label[-1]) for _, _, label in entry["asu"]]),
            sites=np.arange(len(entry["asu"])),
        )
        for entry in json.loads(gzip.decompress(SHARED.read_bytes()))
    ]


def own_crystals(n: int = 150) -> list[Crystal]:
    """Random crystals of 1 to 30 sites in cells of 200 to 2000 Å^3."""
    rng = np.random.default_rng(0)
    table = wyckoff.tables()
    crystals = []
    for _ in range(n):
        group = int(rng.integers(1, 231))
        sites = int(np.exp(rng.uniform(0.0, np.log(30.0))))
        rows = np.arange(table.start[group - 1], table.start[group])
        free = rows[table.dof[rows] > 0] if (table.dof[rows] > 0).any() else rows
        chosen = rng.choice(free, sites)
        edge = rng.uniform(200.0, 2000.0) ** (1 / 3)
        ratio = 1.0 if group >= 195 else rng.uniform(0.7, 1.4)
        gamma = 120.0 if 143 <= group <= 194 else 90.0
        elements = rng.integers(1, 93, size=6)
        crystals.append(
            Crystal(
                space_group=group,
                cell=np.array([edge, edge, edge * ratio, 90.0, 90.0, gamma]),
                positions=np.array([table.rotation[row] @ rng.random(3) + table.translation[row] for row in chosen]),
                atomic_numbers=rng.choice(elements, sites),
                occupancies=np.ones(sites),
                letters=chosen - table.start[group - 1],
                sites=np.arange(sites),
            )
        )
    return crystals


def cpu_milliseconds(function: Callable[[], object], repeats: int, rounds: int) -> float:
    """Median over rounds of the CPU time of one call."""
    function()
    times = []
    for _ in range(rounds):
        begin = time.process_time()
        for _ in range(repeats):
            function()
        times.append((time.process_time() - begin) / repeats)
    return float(np.median(times)) * 1e3


def disagreement(simulator: Simulator, crystal: Crystal, two_theta: np.ndarray, intensity: np.ndarray) -> float:
    """Largest difference of merged lines from pymatgen's, as a share of the maximum."""
    peaks = simulator.peaks(crystal)
    angles = np.concatenate([peaks.two_theta, two_theta])
    signed = np.concatenate([peaks.intensity, -np.asarray(intensity)])
    order = np.argsort(angles)
    line = np.concatenate([[0], np.cumsum(np.diff(angles[order]) > 3e-5)])
    ours = np.bincount(line, weights=np.maximum(signed[order], 0.0))
    theirs = np.bincount(line, weights=np.maximum(-signed[order], 0.0))
    return float(np.abs(ours / ours.max() - theirs / theirs.max()).max())


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description="Time a full diffractogram beside pymatgen's peaks.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    as_json = parser.parse_args().json
    from pymatgen.analysis.diffraction.core import AbstractDiffractionPatternCalculator
    from pymatgen.analysis.diffraction.xrd import XRDCalculator

    # keep the lines that pymatgen drops (under 1e-5 of the maximum): merged with a neighbour they would be missed
    AbstractDiffractionPatternCalculator.SCALED_INTENSITY_TOL = 0.0
    crystals = shared_crystals() if SHARED.exists() else own_crystals()
    begin = time.perf_counter()
    simulator = Simulator()
    simulator.pattern(crystals[0], 50.0)
    simulator.peaks(crystals[0])
    start_up = time.perf_counter() - begin
    calculator = XRDCalculator(simulator.settings.wavelength)
    out = np.empty(simulator.settings.grid.n_points, dtype=np.float32)
    rows: dict[str, list[float]] = {"kernel": [], "Simulator.pattern": [], "Simulator.peaks": [], "pymatgen peaks": []}
    worst = 0.0
    for i, crystal in enumerate(console.track(crystals, "crystals")):
        size = 20.0 + 80.0 * (GOLDEN_RATIO * i % 1.0)
        arrays = simulator.arrays(crystal)
        inputs = (arrays.cell, arrays.positions, arrays.atomic_numbers, arrays.weights, arrays.space_group, size * 10.0)
        tables = (simulator.instrument, simulator.groups, simulator.form_factors, out)
        rows["kernel"].append(cpu_milliseconds(lambda: simulate_pattern(*inputs, *tables), 20, 5))  # noqa: B023
        rows["Simulator.pattern"].append(cpu_milliseconds(lambda: simulator.pattern(crystal, size, out), 20, 5))  # noqa: B023
        rows["Simulator.peaks"].append(cpu_milliseconds(lambda: simulator.peaks(crystal), 5, 3))  # noqa: B023
        structure = crystal.to_pymatgen()
        begin = time.process_time()
        pattern = calculator.get_pattern(structure, two_theta_range=(5.0, 90.0))
        rows["pymatgen peaks"].append((time.process_time() - begin) * 1e3)
        worst = max(worst, disagreement(simulator, crystal, pattern.x, pattern.y))
    report = {
        "crystals": len(crystals),
        "source": str(SHARED.name if SHARED.exists() else "random"),
        "start_up_seconds": start_up,
        "worst_disagreement": worst,
        "milliseconds": {
            name: {"median": float(np.median(times)), "mean": float(np.mean(times)), "max": max(times)}
            for name, times in rows.items()
        },
        "pymatgen_over_pattern": float(np.mean(rows["pymatgen peaks"]) / np.mean(rows["Simulator.pattern"])),
    }
    if as_json:
        console.emit_json(report)
        return
    console.emit(f"{len(crystals)} crystals ({report['source']}); start-up with compilation or cache {start_up:.1f} s")
    console.emit(f"{'CPU ms a crystal':<20} {'median':>9} {'mean':>9} {'max':>9} {'pymatgen mean / mean':>21}")
    for name, times in rows.items():
        ratio = np.mean(rows["pymatgen peaks"]) / np.mean(times)
        console.emit(f"{name:<20} {np.median(times):9.4f} {np.mean(times):9.4f} {max(times):9.4f} {ratio:21.0f}")
    console.emit(f"lines differ from pymatgen's by at most {worst:.1e} of the maximum")


if __name__ == "__main__":
    sys.exit(main())
