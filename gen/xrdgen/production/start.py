"""`xrdgen produce` from its options: work here, take part with others, or submit jobs."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from xrdcommon import console
from xrdcommon.processes import usable_cores

from xrdgen.production.cluster.rendezvous import read_address
from xrdgen.production.cluster.slurm import estimate, submission
from xrdgen.production.coordinator import check_watermark
from xrdgen.production.joined.election import produce_joined
from xrdgen.production.options import EVERYWHERE, LOCAL, ProduceOptions, SampleOptions
from xrdgen.production.produce import Asked, check_asked, open_spool, produce


def start(path: Path, options: ProduceOptions) -> str | None:
    """Produce into a spool as the options say.

    Args:
        path: of the spool, which is made if it is not there.
        options: as of `xrdgen produce`.

    Returns:
        The id of the job that was submitted, or the command that would submit it; None where production has ended.

    Raises:
        Interrupted: stopped before the samples were complete; the same call goes on.
        XrdError: wrong values, what there is not, or what could not be mended.

    """
    asked = Asked(**{field.name: getattr(options, field.name) for field in fields(SampleOptions)})
    marks = options.marks()
    if options.scheduler_file is not None:
        read_address(options.scheduler_file)
    check_watermark(*check_asked(path, asked), marks)
    if options.submits:
        submitted = submission(path, usable_cores() if options.workers is None else options.workers, options)
        submitted.check(needed=options.submit and not options.dry_run)
        console.say(estimate(path, submitted, options))
        if options.dry_run:
            return str(submitted)
        open_spool(path, asked).clear_stop()
        return submitted.run()
    spool = open_spool(path, asked)
    if options.join:
        listen = options.listen or EVERYWHERE
        produce_joined(spool, workers=options.workers, samples=options.samples, marks=marks, listen=listen)
        return None
    produce(
        spool,
        workers=options.workers,
        samples=options.samples,
        marks=marks,
        scheduler_file=options.scheduler_file,
        listen=options.listen or LOCAL,
    )
    return None
