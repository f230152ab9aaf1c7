"""All that `xrdtrain fit` can be asked for; the command, a file (`--config`) and Python fill the same dataclass.

Light to load: the command line reads it before it knows what it is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from xrdcommon.errors import InputError
from xrdcommon.options import option

from xrdtrain.data.progress import OnCrash
from xrdtrain.durations import parse_duration
from xrdtrain.precision import Precision

E = TypeVar("E", bound=StrEnum)


def _resume(text: str) -> bool:
    """Read --resume.

    Raises:
        InputError: something else.

    """
    if text not in ("auto", "never"):
        raise InputError(f"--resume '{text}': auto or never")
    return text == "auto"


def _one_of(kind: type[E], name: str, text: str) -> E:
    """Return the member of an enumeration.

    Raises:
        InputError: none of that name.

    """
    if text not in list(kind):
        raise InputError(f"--{name}: '{text}' is not one of {', '.join(kind)}")
    return kind(text)


def _precision(text: str) -> Precision:
    return _one_of(Precision, "precision", text)


def _on_crash(text: str) -> OnCrash:
    return _one_of(OnCrash, "on-crash", text)


def parse_classes(text: str) -> tuple[int, ...]:
    """Read space groups such as 2,14,62, or those of a run where a run folder is named.

    Raises:
        InputError: not space groups.
        FormatError: the folder is no run of this version.

    """
    from xrdcommon.space_groups import parse_groups  # slow to load, as the next one

    if (Path(text) / "config.json").is_file():
        from xrdtrain.runs.config import read_config

        return tuple(read_config(Path(text)).classes)
    return tuple(parse_groups(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRequest:
    """What the user asked for; None: the preset's value, or the run's when it goes on.

    Attributes:
        source: a spool or a fixed set; the others are those of the command (see `xrdtrain fit --help`).

    """

    source: Path | None = None
    run: Path | None = option(
        "Run folder; default the unfinished run of this source in runs/, else runs/<date>-<model>."
    )
    model: str | None = option(
        "See `xrdtrain models`; default resnet-50 with CUDA, else a small one. Or a function of your own, "
        "package.module:function, called with the numbers of points and classes: a torch.nn.Module from patterns "
        "(B, P) to logits."
    )
    options: tuple[str, ...] | None = option(
        "Change what the model's preset trains, repeatable: class-weights, label-smoothing, ema, mix, heads, "
        "head-weight, sin2-theta, dense-relu, peaks. A name alone takes its usual value; "
        "`xrdtrain models --options` explains them.",
        "--option",
        values="NAME[=VALUE]",
    )
    tests: tuple[str, ...] | None = option(
        "Fixed set to measure on, repeatable; default `embedded`, or `none`.", "--test", values="NAME=PATH"
    )
    samples: int | None = option("Stop after this many samples.")
    max_time: float | None = option(
        "Stop properly after this time of training, for example 5m or 12h.", values="TIME", read=parse_duration
    )
    resume: bool = option(
        "auto (default): go on where a run folder stopped.", values="auto|never", read=_resume, default=True
    )
    on_crash: OnCrash | None = option(
        "Samples used behind the last checkpoint when a process dies: replay uses them again (each counts once), "
        "discard never uses a sample twice. Default replay, or as the run was started.",
        values="replay|discard",
        read=_on_crash,
    )
    precision: Precision = option(
        "auto (default): bfloat16 where the device computes with it.",
        values="auto|bf16|fp32",
        read=_precision,
        default=Precision.AUTO,
    )
    compile: bool | None = option("torch.compile; default with CUDA only.", "--compile/--no-compile")
    batch: int | None = option("Samples of a step, over all processes.")
    learning_rate: float | None = option("Default: the model's.")
    eval_every: int | None = option("Samples between two lines of metrics.")
    checkpoint_every: int | None = option("Samples between two checkpoints; default as --eval-every.")
    produce: int | None = option("Run N local producer workers beside the training.", values="N")
    produce_options: str = option("More options for `xrdgen produce`, for example '--seed 1'.", default="")
    feed: str | None = option(
        "Queue of the spool, default main. Trainings on different feeds get every new shard each."
    )
    cache: str | None = option(
        "Where a fixed set of more than 1 GiB is copied to for random access, never removed; runs may share it. `none` "
        "keeps it in memory. Default RUN/cache.",
        values="DIR",
    )
    init_from: Path | None = option(
        "Start from the weights of another run, of a .safetensors file, or of embedded:NAME, whose network is taken "
        "where no --model is given."
    )
    seed: int | None = option("Of weights and order; default 0.")
    classes: tuple[int, ...] | None = option(
        "Space groups to learn from a fixed set, for example 2,14,62, or a run whose classes to take; default all in "
        "it.",
        values="LIST|RUN",
        read=parse_classes,
    )
    dry_run: bool = option("Say what would be done, and do nothing.", default=False)

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        for name in ("samples", "batch", "eval_every", "checkpoint_every", "max_time", "learning_rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise InputError(f"--{name.replace('_', '-')} {value}: must be positive and finite")
        if self.seed is not None and self.seed < 0:
            raise InputError(f"--seed {self.seed}: must not be negative")
