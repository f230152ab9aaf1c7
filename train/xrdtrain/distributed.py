"""Processes of one training: alone, under `torchrun`, or under `srun`.

Gradients go over NCCL (CUDA) or gloo; everything else - shard names, whether to stop, results - over gloo, so that a
rank that waits for data never sits in a collective of the device. Only main threads take part in collectives.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from xrdcommon.errors import InputError, Interrupted

T = TypeVar("T")

PATIENCE = timedelta(minutes=30)
"""Longest silence between ranks. One that waits for data says so twice a second, and one whose process dies is noticed
at once, because its connections close; this is for a machine that stands still or has lost its network. It must be
longer than it takes to write a checkpoint, to measure on the test sets or to compile."""

SCONTROL_PATIENCE = 60.0
"""Seconds that SLURM gets to answer."""

_PEER_LOST = re.compile(r"gloo|NCCL|connection|timed out|broken pipe|socket", re.IGNORECASE)


@contextmanager
def explain_lost_peer() -> Iterator[None]:
    """Turn what torch raises in a collective whose other end has gone into one line.

    Raises:
        Interrupted: another process has died, or its machine cannot be reached.

    """
    try:
        yield
    except RuntimeError as error:  # gloo's errors are of no narrower type
        if not isinstance(error, dist.DistError) and not _PEER_LOST.search(str(error)):
            raise
        reason = str(error).strip().splitlines()[0]
        raise Interrupted(
            f"another process of this training has died or cannot be reached ({reason}); what was trained since the "
            "last checkpoint is not saved; start all processes again and they go on"
        ) from error


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those of the training.

    Attributes:
        rank: number of this process, 0 leads.
        world: number of processes.
        device: where this process computes.
        control: gloo group; None when alone.

    """

    rank: int
    world: int
    device: torch.device
    control: Any = None

    @property
    def leads(self) -> bool:
        """Whether this process claims shards and writes files."""
        return self.rank == 0

    def slice(self, n: int) -> slice:
        """Return this rank's part of n rows; parts differ by at most one row."""
        return slice(self.rank * n // self.world, (self.rank + 1) * n // self.world)

    def largest(self, *values: float) -> list[float]:
        """Return the largest of each value over all ranks."""
        if self.world == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64)
        with explain_lost_peer():
            dist.all_reduce(tensor, op=dist.ReduceOp.MAX, group=self.control)
        return [float(value) for value in tensor]

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum over all ranks of a tensor on the CPU."""
        if self.world > 1:
            with explain_lost_peer():
                dist.all_reduce(values, group=self.control)
        return values

    def from_leader(self, value: T) -> T:
        """Return rank 0's value on every rank."""
        if self.world == 1:
            return value
        box = [value]
        with explain_lost_peer():
            dist.broadcast_object_list(box, src=0, group=self.control)
        return box[0]

    def gather(self, value: T) -> list[T]:
        """Return the values of all ranks, in order, on every rank."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        with explain_lost_peer():
            dist.all_gather_object(values, value, group=self.control)
        return values


def _first_host(nodes: str) -> str:
    """Return the first name of SLURM's compressed list of nodes.

    Raises:
        InputError: `scontrol` is not there, fails or does not answer.

    """
    command = ["scontrol", "show", "hostnames", nodes]
    try:
        listing = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SCONTROL_PATIENCE)
        return listing.stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError) as error:
        raise InputError(
            f"`{' '.join(command)}` does not name the nodes of this job ({error}); set MASTER_ADDR to the first of them"
        ) from error


def _from_slurm(environ: dict[str, str]) -> dict[str, str]:
    """Return torch's variables for a task of an `srun` step, or nothing outside of one."""
    if int(environ.get("SLURM_STEP_NUM_TASKS", "1")) < 2 or "SLURM_PROCID" not in environ:
        return {}
    nodes = environ.get("SLURM_STEP_NODELIST", "localhost")
    address = nodes
    if "[" in nodes or "," in nodes:
        address = environ.get("MASTER_ADDR") or _first_host(nodes)
    return {
        "RANK": environ["SLURM_PROCID"],
        "WORLD_SIZE": environ["SLURM_STEP_NUM_TASKS"],
        "LOCAL_RANK": environ.get("SLURM_LOCALID", "0"),
        "MASTER_ADDR": environ.get("MASTER_ADDR") or address,
        "MASTER_PORT": environ.get("MASTER_PORT", str(20000 + int(environ.get("SLURM_JOB_ID", "0")) % 20000)),
    }


@contextmanager
def connect() -> Iterator[Ranks]:
    """Join the other processes of this training, if any, and leave them at the end.

    Raises:
        InputError: more processes on a node than CUDA devices.

    """
    if "RANK" not in os.environ:
        os.environ.update(_from_slurm(dict(os.environ)))
    world = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if torch.cuda.is_available():
        if local >= torch.cuda.device_count():
            raise InputError(
                f"process {local} of this node has no CUDA device of its own ({torch.cuda.device_count()} there); "
                "start one process for each device"
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    else:
        device = torch.device("cpu")
    if world == 1:
        yield Ranks(0, 1, device)
        return
    with explain_lost_peer():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        with explain_lost_peer():
            control = dist.new_group(backend="gloo", timeout=PATIENCE)
        yield Ranks(dist.get_rank(), world, device, control)
    finally:
        dist.destroy_process_group()


def rank_of_process(rank: int | None, world: int | None) -> tuple[int, int]:
    """Return number of this process and of all: as given, else those of torch.distributed, of torchrun, or one.

    Raises:
        InputError: no such rank.

    """
    if rank is None and world is None:
        if dist.is_available() and dist.is_initialized():
            return dist.get_rank(), dist.get_world_size()
        rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if rank is None or world is None or not 0 <= rank < world:
        raise InputError(f"rank {rank} of {world}: give both, rank from 0 to world - 1")
    return rank, world
