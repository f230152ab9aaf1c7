"""`xrdgen produce --submit`: a production as a SLURM job array, one `xrdgen produce --join` a task."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xrdcommon.errors import InputError, XrdError

SCRIPT = Path(__file__).parents[2] / "data" / "produce.sbatch"
"""The script of a task; `slurm/produce.sbatch` is the same file."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the queue system is asked for; None leaves it to the cluster, or to the script.

    Attributes:
        cores_per_task: workers of a task, all on one node.
        partition: of the nodes.
        account: to be charged.
        time: limit of a task, as SLURM writes it.
        qos: quality of service.
        options: more options of sbatch.

    """

    cores_per_task: int = 64
    partition: str | None = None
    account: str | None = None
    time: str | None = None
    qos: str | None = None
    options: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Submission:
    """A call of sbatch.

    Attributes:
        environment: variables that the script reads, beside those of the shell.
        command: sbatch and its arguments.

    """

    environment: dict[str, str]
    command: list[str]

    def __str__(self) -> str:
        """Return a line that a shell takes."""
        variables = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return " ".join([*variables, shlex.join(self.command)])

    def check(self) -> None:
        """Make sure that there is a queue system.

        Raises:
            InputError: no sbatch on this machine.

        """
        if shutil.which(self.command[0]) is None:
            raise InputError(
                "sbatch: not found; submit on a machine of the cluster, or see with --dry-run what would be submitted"
            )

    def run(self) -> str:
        """Submit; return the id of the job.

        Raises:
            InputError: no sbatch on this machine.
            XrdError: sbatch refused.

        """
        self.check()
        done = subprocess.run(
            self.command, env=os.environ | self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise XrdError(f"sbatch refused: {' '.join(done.stderr.split()) or f'exit code {done.returncode}'}")
        return done.stdout.strip().partition(";")[0]


def submission(spool: Path, workers: int, cluster: Cluster, options: Sequence[str]) -> Submission:
    """Return the call of sbatch for a number of workers, spread evenly over the tasks of an array.

    Args:
        spool: where to.
        workers: in all.
        cluster: what to ask for.
        options: of `xrdgen produce`, for every task.

    Raises:
        InputError: no workers, or no cores a task.

    """
    if workers < 1:
        raise InputError(f"workers {workers}: --submit needs at least 1")
    if cluster.cores_per_task < 1:
        raise InputError(f"--cores-per-task {cluster.cores_per_task}: must be at least 1")
    tasks = -(-workers // cluster.cores_per_task)
    asked = {"partition": cluster.partition, "account": cluster.account, "time": cluster.time, "qos": cluster.qos}
    command = [
        "sbatch",
        "--parsable",
        f"--array=0-{tasks - 1}",
        f"--cpus-per-task={-(-workers // tasks)}",
        *(f"--{name}={value}" for name, value in asked.items() if value is not None),
        *cluster.options,
        str(SCRIPT),
        *options,
    ]
    return Submission({"XRD_SPOOL": str(spool.absolute()), "XRD_VENV": sys.prefix}, command)
