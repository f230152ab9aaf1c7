"""A SLURM of one node, started for the tests by themselves: munged, slurmctld and slurmd in a temporary folder.

It shares nothing with a SLURM that the machine may run: own configuration, key, state, logs and ports. Nothing survives
a failure, Ctrl-C or SIGKILL of the tests: a process that waits for their end kills daemons and jobs.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "slurm"
BINARIES = Path(sys.executable).parent
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "scontrol", "squeue")

CONFIGURATION = """\
ClusterName=xrdstream-test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# a job that is queued again waits for the expiry of its credential: 5 s instead of 120
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/slurmd
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobs.log
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=30
MinJobAge=3600
ReturnToService=2
# the node has what is written here, however few cores the machine has
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=32000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=5
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""

REAPER = """
import os, shutil, sys, psutil

folder, configuration = sys.argv[1:]

def belongs(process):
    # A process of SLURM may have written its title over its environment; it keeps its log open.
    if process.status() == "zombie":
        return False
    if process.environ().get("SLURM_CONF") == configuration:
        return True
    slurm = os.path.basename(process.exe()).startswith("slurm")
    return slurm and any(file.path.startswith(folder + "/") for file in process.open_files())

sys.stdin.read()  # ends with the tests, however they end
while True:
    found = []
    for process in psutil.process_iter():
        try:
            if belongs(process):
                process.kill()
                found.append(process)
        except psutil.Error:
            pass
    if not found:
        break
    psutil.wait_procs(found, timeout=1)
shutil.rmtree(folder, ignore_errors=True)
"""
"""Kills what belongs to the cluster, jobs too, and removes its folder."""


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def hindrance() -> str:
    """Tell why SLURM cannot run here, or return nothing."""
    if not sys.platform.startswith("linux"):
        return f"SLURM needs Linux, this is {sys.platform}"
    if os.geteuid() != 0:
        return "SLURM starts jobs as root only; run the tests as root, for example in a container"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"no {', '.join(missing)} here; `apt-get install slurm-wlm munge` (as .ci/run does)" if missing else ""


class Slurm:
    """A running cluster of one node."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        for name in [name for name in self.environment if name.startswith(("SBATCH_", "SLURM_JOB", "XRD_"))]:
            del self.environment[name]
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._reaper: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start all daemons and wait until the node is idle."""
        command = [sys.executable, "-c", REAPER, str(self.folder), self.environment["SLURM_CONF"]]
        self._reaper = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        host = socket.gethostname().split(".")[0]
        for name in ("state", "slurmd"):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        text = CONFIGURATION.format(folder=self.folder, host=host, controller_port=free_port(), node_port=free_port())
        (self.folder / "slurm.conf").write_text(text)
        munge = {name: self.folder / f"munge.{name}" for name in ("socket", "pid", "seed", "log")}
        options = {"socket": "socket", "pid": "pid-file", "seed": "seed-file", "log": "log-file"}
        self._daemon(
            "munged", "--foreground", f"--key-file={key}", *(f"--{options[name]}={munge[name]}" for name in options)
        )
        self.wait_for(munge["socket"].exists, "munged")
        self._daemon("slurmctld", "-D", "-c")
        self.wait_for(lambda: "UP" in self.run("scontrol", "ping", check=False), "slurmctld")
        self._daemon("slurmd", "-D", "-N", host)
        self.wait_for(lambda: self.run("sinfo", "-h", "-p", "main", "-o", "%t").strip() == "idle", "the node")

    def stop(self) -> None:
        """End all daemons and jobs, whatever state they are in, and remove the folder."""
        for daemon in reversed(self._daemons.values()):
            daemon.terminate()
            with suppress(subprocess.TimeoutExpired):
                daemon.wait(10)
        assert self._reaper is not None
        self._reaper.communicate()
        for daemon in self._daemons.values():
            daemon.wait()

    def _daemon(self, name: str, *arguments: str) -> None:
        """Start a daemon in the foreground, out of reach of the terminal's Ctrl-C."""
        with (self.folder / f"{name}.out").open("wb") as said:
            self._daemons[name] = subprocess.Popen(
                [str(shutil.which(name)), *arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def wait_for(self, condition: Callable[[], object], what: str, seconds: float = 60.0) -> None:
        """Wait until something is so; a daemon that ends meanwhile is a failure."""
        end = time.monotonic() + seconds
        while not condition():
            for name, daemon in self._daemons.items():
                assert daemon.poll() is None, f"{name} ended with {daemon.returncode}:\n{self._log(name)}"
            assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}:\n{self.run('squeue', check=False)}"
            time.sleep(0.2)

    def _log(self, name: str) -> str:
        """Return the end of what a daemon said."""
        files = sorted(self.folder.glob(f"{name}.*"))
        return "\n".join(file.read_text(errors="replace")[-2000:] for file in files if file.suffix in (".out", ".log"))

    def run(
        self,
        *command: object,
        check: bool = True,
        timeout: float = 60.0,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """Run a command of SLURM and return what it printed."""
        done = subprocess.run(
            list(map(str, command)),
            env={**self.environment, **(environment or {})},
            cwd=cwd or self.folder,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout + done.stderr

    def jobs(self, number: str) -> list[dict[str, str]]:
        """Return what SLURM knows about a job, or about each task of an array."""
        text = self.run("scontrol", "--oneliner", "show", "job", number)
        return [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in text.splitlines() if line]


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """A SLURM of one node with four cores, for the whole session."""
    reason = hindrance()
    if reason:
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="xrd-slurm-"))
    folder.chmod(0o755)  # munged wants its socket reachable
    cluster = Slurm(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
