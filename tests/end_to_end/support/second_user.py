"""What a second user of a machine tries: run code through every open port of a production, look at pages, read keys.

python second_user.py SPOOL PORT...       (started as root; becomes `nobody`; prints what it got, JSON)
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import logging
import os
import pickle
import sys
import urllib.error
import urllib.request
from collections.abc import Awaitable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import dask

distributed: Any = import_module("distributed")
security: Any = distributed.Security

NOBODY = 65534
SECONDS = 4
PAGES = ("health", "metrics", "status", "info/main/workers.html", "json/counts.json")


async def as_client(address: str, guard: Any) -> list[str]:
    """Run code on workers and scheduler as any client of Dask may."""
    async with distributed.Client(address, timeout=SECONDS, security=guard, asynchronous=True) as client:
        await client.run_on_scheduler(os.getuid)
        return [f"{address}: ran code in the scheduler and in {len(await client.run(os.getuid))} workers"]


async def as_scheduler(address: str, guard: Any) -> list[str]:
    """Run code on a worker as its scheduler may."""
    async with distributed.rpc(address, connection_args=guard.get_connection_args("scheduler")) as worker:
        answer = await worker.run(function=pickle.dumps(os.getuid))
        return [f"{address}: ran code in a worker"] if answer and answer.get("status") == "OK" else []


def pages(port: int) -> list[str]:
    """Look at the pages of a server."""
    found = []
    for page in PAGES:
        url = f"http://127.0.0.1:{port}/{page}"
        try:
            with urllib.request.urlopen(url, timeout=SECONDS) as answer:
                found.append(f"{url}: {answer.status}")
        except urllib.error.HTTPError:  # a server of pages without this one
            continue
        except (OSError, http.client.HTTPException):  # none
            break
    return found


def keys(spool: Path) -> Iterator[str]:
    """Read the keys of a spool."""
    for file in spool.glob("control/*.pem"):
        with contextlib.suppress(OSError):
            yield f"{file}: {len(file.read_bytes())} bytes"


def main() -> None:
    """Become somebody else and try everything."""
    spool, ports = Path(sys.argv[1]), [int(port) for port in sys.argv[2:]]
    own = security.temporary()  # another certificate than the spool's
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    logging.disable()
    timeouts = {"distributed.comm.timeouts.connect": f"{SECONDS}s"}
    dask.config.set(timeouts | {"temporary-directory": os.environ["ATTIC"]})
    got = list(keys(spool))
    got += asyncio.run(try_all(ports, security(), own))
    print(json.dumps(got), flush=True)
    os._exit(0)  # not waiting for what hangs


async def try_all(ports: list[int], plain: Any, own: Any) -> list[str]:
    """Try everything at once; an error, or no answer, is a refusal."""
    ways: list[Awaitable[list[str]]] = [asyncio.to_thread(pages, port) for port in ports]
    for port in ports:
        for address, guard in ((f"tcp://127.0.0.1:{port}", plain), (f"tls://127.0.0.1:{port}", own)):
            ways += [as_client(address, guard), as_scheduler(address, guard)]
    limited = [asyncio.wait_for(way, 3 * SECONDS) for way in ways]
    answers = await asyncio.gather(*limited, return_exceptions=True)
    return [line for lines in answers if isinstance(lines, list) for line in lines]


if __name__ == "__main__":
    main()
