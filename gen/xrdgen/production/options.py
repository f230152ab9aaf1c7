"""All that `xrdgen produce` can be asked for; the command, a file (`--config`) and Python fill the same dataclasses.

Light to load: the command line reads it before it knows what it is asked.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields, replace
from pathlib import Path

from xrdcommon.errors import InputError
from xrdcommon.options import arguments, option
from xrdcommon.spool.backlog import Watermarks, parse_bytes

LOCAL = "127.0.0.1"
"""Interface of a scheduler that this machine alone can reach."""

EVERYWHERE = "0.0.0.0"
"""Interface of a coordinator that tasks on other machines join."""

CORES_PER_TASK = 64


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How the work is done, and for how long."""

    workers: int | None = option("Worker processes; 0 works without Dask. As many as cores by default.")
    samples: int | None = option("Stop when the spool's total is N; endless by default.")
    high_watermark: str = option("Pause when this much waits for training.", default="20GB")
    low_watermark: str | None = option("Go on when it is down to this; 80 % of the high watermark by default.")
    high_shards: int = option("Pause when this many shards wait for training.", default=100_000)
    low_shards: int | None = option("Go on when they are down to this; 80 % by default.")
    keep_free: str = option(
        "Pause while the file system has less space free than this, kept for checkpoints; or 0.", default="1GB"
    )
    scheduler_file: Path | None = option("Use the Dask cluster that wrote this file instead of local workers.")
    listen: str | None = option(
        "Interface on which workers can join: 127.0.0.1 (default) is this machine alone; 0.0.0.0 all of them (default "
        "with --join). Only who can read the key in the spool's control/ can join."
    )
    join: bool = option(
        "Share the work with all tasks that run this on one spool; one of them coordinates (job arrays).", default=False
    )
    submit: bool = option("Submit a SLURM job array of this many workers instead of working here.", default=False)
    dry_run: bool = option("Print what --submit would submit.", default=False)


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """What is in the samples; None leaves it to the spool, or to the defaults of a new one."""

    seed: int | None = option("Root seed of a new spool; random by default.")
    statistics: str | None = option("Statistics file; embedded:statistics by default.")
    preset: str | None = option(
        "Imperfections of the diffractograms; pure by default.", values="pure|s4|s4-impurity|measured"
    )
    effects: str | None = option(
        "Changes to the preset: effects such as no-texture,no-noise,zero-shift, or a TOML or JSON file."
    )
    crystals: str | None = option(
        "paper by default; improved: volumes and lattices closer to real ones.", values="paper|improved"
    )
    space_groups: str | None = option(
        "Frequencies of the statistics (default), equal ones, or groups such as 2,14,195-230.",
        "--space-groups",
        "--space-group",
        values="natural|uniform|LIST",
    )
    structure_types: str | None = option(
        "Draw crystals of these structure types alone: a file (as `xrdgen structures types` writes), or labels or "
        "Wyckoff keys with commas between them.",
        values="FILE|LIST",
    )
    min_structures: int | None = option("Leave out groups with fewer structures in the statistics; 50 by default.")
    verification: str | None = option(
        "Who decides a crystal's space group: the exact test (default; spglib rechecks 0.1 %), or spglib.",
        values="exact|spglib",
    )
    engine: str | None = option(
        "fast by default; reference: pyxtal, spglib and pymatgen, a thousand times slower.", values="fast|reference"
    )
    ordering: str | None = option(
        "none by default; soft-spheres: atoms too close together are moved apart.", values="none|soft-spheres"
    )
    sizes_per_crystal: int | None = option(
        "Diffractograms of every crystal, each with its own crystallite size; 1 by default, else 2, 4 ... 64."
    )
    rows_per_shard: int | None = option("Samples of a shard; 4096 by default.")
    two_theta_min: float | None = option("Degrees; 5 by default.")
    two_theta_max: float | None = option("Degrees; 90 by default.")
    step: float | None = option("Degrees; 0.01 by default.", "--step", "--two-theta-step")
    wavelength: float | None = option("Å; 1.5406 by default.")


