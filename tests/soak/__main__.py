"""A soak: `python -m tests.soak --minutes 10 --seed 1`, or `make soak MINUTES=10`.

Real producers, Dask workers and trainings work on one spool while processes are killed, frozen, cut off from one
another, shards are damaged and the disk is filled. After every round, and at the end, the audit and an independent
count must agree: nothing used twice, nothing lost, every sample accounted for. The schedule depends on the seed alone
(`--schedule` prints it); what exactly it hits depends on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.soak.cast import HERE, NODES, Cast, Role, can_unshare
from tests.soak.fuzz import Fuzz, keep
from tests.soak.schedule import rounds

BIN = Path(sys.executable).parent

DISK = "320m"
"""Size of the file system that the soak mounts for itself."""

ROWS, STEP, WATERMARK = 160, 0.05, "60MB"


def roles(spool: Path, runs: Path, *, short: bool) -> list[Role]:
    """Return who plays: two productions, workers that join, trainings and streams on three feeds, a network."""
    options = ["--rows-per-shard", str(ROWS), "--step", str(STEP), "--high-watermark", WATERMARK]
    helped = subprocess.run(
        [str(BIN / "xrdgen"), "produce", "--help"], capture_output=True, text=True, check=True
    ).stdout
    if "--keep-free" in helped:
        options += ["--keep-free", "8MB"]
    produce = [str(BIN / "xrdgen"), "produce", str(spool), *options, "--workers"]

    def training(name: str, *more: str) -> Role:
        return Role(
            name, "training", [sys.executable, "-m", "tests.soak.training", str(spool), str(runs / name), *more]
        )

    def stream(name: str, *more: str) -> Role:
        return Role(name, "training", [sys.executable, "-m", "tests.soak.stream", str(spool), str(runs / name), *more])

    cast = [
        Role("cluster", "producer", [*produce, "1" if short else "2"], ("plain",)),
        Role("alone", "producer", [*produce, "0"], ("plain",)),
        Role("task-a", "task", [*produce, "1", "--join"], ("joined",)),
        Role("task-b", "task", [*produce, "1", "--join"], ("joined",)),
        training("left", "--rate", "3000"),
        training("other", "--rate", "2000", "--feed", "second", "--batch", "70"),
        stream("stream", "--rate", "2000", "--feed", "third", "--workers", "1", "--on-crash", "discard"),
    ]
    if not short:
        fit = [str(BIN / "xrdtrain"), "fit", str(spool), "--run", str(runs / "network"), "--model", "resnet-10-small"]
        fit += ["--test", "none", "--batch", "50", "--checkpoint-every", "500", "--samples", "100000000"]
        cast += [
            Role("joining", "worker", [str(BIN / "xrdgen"), "worker", str(spool), "--workers", "1"], ("plain",)),
            Role("task-c", "task", [*produce, "1", "--join"], ("joined",)),
            training("once", "--feed", "second", "--batch", "16", "--rate", "1500", "--on-crash", "discard"),
            training("right", "--rate", "1000", "--batch", "64", "--every", "700"),
            stream("again", "--rate", "1000", "--feed", "third", "--workers", "2", "--shuffle", "400"),
            Role("network", "network", fit),
        ]
    return cast


def mount(folder: Path) -> str:
    """Mount a small file system; return why not, if not."""
    if os.geteuid() != 0:
        return "not root: no small file system can be mounted, the disk is not filled"
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "xrdstream-soak", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stderr.strip() if result.returncode else ""


def main() -> int:
    """Soak and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--round", type=float, default=25.0, help="mean seconds of a round")
    parser.add_argument("--events", type=float, default=0.4, help="events a second")
    parser.add_argument("--patience", type=float, default=8.0, help="seconds of silence before a lease is taken")
    parser.add_argument("--short", action="store_true", help="fewer processes, one machine, a quiet beginning")
    parser.add_argument("--schedule", action="store_true", help="print the schedule and end")
    parser.add_argument("--json", type=Path, help="write the result there")
    parser.add_argument("--work", type=Path, help="folder for logs and for spools with faults; a new one by default")
    asked = parser.parse_args()
    plan = rounds(asked.seed, asked.round, asked.events)
    if asked.schedule:
        length = 0.0
        while length < 60 * asked.minutes:
            print(round_ := next(plan))
            length += round_.seconds
        return 0
    work = asked.work or Path(tempfile.mkdtemp(prefix="xrdstream-soak-"))
    disk = work / "disk"
    disk.mkdir(parents=True)
    why_not = mount(disk)
    try:
        result, faulty = soak(asked, work, disk, why_not)
        if faulty:
            kept = keep(disk, work / "kept")
            say(f"the spool is kept in {kept / 'spool'}, the logs are in {work / 'logs'}")
    finally:
        if not why_not:
            subprocess.run(["umount", "-l", str(disk)], check=False)
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=1) + "\n")
    if not faulty and asked.work is None:
        shutil.rmtree(work)
    return 1 if faulty else 0


