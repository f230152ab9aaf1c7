"""CPU time of a full diffractogram beside other programs, on the same crystals, in one run on one core.

    python tests/benchmarks/bench_diffraction.py [--json] [--quick]

Crystals are those of the benchmark set where it is there, and always random ones of the embedded statistics. Timed are
the kernel alone (arrays to pattern), `Simulator.pattern` (with its checks) and `Simulator.peaks`, and what each peer
does at the least (see `peers`). Crystal by crystal all take turns. Agreement is checked on the way: a peer or kernel
that disagrees ends the benchmark, so that nothing fast and wrong is reported.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import fields
from functools import partial
from inspect import signature
from typing import Any

import numpy as np
from clock import alternate, load_average
from crystal_sets import PROTOTYPE, crystallite_size, natural_crystals, shared_crystals
from peers import Peer, Run, peers
from xrdcommon import console
from xrdgen.crystal import Crystal
from xrdgen.diffraction.simulation_kernels import simulate_pattern
from xrdgen.diffraction.simulator import Simulator

KERNEL = "kernel"
SLOWEST = "pymatgen `XRDCalculator`"


def own_runs(crystal: Crystal, size: float, simulator: Simulator, out: np.ndarray) -> dict[str, tuple[Run, int]]:
    """What of ours is timed, with repeats."""
    arrays = simulator.arrays(crystal)
    known = {field.name: getattr(arrays, field.name) for field in fields(arrays)}
    known |= {"crystallite_size": 10.0 * size, "lorentzian_fraction": 0.0, "out": out}
    known |= {name: getattr(simulator, name) for name in ("instrument", "groups", "form_factors")}
    inputs = [known[name] for name in signature(simulate_pattern.py_func).parameters]
    return {
        KERNEL: (Run(lambda: simulate_pattern(*inputs)), 20),
        "Simulator.pattern": (Run(lambda: simulator.pattern(crystal, size, out)), 10),
        "Simulator.peaks": (Run(lambda: simulator.peaks(crystal)), 5),
    }


def measure(name: str, crystals: list[Crystal], others: list[Peer], rounds: int) -> dict[str, Any]:
    """Time all on one set of crystals.

    Returns:
        milliseconds by program: mean, median and largest over the crystals of the medians over rounds; ratios of the
        mean to the kernel's; largest disagreement by peer.

    """
    simulator = Simulator()
    out = np.empty(simulator.settings.grid.n_points, dtype=np.float32)
    seconds: dict[str, list[float]] = {}
    worst = {peer.name: 0.0 for peer in others}
    for number, crystal in enumerate(console.track(crystals, f"{name} crystals")):
        size = crystallite_size(number)
        runs = own_runs(crystal, size, simulator, out)
        for peer in others:
            run = peer.prepare(crystal, size, simulator)
            begin = time.process_time()
            result = run.once()
            if peer.name == SLOWEST:  # once is enough: it takes longer than all others together
                seconds.setdefault(SLOWEST, []).append(time.process_time() - begin)
            else:
                runs[peer.name] = (run, peer.repeats)
            difference = peer.compare(result, crystal, size, simulator)
            if not difference <= peer.limit:
                raise SystemExit(
                    f"{name} crystal {number} (space group {crystal.space_group}): {peer.name} and xrdstream differ by "
                    f"{difference:.2g} ({peer.measure}), more than {peer.limit:g}; no figures of wrong results"
                )
            worst[peer.name] = max(worst[peer.name], difference)
        for run, _ in runs.values():
            run.once()
        timed = {key: partial(run.seconds, n) for key, (run, n) in runs.items()}
        for key, value in alternate(timed, rounds, extra=1).items():
            seconds.setdefault(key, []).append(value)
    kernel = np.mean(seconds[KERNEL])
    return {
        "crystals": len(crystals),
        "milliseconds": {
            key: {"mean": 1e3 * np.mean(v), "median": 1e3 * np.median(v), "max": 1e3 * max(v)}
            for key, v in seconds.items()
        },
        "over_kernel": {key: float(np.mean(v) / kernel) for key, v in seconds.items()},
        "disagreement": worst,
    }


def measure_all(*, quick: bool) -> dict[str, Any]:
    """Time all on every set of crystals."""
    others = peers(PROTOTYPE)
    sets = {"benchmark": shared_crystals(), "natural": natural_crystals(25 if quick else 120)}
    if quick:
        sets["benchmark"] = sets["benchmark"][::5]
    return {
        "sets": {
            name: measure(name, crystals, others, 3 if quick else 5) for name, crystals in sets.items() if crystals
        },
        "peers": {peer.name: {"does": peer.does, "measure": peer.measure} for peer in others},
    }


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quick", action="store_true", help="fewer crystals and rounds")
    arguments = parser.parse_args()
    report = measure_all(quick=arguments.quick)
    if arguments.json:
        console.emit_json(report)
        return
    for name, figures in report["sets"].items():
        console.emit(f"{name}: {figures['crystals']} crystals, {load_average()}")
        console.emit(f"  {'CPU ms a crystal':<34} {'mean':>9} {'median':>9} {'max':>9} {'x kernel':>9}  differs by")
        for key, times in figures["milliseconds"].items():
            line = f"  {key:<34} {times['mean']:9.4f} {times['median']:9.4f} {times['max']:9.4f}"
            line += f" {figures['over_kernel'][key]:9.1f}"
            if key in figures["disagreement"]:
                line += f"  {figures['disagreement'][key]:.1e}, {report['peers'][key]['measure']}"
            console.emit(line)


if __name__ == "__main__":
    sys.exit(main())