@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """What a queue system is asked for; None leaves it to the cluster, or to the script."""

    cores_per_task: int | None = option(
        f"With --submit: workers of a task, all on one node; {CORES_PER_TASK} by default."
    )
    partition: str | None = option("With --submit: partition of the nodes.")
    account: str | None = option("With --submit: account to be charged.")
    time: str | None = option(
        "With --submit: limit of a task, which then queues itself again, as sbatch has it: 90 (minutes), 12:00:00, "
        "1-12 (days-hours); 24 h by default."
    )
    qos: str | None = option("With --submit: quality of service.")
    sbatch_options: str | None = option('With --submit: more options of sbatch, such as "--constraint=x --exclusive".')
    setup: Path | None = option(
        "With --submit: shell script that a task reads first (modules, conda; XRD_LAUNCH=... for a container)."
    )
    logs: Path | None = option("With --submit: folder for the tasks' logs; made if it is not there.")

    def given(self) -> list[str]:
        """Return the options that were given, for a message."""
        return [word.partition("=")[0] for word in arguments(self)]


@dataclass(frozen=True, kw_only=True)
class ProduceOptions(JobOptions, SampleOptions, RunOptions):
    """All options of `xrdgen produce`.

    Raises:
        InputError: a value, or two together, that make no sense.

    """

    def __post_init__(self) -> None:
        """Refuse what cannot be meant, before anything is made."""
        if self.samples is not None and self.samples < 1:
            raise InputError(f"samples {self.samples}: must be at least 1")
        if self.workers is not None and self.workers < 0:
            raise InputError(f"workers {self.workers}: must be 0 (this process alone) or more")
        if self.scheduler_file is not None and self.workers is not None:
            what = "choose a cluster or this process alone" if self.workers == 0 else "the cluster has its own workers"
            raise InputError(f"--scheduler-file with --workers {self.workers}: {what}")
        if self.join and (self.scheduler_file is not None or self.workers == 0):
            raise InputError("--join needs workers of its own: leave --scheduler-file and --workers 0 out")
        if self.submits:
            if self.scheduler_file is not None or self.join:
                what = "--join" if self.join else "--scheduler-file"
                raise InputError(f"{what} with --submit or --dry-run: the tasks that are submitted join by themselves")
        elif given := self.job().given():
            raise InputError(f"{', '.join(given)}: only with --submit or --dry-run; without, production starts here")
        self.marks()

    @property
    def submits(self) -> bool:
        """Whether jobs are submitted, or shown, instead of working here."""
        return self.submit or self.dry_run

    def marks(self) -> Watermarks:
        """Return when production pauses.

        Raises:
            InputError: no sizes, or in the wrong order.

        """
        high = parse_bytes(self.high_watermark)
        low = high * 4 // 5 if self.low_watermark is None else parse_bytes(self.low_watermark)
        kept = 0 if self.keep_free.strip() == "0" else parse_bytes(self.keep_free)
        low_shards = self.high_shards * 4 // 5 if self.low_shards is None else self.low_shards
        return Watermarks(high, low, self.high_shards, low_shards, kept)

    def job(self) -> JobOptions:
        """Return what concerns the queue system."""
        return JobOptions(**{field.name: getattr(self, field.name) for field in fields(JobOptions)})

    def of_a_task(self) -> list[str]:
        """Return what the command of each task must say, beside its workers."""
        jobs = {field.name: None for field in fields(JobOptions)}
        return arguments(replace(self, **jobs, submit=False, dry_run=False, workers=None))  # type: ignore[arg-type]

    def sbatch_words(self) -> list[str]:
        """Return the further options of sbatch.

        Raises:
            InputError: quotes that do not match.

        """
        try:
            return shlex.split(self.sbatch_options or "")
        except ValueError as error:
            raise InputError(f"--sbatch-options '{self.sbatch_options}': {error}") from error
