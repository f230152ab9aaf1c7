"""Whether processes live, as Linux and as psutil (on other systems) tell it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from xrdcommon import processes


@pytest.mark.parametrize("start_of", [processes._of_proc, processes._of_psutil, processes.start_of])
def test_a_process_is_known_by_its_start_until_it_dies(start_of: Callable[[int], str | None]) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    born = start_of(child.pid)
    assert born is not None
    assert start_of(child.pid) == born
    assert start_of(os.getpid()) != born
    assert processes.exists(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and not reaped: a zombie
    assert start_of(child.pid) is None
    assert processes.exists(child.pid)
    child.wait()
    assert start_of(child.pid) is None
    assert not processes.exists(child.pid)
    child.stdin.close()  # type: ignore[union-attr]


def test_cores_are_those_this_process_may_use() -> None:
    mine = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(mine)})
        assert processes.usable_cores() == 1
    finally:
        os.sched_setaffinity(0, mine)
    assert processes.usable_cores() == len(mine)
