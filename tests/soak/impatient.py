"""Run `xrdgen`, `xrdtrain` or the soak's training with a shorter patience for silent owners on other machines.

    python impatient.py SECONDS xrdgen produce spool ...

As shipped a lease is taken from a silent owner elsewhere after 60 s. The code is the shipped one; only the default of
the argument `patience` is another, so that a soak of minutes sees many such take-overs.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from xrdcommon.spool import Consumer, Spool
from xrdcommon.spool.lease import Lease
from xrdcommon.spool.producer import Stream


def shorten(patience: float) -> None:
    """Give every function that waits for a silent owner another default."""
    for function in (Lease.acquire, Stream.open, Stream.adopt, Consumer.start, Spool.consumer):
        plain = getattr(function, "__func__", function)
        assert "patience" in plain.__kwdefaults__, plain
        plain.__kwdefaults__["patience"] = patience


if __name__ == "__main__":
    shorten(float(sys.argv[1]))
    command, sys.argv = sys.argv[2], sys.argv[2:]
    if command == "xrdgen":
        from xrdgen.cli import main

        sys.exit(main())
    if command == "xrdtrain":
        from xrdtrain.cli import main

        sys.exit(main())
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    runpy.run_module(command, run_name="__main__")
