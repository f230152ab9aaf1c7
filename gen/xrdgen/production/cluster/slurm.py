"""`xrdgen produce --submit`: a production as a SLURM job array, one `xrdgen produce --join` a task."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from xrdcommon.errors import InputError, XrdError
from xrdcommon.spool.records import RecordCache
from xrdcommon.spool.spool import Spool

from xrdgen.production.options import CORES_PER_TASK, ProduceOptions

SCRIPT = Path(__file__).parents[2] / "data" / "produce.sbatch"
"""The script of a task; `slurm/produce.sbatch` is the same file."""

DEFAULT_HOURS = 24.0
"""Limit of a task in the script."""

ASSUMED_RATE = 5000.0
"""Samples a second and core of pure diffractograms, where the spool does not tell yet what it takes."""

_RECENT = 64
"""Shards whose seconds tell the rate of a spool."""

_LIMIT = re.compile(r"(?:(?P<days>\d+)-)?(?P<first>\d+)(?::(?P<second>\d+))?(?::(?P<third>\d+))?")


@dataclass(frozen=True, slots=True)
class Submission:
    """A call of sbatch.

    Attributes:
        environment: variables that the script reads, beside those of the shell.
        command: sbatch and its arguments.
        tasks: of the array.
        cores: of a task.
        logs: folder for the tasks' logs, to be made; None is the folder that one happens to be in.

    """

    environment: dict[str, str]
    command: list[str]
    tasks: int
    cores: int
    logs: Path | None = None

    def __str__(self) -> str:
        """Return a line that a shell takes."""
        variables = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return " ".join([*variables, shlex.join(self.command)])

    def check(self, *, needed: bool) -> None:
        """Make sure that there is a queue system that takes so many tasks.

        Args:
            needed: whether its absence is an error.

        Raises:
            InputError: no sbatch on this machine, or too many tasks for an array.

        """
        if needed and shutil.which(self.command[0]) is None:
            raise InputError(
                "sbatch: not found; submit on a machine of the cluster, or see with --dry-run what would be submitted"
            )
        limit = largest_array()
        if limit is not None and self.tasks > limit:
            raise InputError(
                f"{self.tasks} tasks: an array of this cluster has at most {limit} (MaxArraySize); "
                "raise --cores-per-task, or lower --workers"
            )

    def run(self) -> str:
        """Submit; return the id of the job.

        Raises:
            XrdError: sbatch refused, or the folder for the logs cannot be made.

        """
        if self.logs is not None:
            try:
                self.logs.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(f"--logs {self.logs}: cannot be made ({error.strerror})") from error
        done = subprocess.run(
            self.command, env=os.environ | self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise XrdError(f"sbatch refused: {' '.join(done.stderr.split()) or f'exit code {done.returncode}'}")
        return done.stdout.strip().partition(";")[0]


def submission(spool: Path, workers: int, options: ProduceOptions) -> Submission:
    """Return the call of sbatch for a number of workers, spread evenly over the tasks of an array.

    Args:
        spool: where to.
        workers: in all.
        options: of `xrdgen produce`.

    Raises:
        InputError: no workers, no cores a task, a limit that is no time, or no such file to be read first.

    """
    per_task = CORES_PER_TASK if options.cores_per_task is None else options.cores_per_task
    if workers < 1:
        raise InputError(f"workers {workers}: --submit needs at least 1")
    if per_task < 1:
        raise InputError(f"--cores-per-task {per_task}: must be at least 1")
    if options.time is not None:
        hours(options.time)
    tasks = -(-workers // per_task)
    cores = -(-workers // tasks)
    asked = {"partition": options.partition, "account": options.account, "time": options.time, "qos": options.qos}
    environment = {"XRD_SPOOL": str(spool.absolute()), "XRD_VENV": sys.prefix}
    if options.setup is not None:
        if not options.setup.is_file():
            raise InputError(f"--setup {options.setup}: no such file")
        environment["XRD_SETUP"] = str(options.setup.absolute())
    logs = None if options.logs is None else options.logs.absolute()
    command = [
        "sbatch",
        "--parsable",
        f"--array=0-{tasks - 1}",
        f"--cpus-per-task={cores}",
        *(f"--{name}={value}" for name, value in asked.items() if value is not None),
        *([] if logs is None else [f"--output={logs}/xrdgen-%A_%a.log"]),
        *options.sbatch_words(),
        str(SCRIPT),
        *options.of_a_task(),
    ]
    return Submission(environment, command, tasks, cores, logs)


def hours(limit: str) -> float:
    """Return the hours of a time limit in one of sbatch's forms; infinite where there is none.

    The forms are minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes and
    days-hours:minutes:seconds.

    Raises:
        InputError: another form, or no time at all.

    """
    if limit.upper() in ("UNLIMITED", "INFINITE"):
        return float("inf")
    found = _LIMIT.fullmatch(limit)
    if found is None:
        raise InputError(
            f"--time {limit}: sbatch reads minutes, minutes:seconds, hours:minutes:seconds, days-hours, "
            "days-hours:minutes or days-hours:minutes:seconds"
        )
    days, *parts = (None if part is None else int(part) for part in found.groups())
    given = [part for part in parts if part is not None]
    if days is not None:
        h, m, s = (*given, 0, 0)[:3]
    elif len(given) == 3:
        h, m, s = given
    else:
        h, m, s = (0, *given, 0)[:3]
    total = 24.0 * (days or 0) + h + m / 60.0 + s / 3600.0
    if total == 0.0:
        raise InputError(f"--time {limit}: no time at all; leave it out for the limit of the cluster")
    return total


def largest_array() -> int | None:
    """Return how many tasks an array of this cluster may have, None where there is no SLURM to ask."""
    if shutil.which("scontrol") is None:
        return None
    with contextlib.suppress(subprocess.TimeoutExpired, OSError):
        done = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, timeout=30, check=False)
        if found := re.search(r"^MaxArraySize\s*=\s*(\d+)", done.stdout, re.MULTILINE):
            return int(found.group(1))
    return None


def estimate(path: Path, submitted: Submission, options: ProduceOptions) -> str:
    """Say how many core hours a submission takes: at most until its tasks queue themselves again, and for its samples.

    Args:
        path: of the spool, whose shards tell how long they take where there are any.
        submitted: number and size of the tasks.
        options: number of samples and time limit.

    """
    cores = submitted.tasks * submitted.cores
    limit = DEFAULT_HOURS if options.time is None else hours(options.time)
    text = f"{submitted.tasks} tasks of {submitted.cores} workers"
    text += f": at most {cores * limit:,.0f} core hours until they queue themselves again" if limit < 1e6 else ""
    if options.samples is None:
        return text
    rate, made = _rate(path)
    whence = f"{rate:,.0f} samples per second and core, as in this spool so far"
    if not rate:
        rate, whence = ASSUMED_RATE, f"assuming {ASSUMED_RATE:,.0f} samples per second and core"
    needed = max(0, options.samples - made) / rate / 3600.0
    return f"{text}; for {options.samples:,} samples about {needed:,.2g} ({whence})"


def _rate(path: Path) -> tuple[float, int]:
    """Return samples per second and core of the latest shards of a spool, and its samples; zeros if there are none."""
    if not (path / "spool.json").exists():
        return 0.0, 0
    cache = RecordCache(Spool.open(path).layout, summaries=True)
    cache.refresh()
    records = [record for _, _, record in cache]
    recent = records[-_RECENT:]
    seconds = sum(record.seconds for record in recent)
    return (sum(record.rows for record in recent) / seconds if seconds else 0.0), sum(r.rows for r in records)
