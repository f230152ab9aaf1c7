"""The shipped job scripts under a real SLURM: cancelled, queued again, out of time, preempted and killed.

Whatever happens to the jobs, every sample is used once and none is lost, and the jobs go on by themselves where a
user would expect it: not after `scancel`, but after everything that SLURM does on its own account.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xrdcommon.spool.audit import Audit, audit
from xrdcommon.spool.spool import Spool

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

SCRIPTS = Path(__file__).resolve().parents[2] / "slurm"
ENVIRONMENT = Path(sys.executable).parents[1]
ROWS = 64
BATCH = 16
KEPT = 10_000  # identities that a training keeps in evaluation/synthetic.npz
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"}

PRODUCE = ("--seed", 1, "--step", 0.05, "--rows-per-shard", ROWS, "--space-groups", "2,14,62,225")
FIT = ("--model", "resnet-10-small", "--test", "none", "--batch", BATCH, "--eval-every", 128)
SMALL = ("--cpus-per-task=1", "--time=10")


@dataclass
class Site:
    """A folder of a user who submits the scripts: a spool, a run, and the jobs' logs."""

    slurm: Any
    folder: Path

    @property
    def spool(self) -> Path:
        """The spool."""
        return self.folder / "spool"

    @property
    def run(self) -> Path:
        """The run folder of the training."""
        return self.folder / "run"

    def submit(self, script: str, sbatch: Sequence[object], options: Sequence[object]) -> str:
        """Submit a script and return the job's number."""
        paths = {"XRD_SPOOL": self.spool, "XRD_RUN": self.run, "XRD_VENV": ENVIRONMENT, "OMP_NUM_THREADS": 1}
        printed = self.slurm.run(
            *("sbatch", "--parsable", *SMALL, *sbatch, SCRIPTS / script, *options),
            cwd=self.folder,
            environment={name: str(value) for name, value in paths.items()},
        )
        return str(printed).strip()

    def produce(self, *options: object) -> str:
        """Submit the array of two producing tasks."""
        return self.submit(
            "produce.sbatch", ("--array=0-1", "--mem-per-cpu=500M", "--signal=B:USR1@115"), (*PRODUCE, *options)
        )

    def fit(self, *options: object) -> str:
        """Submit the training."""
        return self.submit("fit.sbatch", ("--gpus-per-node=0", "--mem=2G", "--signal=B:USR1@115"), (*FIT, *options))

    def states(self, job: str) -> list[str]:
        """Return the state of each task."""
        return [task["JobState"] for task in self.slurm.jobs(job)]

    def wait_for(self, condition: Callable[[], object], what: str, seconds: float = 300.0) -> None:
        """Wait for something; the jobs' logs tell why it did not come."""
        try:
            self.slurm.wait_for(condition, what, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from None

    def wait_end(self, job: str) -> list[dict[str, str]]:
        """Wait until all tasks of a job have ended and return what SLURM knows about them."""
        self.wait_for(lambda: set(self.states(job)) <= ENDED, f"the end of job {job}")
        return list(self.slurm.jobs(job))

    def logs(self, pattern: str = "*.log") -> str:
        """Return what jobs have printed."""
        return "\n".join(f"== {path.name}\n{path.read_text()}" for path in sorted(self.folder.glob(pattern)))

    def audit(self) -> Audit:
        """Audit the spool as it is; nothing may be wrong at any time."""
        found = audit(Spool.open(self.spool))
        assert found.ok, found.lines()
        return found

    def produced(self) -> int:
        """Return the samples published so far, 0 without a spool."""
        return self.audit().produced if (self.spool / "spool.json").exists() else 0

    def trained(self) -> int:
        """Return the samples of the last line of metrics."""
        path = self.run / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return int(json.loads(lines[-1])["samples"]) if lines else 0

    def identities(self) -> list[tuple[int, ...]]:
        """Return the identities of the samples that a finished training has used, at most the last 10,000."""
        with np.load(self.run / "evaluation" / "synthetic.npz") as kept:
            samples = kept["samples"]
        return [tuple(int(sample[name]) for name in ("run", "producer", "shard", "index")) for sample in samples]


class Pair(Site):
    """A production and a training on one spool that tests interrupt."""

    production = ""
    training = ""

    def running(self) -> None:
        """Make both run, and wait until both have got somewhere since they were last started."""
        if not self.production or set(self.states(self.production)) & ENDED:
            self.production = self.produce("--high-shards", 12)
        if not self.training or set(self.states(self.training)) & ENDED:
            self.training = self.fit("--samples", 10**9)
        self.wait_for(lambda: self.states(self.production) == ["RUNNING"] * 2, "production")
        self.wait_for(lambda: self.states(self.training) == ["RUNNING"], "training")
        self.get_on()

    def get_on(self) -> None:
        """Wait until both have got on: there are new shards, and training has used more."""
        produced, trained = self.produced(), self.trained()
        self.wait_for(lambda: self.produced() > produced and self.trained() > trained, "new samples and their use")

    def restarts(self) -> list[int]:
        """Return how often SLURM has started each task again."""
        return [int(task["Restarts"]) for job in (self.production, self.training) for task in self.slurm.jobs(job)]

    def wait_restart(self, before: Sequence[int]) -> None:
        """Wait until all tasks have been queued again and run, under the numbers they had."""

        def again() -> bool:
            states = self.states(self.production) + self.states(self.training)
            assert not set(states) & ENDED, f"not queued again: {states}\n{self.logs()}"
            return states == ["RUNNING"] * 3 and all(
                now > then for now, then in zip(self.restarts(), before, strict=True)
            )

        self.wait_for(again, "the jobs' restart")

    def end(self) -> None:
        """Cancel both."""
        for job in (self.production, self.training):
            if job:
                self.slurm.run("scancel", job)
                self.wait_end(job)


@pytest.fixture
def site(slurm: Any, tmp_path: Path) -> Site:
    """An empty folder."""
    return Site(slurm, tmp_path)


@pytest.fixture(scope="module")
def pair(slurm: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Production and training that run from test to test."""
    both = Pair(slurm, tmp_path_factory.mktemp("pair"))
    yield both
    both.end()


def kill(slurm: Any, job: dict[str, str]) -> None:
    """SIGKILL every process of a job but those that belong to SLURM."""
    for line in slurm.run("scontrol", "listpids", job["JobId"]).splitlines()[1:]:
        with suppress(ProcessLookupError):
            os.kill(int(line.split()[0]), signal.SIGKILL)


def test_array_production_then_training(site: Site) -> None:
    produced = site.wait_end(site.produce("--samples", 16 * ROWS))
    assert [(task["JobState"], task["ExitCode"]) for task in produced] == [("COMPLETED", "0:0")] * 2
    made = site.audit().produced
    assert made == 16 * ROWS  # the two tasks are one production
    (trained,) = site.wait_end(site.fit("--samples", 12 * ROWS))
    assert (trained["JobState"], trained["ExitCode"]) == ("COMPLETED", "0:0"), site.logs()
    found = site.audit()
    assert (found.produced, found.used, found.used_twice, found.lost) == (made, 12 * ROWS, 0, 0)
    assert len(set(site.identities())) == 12 * ROWS


def test_pipeline_ends_production_with_training(site: Site) -> None:
    options = {
        "PRODUCE_OPTIONS": " ".join(map(str, (*PRODUCE, "--high-shards", 12))),
        "WORKERS": 2,
        "CORES_PER_TASK": 1,
        "GPUS": 0,
        "FIT_CORES": 1,
    }
    options |= {"PRODUCE_SBATCH": "--mem-per-cpu=500M", "FIT_SBATCH": "--mem=2G", "XRD_VENV": ENVIRONMENT}
    printed = site.slurm.run(
        *(SCRIPTS / "pipeline.sh", site.spool, site.run, *FIT, "--samples", 4 * ROWS),
        cwd=site.folder,
        environment={name: str(value) for name, value in options.items()},
    )
    production, training, drain = re.findall(r"^\w+ +(\d+) ", printed, re.MULTILINE)
    assert [task["JobState"] for task in site.wait_end(training)] == ["COMPLETED"], site.logs()
    assert [task["JobState"] for task in site.wait_end(drain)] == ["COMPLETED"], site.logs()
    for task in site.wait_end(production):
        assert task["Restarts"] == "0", site.logs()
        assert (task["JobState"], task["ExitCode"]) == ("COMPLETED", "0:0"), site.logs()
    found = site.audit()
    assert (found.used, found.used_twice, found.lost) == (4 * ROWS, 0, 0)


def test_slurm_accepts_what_submit_prints(site: Site) -> None:
    command = [ENVIRONMENT / "bin" / "xrdgen", "produce", site.spool, "--workers", 2, "--submit", "--dry-run"]
    printed = site.slurm.run(*command, "--cores-per-task", 1, "--partition", "main", "--time", "10", cwd=site.folder)
    (line,) = [line for line in printed.splitlines() if " sbatch " in f" {line} "]
    before, _, after = f" {line}".partition(" sbatch ")
    answer = site.slurm.run("bash", "-c", f"{before} sbatch --test-only {after}", cwd=site.folder)
    assert re.search(r"Job \d+ to start at", answer)
    assert not site.spool.exists()


def test_cancelled_jobs_drain_and_stay_away(pair: Pair) -> None:
    pair.running()
    pair.slurm.run("scancel", pair.production)
    pair.slurm.run("scancel", pair.training)
    for job in (pair.production, pair.training):
        for task in pair.wait_end(job):
            assert (task["JobState"], task["ExitCode"]) == ("CANCELLED", "75:0"), pair.logs()
    used = pair.audit().used
    assert f"after {used:,} samples; checkpoint written" in pair.logs("xrdtrain-*")  # all that was trained on counts
    pair.running()  # the same commands go on
    assert f"going on after {used:,} samples" in pair.logs("xrdtrain-*")


def test_a_requeued_job_goes_on_under_its_number(pair: Pair) -> None:
    pair.running()
    before = pair.restarts()
    for job in (pair.production, pair.training):
        pair.slurm.run("scontrol", "requeue", job)
    pair.wait_restart(before)
    pair.get_on()


def test_jobs_near_their_time_limit_queue_themselves_again(pair: Pair) -> None:
    pair.running()
    before = pair.restarts()
    tasks = pair.slurm.jobs(pair.production) + pair.slurm.jobs(pair.training)
    for task in tasks:
        hours, minutes, _ = map(int, task["RunTime"].split(":"))
        pair.slurm.run("scontrol", "update", f"JobId={task['JobId']}", f"TimeLimit={60 * hours + minutes + 2}")
    waiting = {task["JobId"]: int(task["Restarts"]) for task in tasks}

    def all_restarted() -> bool:
        for job, restarts in list(waiting.items()):
            (now,) = [task for task in pair.slurm.jobs(job) if task["JobId"] == job]
            if int(now["Restarts"]) > restarts:
                pair.slurm.run("scontrol", "update", f"JobId={job}", "TimeLimit=10")
                del waiting[job]
        return not waiting

    pair.wait_for(all_restarted, "the signals before the time limit")
    assert pair.logs("xrdgen-*").count("SIGUSR1") >= 2
    assert re.search(r"stopped by SIGUSR1 after", pair.logs("xrdtrain-*"))
    pair.wait_restart(before)
    pair.get_on()


def test_preempted_jobs_go_on(pair: Pair) -> None:
    pair.running()
    before = pair.restarts()
    urgent = pair.slurm.run("sbatch", "--parsable", "--partition=urgent", "--cpus-per-task=4", "--wrap=true").strip()
    (task,) = pair.wait_end(urgent)
    assert task["JobState"] == "COMPLETED"
    pair.wait_restart(before)
    pair.get_on()


def test_killed_jobs_lose_nothing(pair: Pair) -> None:
    pair.running()
    for job in (pair.production, pair.training):
        for task in pair.slurm.jobs(job):
            kill(pair.slurm, task)
    for job in (pair.production, pair.training):
        pair.wait_end(job)
    pair.audit()
    pair.running()
    pair.slurm.run("scancel", pair.training)
    pair.wait_end(pair.training)
    used = pair.audit().used
    (trained,) = pair.wait_end(pair.fit("--samples", used + BATCH))
    assert trained["JobState"] == "COMPLETED", pair.logs()
    found = pair.audit()
    assert (found.used, found.used_twice, found.lost) == (used + BATCH, 0, 0)
    identities = pair.identities()
    assert len(identities) == len(set(identities)) == min(found.used, KEPT)