def soak(asked: argparse.Namespace, work: Path, disk: Path, why_not: str) -> tuple[dict[str, Any], bool]:
    """Play rounds until the time is up, then let all go on, use everything up, and count for the last time."""
    start = time.monotonic()
    spool, runs = disk / "spool", disk / "runs"
    nodes = NODES if not asked.short and can_unshare() else (HERE,)
    cast = Cast(roles(spool, runs, short=asked.short), work / "logs", asked.patience, nodes=nodes)
    fuzz = Fuzz(spool, runs, cast, seed=asked.seed, patience=asked.patience, small_disk=not why_not, say=say)
    tally = fuzz.tally
    if why_not:
        tally.skipped["fill"] = why_not
    if len(nodes) == 1:
        tally.skipped["freeze"] = "no process seems to be on another machine: --short, or `unshare --uts` is refused"
    for kind, reason in tally.skipped.items():
        say(f"skipped: {kind}: {reason}")
    say(f"seed {asked.seed}, {spool}, logs in {work / 'logs'}")
    try:
        if asked.short:
            cast.form = next(rounds(asked.seed, asked.round, asked.events)).form
            fuzz.warm_up(shards=20)
        begin = time.monotonic()
        for round_ in rounds(asked.seed, asked.round, asked.events):
            if time.monotonic() - begin >= 60 * asked.minutes or tally.faults:
                break
            say(str(round_))
            fuzz.play(round_)
        if not tally.faults:
            fuzz.calm(60.0 + asked.patience)
            settled = fuzz.stop()
            fuzz.check("calm", settled=settled)
        if not tally.faults:
            fuzz.settle()
            fuzz.check("at the end", settled=settled)
    finally:
        cast.kill_all()
    tally.faults += cast.tracebacks()
    return report(fuzz, asked.seed, time.monotonic() - start), bool(tally.faults)


def report(fuzz: Fuzz, seed: int, seconds: float) -> dict[str, Any]:
    """Print the table and return it for JSON."""
    tally, own = fuzz.tally, fuzz.tally.own
    result = {
        "ok": not tally.faults,
        "seed": seed,
        "seconds": round(seconds, 1),
        "rounds": tally.rounds,
        "kills": tally.kills,
        "events": dict(sorted(tally.events.items())),
        "starts": dict(sorted(fuzz.cast.starts.items())),
        "damaged_shards": len(tally.damaged),
        **own.to_dict(),
        "skipped": tally.skipped,
        "own_exits": dict(fuzz.cast.exits.most_common()),
        "faults": tally.faults,
    }
    print()
    for name, value in result.items():
        if isinstance(value, dict):
            print(f"{name}:" + ("" if value else " none"))
            for key, number in value.items():
                print(f"    {number!s:>6}  {key}")
        elif name != "faults":
            print(f"{name:20} {value}")
    for fault in tally.faults:
        print(f"FAULT: {fault}")
    if tally.faults:
        print(f"seed {seed}; the last events:", *tally.last[-15:], sep="\n    ")
    print("ok" if not tally.faults else "NOT OK")
    return result


def say(text: str) -> None:
    """Show progress: over itself on a terminal, counts and rounds as lines elsewhere."""
    passing = text[:1].isdigit()
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="" if passing else "\n", file=sys.stderr, flush=True)
    elif not passing:
        print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
