"""What a command line says about patterns, checked and made into options."""

from __future__ import annotations

from xrdcommon.errors import InputError

from xrdtrain.inference.predict import PredictOptions
from xrdtrain.measured.background import check_method
from xrdtrain.measured.emission import parse_radiation
from xrdtrain.measured.pattern import Axis, ReadOptions
from xrdtrain.measured.prepare import PrepareOptions


def predict_options(
    *,
    prior: str = "trained",
    wavelength: str | None = None,
    axis: str | None = None,
    columns: str | None = None,
    scan: int | None = None,
    two_theta_range: tuple[float, float] | None = None,
    zero_shift: float = 0.0,
    background: str = "auto",
    keep_patterns: bool = False,
) -> PredictOptions:
    """Return options from words; those of `xrdtrain predict`, and of a page that takes the same.

    Raises:
        InputError: a word that means nothing (names the option and what it may be).

    """
    return PredictOptions(
        ReadOptions(
            None if axis is None else _axis(axis),
            None if wavelength is None else parse_radiation(wavelength),
            scan,
            None if columns is None else _columns(columns),
        ),
        PrepareOptions(check_method(background), two_theta_range, zero_shift),
        prior,
        keep_patterns,
    )


def _axis(text: str) -> Axis:
    """Return an axis by its name.

    Raises:
        InputError: no such name.

    """
    try:
        return Axis(text.strip().lower())
    except ValueError:
        raise InputError(f"--axis {text}: give one of {', '.join(Axis)}") from None


def _columns(text: str) -> tuple[int, int]:
    """Return two numbers of columns.

    Raises:
        InputError: not two different numbers from 1.

    """
    words = text.replace(",", " ").split()
    if len(words) != 2 or not all(word.isdigit() and int(word) >= 1 for word in words) or words[0] == words[1]:
        raise InputError(f"--columns {text}: give two numbers from 1, of the axis and of the intensity: 1,2")
    return int(words[0]), int(words[1])
