"""A network of the user's own: a function in a module of theirs, called as `function(n_points, n_classes)`.

What is saved is the name of the function. Its module is imported when the network is built: for a training that asks
for it, and for a run that somebody names to predict with or to measure.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from xrdcommon.errors import InputError

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class OwnSettings:
    """Which function makes the network.

    Attributes:
        function: `package.module:function`.

    """

    function: str

    def __post_init__(self) -> None:
        """Refuse what is no name of a function.

        Raises:
            InputError: it is none.

        """
        if not isinstance(self.function, str) or _NAME.fullmatch(self.function) is None:
            raise InputError(f"model '{self.function}': name a function of your own as package.module:function")


def make_own(settings: OwnSettings, n_points: int, n_classes: int, n_channels: int) -> nn.Module:
    """Import the function, call it, and try the network on zeros.

    Args:
        settings: the function.
        n_points: P, points of the axis.
        n_classes: C.
        n_channels: of the input: 1: patterns (B, P), else (B, channels, P).

    Raises:
        InputError: no such module or function, or what it makes does not take patterns or give logits (B, C).

    """
    network = find_function(settings.function)(n_points, n_classes)
    if not isinstance(network, nn.Module):
        raise InputError(
            f"{settings.function}({n_points}, {n_classes}): gave {type(network).__name__}, no torch.nn.Module"
        )
    shape = (2, n_points) if n_channels == 1 else (2, n_channels, n_points)
    training = network.training
    try:
        with torch.no_grad():
            logits = network.eval()(torch.zeros(shape))
    except Exception as error:  # whatever the user's code raises
        raise InputError(
            f"{settings.function}: its network does not take patterns {shape} ({_brief(error)})"
        ) from error
    network.train(training)
    found = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    if found != (2, n_classes):
        raise InputError(f"{settings.function}: its network gives {found} for patterns {shape}, need (2, {n_classes})")
    return network


def find_function(name: str) -> Callable[[int, int], Any]:
    """Import a function.

    Raises:
        InputError: no such module or function, or the module cannot be imported.

    """
    module_name, _, function_name = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # behind all else: nothing installed is hidden by a file that lies about
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever the user's code raises
        raise InputError(
            f"model '{name}': {module_name} cannot be imported ({_brief(error)}); start where it lies, or name its "
            "folder in PYTHONPATH"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise InputError(f"model '{name}': no function '{function_name}' in {module.__file__}")
    made: Callable[[int, int], Any] = function
    return made


def _brief(error: Exception) -> str:
    """Say in one line what somebody else's code raised."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
