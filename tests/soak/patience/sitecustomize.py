"""Shortens the patience for silent owners on other machines, in every Python process that has $SOAK_PATIENCE.

As shipped a lease is taken from a silent owner elsewhere after 60 s. The commands of a soak are the shipped ones; only
this number is another, so that minutes see many such take-overs. Python imports this file by its name when it starts.
"""

from __future__ import annotations

import os


def shorten(patience: float) -> None:
    """Change the constant for modules that import it later, and the default arguments that hold it already."""
    from xrdcommon.spool import lease
    from xrdcommon.spool.consumer import Consumer, start_consumer

    lease.PATIENCE = patience
    from xrdcommon.spool.producer import Stream

    for function in (lease.Lease.acquire, Stream.open, Stream.adopt, Consumer.start, start_consumer):
        plain = getattr(function, "__func__", function)
        assert "patience" in plain.__kwdefaults__, plain
        plain.__kwdefaults__["patience"] = patience


if "SOAK_PATIENCE" in os.environ:
    shorten(float(os.environ["SOAK_PATIENCE"]))
