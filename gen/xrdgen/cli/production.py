"""`xrdgen produce`, `worker`, `status`, `drain`, `audit`, `gc`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from xrdcommon import console
from xrdcommon.commands import filled_by

from xrdgen.production.options import ProduceOptions

SpoolArgument = Annotated[
    Path | None,
    typer.Argument(metavar="SPOOL", help="Folder of the spool; $XRD_SPOOL, else ./spool.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _path(spool: Path | None) -> Path:
    return Path(os.environ.get("XRD_SPOOL") or "spool") if spool is None else spool


@filled_by(ProduceOptions)
def produce(options: ProduceOptions, spool: SpoolArgument = None) -> None:
    """Fill a spool with shards of synthetic diffractograms, none of which is ever made twice.

    An existing spool is continued with its own configuration; options that contradict it are refused.
    Ctrl-C (or SIGTERM, SIGUSR1, `xrdgen drain`) finishes the shards that are being made and exits with 75 (a task with
    --join that `xrdgen drain` ends: with 0).

    \b
    Example:
        xrdgen produce spool --workers 256
        xrdgen produce spool --workers 2 --samples 100000 --seed 1
        xrdgen produce spool --config production.toml
        xrdgen produce measured --preset measured --effects no-texture,no-k-beta
        xrdgen produce spinels --structure-types AB2C4_cF56_227_a_d_e,A2B_cF24_227_c_d
        xrdgen produce /scratch/spool --workers 256 --submit --partition cpu --dry-run
    """
    from xrdgen.production.start import start

    answer = start(_path(spool), options)
    if answer is not None:
        console.emit(answer)


def worker(
    spool: SpoolArgument = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes; as many as cores by default.")] = None,
    scheduler_file: Annotated[
        Path | None, typer.Option(help="Scheduler file of the cluster; the producer's own by default.")
    ] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for a producer.")] = 60.0,
) -> None:
    """Join a running production with worker processes of this machine.

    The producer must listen on an interface that this machine reaches (`xrdgen produce --listen`). Ctrl-C or
    SIGTERM finishes the shards that are being made.

    \b
    Example:
        xrdgen worker /scratch/spool --workers 64
    """
    from xrdcommon.errors import InputError
    from xrdcommon.processes import usable_cores
    from xrdcommon.spool.spool import Spool

    from xrdgen.production.joined.joining import join

    if not 0.0 <= wait < float("inf"):
        raise InputError(f"--wait {wait}: must be a number of seconds, 0 or more")
    join(Spool.open(_path(spool)), usable_cores() if workers is None else workers, scheduler_file, wait)


def status(
    spool: SpoolArgument = None,
    watch: Annotated[bool, typer.Option("--watch", help="Repeat until Ctrl-C; in place on a terminal.")] = False,
    interval: Annotated[float, typer.Option(help="Seconds between two looks with --watch.")] = 2.0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, with --watch one line a look.")] = False,
) -> None:
    """Show what a spool holds, who produces and trains, how fast, and which crystals were rejected.

    \b
    Example:
        xrdgen status spool --watch
        xrdgen status spool --watch --interval 60 --json >> spool.jsonl
    """
    from xrdcommon.errors import InputError
    from xrdcommon.spool.spool import Spool

    from xrdgen.production.monitoring import status_view as view
    from xrdgen.production.monitoring.status import Observer

    if not 0.1 <= interval < float("inf"):
        raise InputError(f"--interval {interval}: must be a number of seconds, at least 0.1")
    observer = Observer(Spool.open(_path(spool)))
    if not watch:
        state = observer.look()
        if json:
            console.emit_json(state)
        else:
            console.emit("\n".join(view.lines(state)))
        return
    try:
        if json:
            view.watch(observer.look, console.emit_json, interval)
        else:
            with view.screen() as show:
                view.watch(observer.look, show, interval)
    except KeyboardInterrupt:
        return


def drain(
    spool: SpoolArgument = None,
    undo: Annotated[
        bool, typer.Option("--undo", help="Forget an earlier request; `produce --join` works again.")
    ] = False,
) -> None:
    """Ask all producers of a spool to finish their shards and stop; the next `xrdgen produce` goes on.

    \b
    Example:
        xrdgen drain spool
    """
    from xrdcommon.spool.spool import Spool

    opened = Spool.open(_path(spool))
    if undo:
        found = opened.clear_stop()
        console.say(f"{opened.path}: {'the request to drain is cleared' if found else 'no request to drain is there'}")
        return
    opened.request_stop()
    console.say(f"{opened.path}: producers finish their shards and stop; `xrdgen produce` clears this and goes on")


def audit(spool: SpoolArgument = None, json: Json = False) -> None:
    """Prove that no sample was used twice and none was lost; exit code 0 if so, else 1.

    A spool with several feeds is proved for each of them; the totals are sums over the feeds.

    \b
    Example:
        xrdgen audit spool --json
    """
    from xrdcommon.spool.audit import audit as run
    from xrdcommon.spool.spool import Spool

    result = run(Spool.open(_path(spool)))
    if json:
        console.emit_json(result.to_dict())
    else:
        console.emit("\n".join(result.lines()))
    if not result.ok:
        raise typer.Exit(1)


def gc(
    spool: SpoolArgument = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    release: Annotated[
        str | None,
        typer.Option(
            metavar="RUN", help="Make ready again what this training, which will not come back, has not begun."
        ),
    ] = None,
    discard_partly: Annotated[
        bool, typer.Option("--discard-partly", help="With --release: give up the shards that it has begun, too.")
    ] = False,
    remove_feed: Annotated[
        str | None, typer.Option(metavar="FEED", help="End a feed and discard the shards that wait in it.")
    ] = None,
    json: Json = False,
) -> None:
    """Remove what killed processes have left: drafts, temporary files, empty claims, old leases, a dead address.

    Nothing of a living process is touched, nothing that holds samples is removed unless an option asks for it, and
    what is given up is noted as discarded, so that the audit stays exact. A training that was released should not
    be resumed: it stops if its last checkpoint knows of uses that it could not note down.

    \b
    Example:
        xrdgen gc spool --dry-run
        xrdgen gc spool --release first-3f2a9c01
        xrdgen gc spool --remove-feed b
    """
    from xrdcommon.spool.gc import collect
    from xrdcommon.spool.spool import Spool

    opened = Spool.open(_path(spool))
    found = collect(opened, dry_run=dry_run, release=release, discard_partly=discard_partly, without_feed=remove_feed)
    if json:
        console.emit_json(found.to_dict())
    else:
        console.emit("\n".join(found.lines()))
