"""`xrdtrain fit`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from xrdcommon import console

LIMITS, DATA, LEARNING = "Length", "Data", "Learning"


class Resume(StrEnum):
    """What to do with a run folder that has checkpoints."""

    AUTO = "auto"
    NEVER = "never"


class OnCrashOption(StrEnum):
    """What becomes of rows used behind the last checkpoint (that of `xrdtrain.data.progress`)."""

    REPLAY = "replay"
    DISCARD = "discard"


class PrecisionOption(StrEnum):
    """Arithmetic of the network (that of `xrdtrain.inference.classifier`, whose import takes a second)."""

    AUTO = "auto"
    BF16 = "bf16"
    FP32 = "fp32"


def fit(
    source: Annotated[
        Path | None, typer.Argument(help="A spool or a fixed set; default $XRD_SPOOL, else ./spool.")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="Run folder; default the unfinished run of this source in runs/, else runs/<date>-<model>."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="See `xrdtrain models`; default resnet-50 with CUDA, else a small one. Or a function of your own, "
            "package.module:function, called with the numbers of points and classes: a torch.nn.Module from patterns "
            "(B, P) to logits."
        ),
    ] = None,
    test: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=PATH", help="Fixed set to measure on, repeatable; default `embedded`, or `none`."),
    ] = None,
    samples: Annotated[int | None, typer.Option(help="Stop after this many samples.")] = None,
    max_time: Annotated[
        str | None, typer.Option(help="Stop properly after this time of training, for example 5m or 12h.")
    ] = None,
    resume: Annotated[Resume, typer.Option(help="auto: go on where a run folder stopped.")] = Resume.AUTO,
    on_crash: Annotated[
        OnCrashOption | None,
        typer.Option(
            help="Samples used behind the last checkpoint when a process dies: replay uses them again (each counts "
            "once), discard never uses a sample twice. Default replay, or as the run was started.",
            show_default=False,
        ),
    ] = None,
    precision: Annotated[
        PrecisionOption, typer.Option(help="auto: bfloat16 where the device computes with it.")
    ] = PrecisionOption.AUTO,
    compile_model: Annotated[
        bool | None,
        typer.Option("--compile/--no-compile", help="torch.compile; default with CUDA only.", show_default=False),
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Samples of a step, over all processes.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Default: the model's.")] = None,
    eval_every: Annotated[int | None, typer.Option(help="Samples between two lines of metrics.")] = None,
    checkpoint_every: Annotated[
        int | None, typer.Option(help="Samples between two checkpoints; default as --eval-every.")
    ] = None,
    produce: Annotated[
        int | None, typer.Option(metavar="N", help="Run N local producer workers beside the training.")
    ] = None,
    produce_options: Annotated[
        str, typer.Option(help="More options for `xrdgen produce`, for example '--seed 1'.")
    ] = "",
    feed: Annotated[
        str | None,
        typer.Option(help="Queue of the spool, default main. Trainings on different feeds get every new shard each."),
    ] = None,
    cache: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Where a fixed set of more than 1 GiB is copied to for random access, never removed; runs may share "
            "it. `none` keeps it in memory. Default RUN/cache.",
        ),
    ] = None,
    init_from: Annotated[
        Path | None,
        typer.Option(help="Start from the weights of another run, of a .safetensors file, or of embedded:NAME."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights and order; default 0.")] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            help="Space groups to learn from a fixed set, for example 2,14,62, or a run whose classes to take; "
            "default all in it."
        ),
    ] = None,
) -> None:
    """Train on a spool while it grows, or on a fixed set.

    A used shard is deleted once a durable checkpoint covers it. Killed or stopped (exit code 75), the same command
    goes on where it was. Under torchrun or srun: one process a GPU.

    \b
    Examples:
      xrdtrain fit                                   # ./spool, embedded test set
      xrdtrain fit spool --produce 1 --max-time 5m   # a laptop: producer and training together
      xrdtrain fit spool --model resnet-50 --test amcsd=embedded --test rruff=rruff.zarr
      torchrun --nproc-per-node 2 --no-python -- xrdtrain fit spool --model resnet-101
    """
    from xrdtrain.data.progress import OnCrash
    from xrdtrain.durations import parse_duration
    from xrdtrain.evaluation.summary import final_lines
    from xrdtrain.fitting.fit import fit as train
    from xrdtrain.fitting.request import FitRequest, parse_classes
    from xrdtrain.inference.classifier import Precision

    request = FitRequest(
        source=source,
        run=run,
        model=model,
        tests=tuple(test) if test else None,
        samples=samples,
        max_time=None if max_time is None else parse_duration(max_time),
        resume=resume is Resume.AUTO,
        precision=Precision(precision.value),
        compile=compile_model,
        batch=batch,
        learning_rate=learning_rate,
        eval_every=eval_every,
        checkpoint_every=checkpoint_every,
        produce=produce,
        produce_options=produce_options,
        init_from=init_from,
        seed=seed,
        classes=None if classes is None else parse_classes(classes),
        feed=feed,
        on_crash=None if on_crash is None else OnCrash(on_crash.value),
        cache=cache,
    )
    for line in final_lines(train(request)):
        console.emit(line)
