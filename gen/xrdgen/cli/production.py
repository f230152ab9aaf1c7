"""`xrdgen produce`, `worker`, `status`, `drain`, `audit`, `gc`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer
from xrdcommon import console

SpoolArgument = Annotated[
    Path | None,
    typer.Argument(metavar="SPOOL", help="Folder of the spool; $XRD_SPOOL, else ./spool.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _path(spool: Path | None) -> Path:
    return Path(os.environ.get("XRD_SPOOL") or "spool") if spool is None else spool


def produce(
    spool: SpoolArgument = None,
    workers: Annotated[
        int | None, typer.Option(help="Worker processes; 0 works without Dask. As many as cores by default.")
    ] = None,
    samples: Annotated[int | None, typer.Option(help="Stop when the spool's total is N; endless by default.")] = None,
    seed: Annotated[int | None, typer.Option(help="Root seed of a new spool; random by default.")] = None,
    statistics: Annotated[
        str | None, typer.Option(help="Statistics file; embedded:statistics by default.", show_default=False)
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Imperfections of the diffractograms: pure.")] = None,
    crystals: Annotated[
        str | None, typer.Option(help="paper (default), or improved: volumes and lattices closer to real ones.")
    ] = None,
    space_groups: Annotated[
        str | None, typer.Option(help="natural (default), uniform, or a list such as 2,14,195-230.")
    ] = None,
    min_structures: Annotated[
        int | None, typer.Option(help="Leave out groups with fewer structures in the statistics; 50 by default.")
    ] = None,
    verification: Annotated[
        str | None,
        typer.Option(help="Who decides a crystal's space group: exact (default; spglib rechecks 0.1 %), or spglib."),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(help="fast (default), or reference: pyxtal, spglib and pymatgen, a thousand times slower."),
    ] = None,
    ordering: Annotated[
        str | None, typer.Option(help="none (default), or soft-spheres: atoms too close together are moved apart.")
    ] = None,
    rows_per_shard: Annotated[int | None, typer.Option(help="Samples of a shard; 4096 by default.")] = None,
    two_theta_min: Annotated[float | None, typer.Option(help="Degrees; 5 by default.")] = None,
    two_theta_max: Annotated[float | None, typer.Option(help="Degrees; 90 by default.")] = None,
    step: Annotated[float | None, typer.Option("--step", "--two-theta-step", help="Degrees; 0.01 by default.")] = None,
    wavelength: Annotated[float | None, typer.Option(help="Å; 1.5406 by default.")] = None,
    high_watermark: Annotated[str, typer.Option(help="Pause when so much waits for training.")] = "20GB",
    low_watermark: Annotated[
        str | None, typer.Option(help="Go on at so much; 80 % of the high watermark by default.", show_default=False)
    ] = None,
    high_shards: Annotated[int, typer.Option(help="Pause when so many shards wait for training.")] = 100_000,
    low_shards: Annotated[
        int | None, typer.Option(help="Go on at so many shards; 80 % by default.", show_default=False)
    ] = None,
    keep_free: Annotated[
        str, typer.Option(help="Pause while the file system has less space free than this, kept for checkpoints; or 0.")
    ] = "1GB",
    scheduler_file: Annotated[
        Path | None, typer.Option(help="Use the Dask cluster that wrote this file instead of local workers.")
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            help="Interface on which workers can join: 127.0.0.1 (default) is this machine alone; 0.0.0.0 all of them "
            "(default with --join), guarded by TLS: only who can read the key in the spool's control/ can join.",
            show_default=False,
        ),
    ] = None,
    join: Annotated[
        bool,
        typer.Option("--join", help="Of all that run this on one spool, one coordinates and all work (job arrays)."),
    ] = False,
    submit: Annotated[
        bool, typer.Option("--submit", help="Submit a SLURM job array of so many workers instead of working here.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what --submit would submit.")] = False,
    cores_per_task: Annotated[int, typer.Option(help="With --submit: workers of a task, all on one node.")] = 64,
    partition: Annotated[str | None, typer.Option(help="With --submit: partition of the nodes.")] = None,
    account: Annotated[str | None, typer.Option(help="With --submit: account to be charged.")] = None,
    time_limit: Annotated[
        str | None, typer.Option("--time", help="With --submit: limit of a task, which then queues itself again; 24 h.")
    ] = None,
    qos: Annotated[str | None, typer.Option(help="With --submit: quality of service.")] = None,
    sbatch_options: Annotated[
        str | None, typer.Option(help='With --submit: more options of sbatch, such as "--constraint=x --exclusive".')
    ] = None,
) -> None:
    """Fill a spool with shards of synthetic diffractograms, none of which is ever made twice.

    An existing spool is continued with its own configuration; options that contradict it are refused.
    Ctrl-C (or SIGTERM, SIGUSR1, `xrdgen drain`) finishes the shards that are being made and exits with 75 (a task with
    --join that `xrdgen drain` ends: with 0).

    \b
    Example:
        xrdgen produce spool --workers 256
        xrdgen produce spool --workers 2 --samples 100000 --seed 1
        xrdgen produce /scratch/spool --workers 256 --submit --partition cpu --dry-run
    """
    from xrdcommon.errors import InputError
    from xrdcommon.spool.backlog import Watermarks, parse_bytes

    from xrdgen.production.cluster.election import EVERYWHERE, produce_joined
    from xrdgen.production.cluster.rendezvous import read_address
    from xrdgen.production.cluster.slurm import Cluster, submission
    from xrdgen.production.produce import LOCAL, Asked, check_amounts, cores, open_spool
    from xrdgen.production.produce import produce as run

    high = parse_bytes(high_watermark)
    low = high * 4 // 5 if low_watermark is None else parse_bytes(low_watermark)
    kept = 0 if keep_free.strip() == "0" else parse_bytes(keep_free)
    marks = Watermarks(high, low, high_shards, high_shards * 4 // 5 if low_shards is None else low_shards, kept)
    if scheduler_file is not None and workers == 0:
        raise InputError("--scheduler-file with --workers 0: choose a cluster or this process alone")
    if join and (scheduler_file is not None or workers == 0):
        raise InputError("--join needs workers of its own: leave --scheduler-file and --workers 0 out")
    check_amounts(workers, samples)
    if scheduler_file is not None:
        read_address(scheduler_file)
    asked = Asked(
        seed=seed,
        statistics=statistics,
        preset=preset,
        crystals=crystals,
        space_groups=space_groups,
        verification=verification,
        engine=engine,
        ordering=ordering,
        rows_per_shard=rows_per_shard,
        two_theta_min=two_theta_min,
        two_theta_max=two_theta_max,
        step=step,
        wavelength=wavelength,
        min_structures=min_structures,
    )
    path = _path(spool)
    if submit or dry_run:
        options = asked.options()
        amounts = {"samples": samples, "high-watermark": high_watermark, "low-watermark": low_watermark}
        amounts |= {"high-shards": high_shards, "low-shards": low_shards, "keep-free": keep_free, "listen": listen}
        options += [f"--{name}={value}" for name, value in amounts.items() if value is not None]
        more = shlex.split(sbatch_options or "")
        cluster = Cluster(cores_per_task, partition, account, time_limit, qos, more)
        submitted = submission(path, cores() if workers is None else workers, cluster, options)
        if dry_run:
            console.emit(str(submitted))
            return
        submitted.check()
        open_spool(path, asked).clear_stop()
        console.emit(submitted.run())
        return
    if join:
        produce_joined(
            open_spool(path, asked), workers=workers, samples=samples, marks=marks, listen=listen or EVERYWHERE
        )
        return
    run(
        open_spool(path, asked),
        workers=workers,
        samples=samples,
        marks=marks,
        scheduler_file=scheduler_file,
        listen=listen or LOCAL,
    )


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
    from xrdcommon.spool.spool import Spool

    from xrdgen.production.cluster.joining import join
    from xrdgen.production.produce import cores

    if not 0.0 <= wait < float("inf"):
        raise InputError(f"--wait {wait}: must be a number of seconds, 0 or more")
    join(Spool.open(_path(spool)), cores() if workers is None else workers, scheduler_file, wait)


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
