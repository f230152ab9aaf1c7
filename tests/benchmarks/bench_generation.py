"""The table of generation: patterns beside peers, crystals, productions, memory, each beside its target, in one run.

    python tests/benchmarks/bench_generation.py [--quick] [--json] [--write-readme]

CPU time of one core, but for productions, whose rates are those of wall time. See `bench_diffraction`,
`bench_crystals` and `bench_production` for what is measured and how. With --write-readme the tables replace what is
between the two marks in README.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import bench_crystals
import bench_diffraction
import bench_production
from bench_diffraction import KERNEL
from clock import load_average
from xrdcommon import console
from xrdcommon.files import write_bytes

README = Path(__file__).resolve().parents[2] / "README.md"
MARKS = ("<!-- measured by make bench: begin -->", "<!-- measured by make bench: end -->")


def measure(*, quick: bool) -> dict[str, Any]:
    """Measure everything."""
    begin = time.perf_counter()
    report: dict[str, Any] = {"machine": _machine(), "load_before": load_average()}
    console.say("patterns beside peers")
    report["diffraction"] = bench_diffraction.measure_all(quick=quick)
    console.say("crystals")
    report["crystals"] = bench_crystals.measure(quick=quick)
    console.say("productions")
    report["production"] = bench_production.measure(
        quick=quick, seconds=2.5 if quick else 7.0, rounds=1 if quick else 2, options=[]
    )
    report |= {"load_after": load_average(), "seconds": time.perf_counter() - begin, "quick": quick}
    return report


def _machine() -> str:
    """Name of the processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown processor"


def figures(report: dict[str, Any]) -> list[tuple[str, str, str, str, str]]:
    """What, must, aim, measured, beside: a row each."""
    rows = []
    for name, found in report["diffraction"]["sets"].items():
        times = found["milliseconds"]
        kernel = times[KERNEL]
        beside = f"median {kernel['median']:.3f}; with its checks {times['Simulator.pattern']['mean']:.3f}"
        what = f"full pattern of 8501 points, {found['crystals']} {name} crystals, mean"
        rows.append((what, "0.1 ms", "0.04 ms", f"{kernel['mean']:.3f} ms", beside))
    us = report["crystals"]["microseconds"]
    rejected = report["crystals"]["rejected"]
    beside = f"draw {us['drawn']:.1f} us, exact test {us['exact test']:.1f} us; spglib would take {us['spglib']:.0f} us"
    rows.append(("draw and verify a crystal, mean", "0.02 ms", "0.005 ms", f"{us['verified'] / 1e3:.4f} ms", beside))
    beside = f"{100 * rejected['improved']:.1f} % rejected, paper {100 * rejected['paper']:.1f} %"
    rows.append(("the same, preset improved", "", "", f"{us['verified, improved'] / 1e3:.4f} ms", beside))
    beside = f"ordering {us['ordering']:.0f} us a candidate; {100 * rejected['ordered']:.1f} % rejected at 0.01 Å"
    rows.append(("the same, ordered by soft spheres", "", "", f"{us['verified, ordered'] / 1e3:.4f} ms", beside))
    production = report["production"]
    rate, cpu = production["per_second"], production["per_cpu_second"]
    beside = (
        f"{cpu['one worker']:,.0f} a CPU second; {rate['serial']:,.0f} without Dask; {rate['kernel']:,.0f} unwritten"
    )
    what = "crystal and diffractogram to shards on disk, one worker"
    rows.append((what, "5,000 /s", "10,000 /s", f"{rate['one worker']:,.0f} /s", beside))
    times = production["preset_microseconds"]
    for preset in ("s4", "s4-impurity", "measured"):
        beside = f"{1e6 / times['pure']:,.0f} pure in the same run: {times[preset] / times['pure']:.2f} x its time"
        goals = ("4,000 /s", "6,000 /s") if preset == "measured" else ("", "")
        rows.append((f"the same, `{preset}`, a CPU second", *goals, f"{1e6 / times[preset]:,.0f} /s", beside))
    over = production["two_over_one"]
    by_cpu = 2.0 * cpu["two workers"] / cpu["one worker"]
    beside = f"{by_cpu:.2f} x by CPU seconds; independent productions {over['serial']:.2f} x"
    beside += f", independent kernels {over['kernels']:.2f} x"
    rows.append(("two workers against one", "1.85 x", "1.95 x", f"{over['workers']:.2f} x", beside))
    beside = f"{100 * production['writing_share']:.0f} % of a worker's CPU time"
    rows.append(("writing a diffractogram", "", "", f"{production['writing_microseconds']:.0f} us", beside))
    share = f"{100 * production['publishing_share']:.1f} %"
    rows.append(
        ("publishing, share of a worker's time", "2 %", "", share, f"{production['rows_per_shard']:,} rows a shard")
    )
    memory = f"{production['worker_memory_mb']:.0f} MB"
    rows.append(("memory of a producer worker, peak", "600 MB", "300 MB", memory, ""))
    rows.append(("first row of a new production", "10 s", "", f"{production['warm_start_seconds']:.1f} s", ""))
    return rows


def peer_rows(report: dict[str, Any]) -> list[list[str]]:
    """A row a peer: what it does, its mean and ratio on every set of crystals, how far it differs."""
    diffraction = report["diffraction"]
    rows = []
    for name, peer in diffraction["peers"].items():
        row = [name, peer["does"]]
        for found in diffraction["sets"].values():
            digits = 0 if found["over_kernel"][name] > 100.0 else 1
            row.append(f"{found['milliseconds'][name]['mean']:.3g} ms: {found['over_kernel'][name]:,.{digits}f} x")
        worst = max(found["disagreement"][name] for found in diffraction["sets"].values())
        rows.append([*row, f"{worst:.1g}, {peer['measure']}"])
    return rows


def markdown(report: dict[str, Any]) -> str:
    """Both tables."""
    production = report["production"]
    lines = [
        f"One core of {report['machine']}; {report['load_after']}; in the productions other processes used up to "
        f"{100 * production['others']:.0f} % of the machine" + ("; few rounds (--quick)." if report["quick"] else "."),
        "",
        *_table(["what", "must", "aim", "measured", "beside"], figures(report)),
        "",
        "The full pattern beside other programs on the same crystals; each does the structure factors at least:",
        "",
        *_table(
            ["program", "does", *report["diffraction"]["sets"], "differs by at most"],
            peer_rows(report),
        ),
    ]
    return "\n".join(lines)


def _table(header: list[str], rows: Any) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]


def write_readme(text: str) -> None:
    """Put the tables between the marks.

    Raises:
        SystemExit: there are no marks.

    """
    readme = README.read_text()
    before, begin, rest = readme.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not (begin and end):
        raise SystemExit(f"{README}: no '{MARKS[0]}' and '{MARKS[1]}' to write between")
    write_bytes(README, f"{before}{begin}\n{text}\n{end}{after}".encode())
    console.say(f"{README}: tables written")


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quick", action="store_true", help="fewer crystals, shorter windows, fewer rounds")
    parser.add_argument("--write-readme", action="store_true", help="put the tables into README.md")
    arguments = parser.parse_args()
    report = measure(quick=arguments.quick)
    if arguments.json:
        console.emit_json(report)
    else:
        console.emit(markdown(report))
    if arguments.write_readme:
        write_readme(markdown(report))


if __name__ == "__main__":
    sys.exit(main())
