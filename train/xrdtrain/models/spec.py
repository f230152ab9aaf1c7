"""A network saved whole: architecture, input, classes; with the weights it is all that is needed to use them.

It stands as network.json in a run folder and in every checkpoint. How a network is trained is its recipe (see
`models.presets`), and what that preset is today does not change a network that exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from torch import nn
from xrdcommon.errors import FormatError, InputError
from xrdcommon.space_groups import check_group

from xrdtrain.inputs.spec import InputSpec
from xrdtrain.models.own import OwnSettings, make_own
from xrdtrain.models.park import Park, ParkSettings
from xrdtrain.models.patch_resnet import PatchResNet, PatchResNetSettings
from xrdtrain.models.resnet import ResNet, ResNetSettings

FORMAT: Final = 1
FILE: Final = "network.json"

Architecture = ParkSettings | PatchResNetSettings | ResNetSettings | OwnSettings
Network = Park | PatchResNet | ResNet | nn.Module

_KINDS: Final[dict[str, type[Architecture]]] = {
    "park": ParkSettings,
    "patch-resnet": PatchResNetSettings,
    "resnet": ResNetSettings,
    "own": OwnSettings,
}


def architecture_to_dict(architecture: Architecture) -> dict[str, Any]:
    """Return the fields for JSON, `kind` among them."""
    kind = next(name for name, settings in _KINDS.items() if isinstance(architecture, settings))
    return {"kind": kind, **asdict(architecture)}


def architecture_from_dict(content: Mapping[str, Any]) -> Architecture:
    """Read back what `architecture_to_dict` wrote; a field that an earlier version did not have gets its default.

    Raises:
        FormatError: a kind or field that this version does not know, or one that is missing.

    """
    kind = content.get("kind")
    settings = _KINDS.get(str(kind))
    if settings is None:
        raise FormatError(f"architecture of kind {kind!r}: this version knows {', '.join(_KINDS)}")
    unknown = sorted(content.keys() - {"kind"} - {field.name for field in fields(settings)})
    if unknown:
        raise FormatError(f"architecture {kind}: this version does not know '{unknown[0]}'; use a newer xrdstream")
    values = {name: _tuples(value) for name, value in content.items() if name != "kind"}
    try:
        return settings(**values)
    except TypeError as error:
        raise FormatError(f"architecture {kind}: {error}") from error


def make_network(
    architecture: Architecture, n_points: int, n_classes: int, *, n_channels: int = 1, dropout: bool = False
) -> Network:
    """Make a network with fresh weights: (B, P), or (B, channels, P), to logits (B, C).

    Args:
        architecture: its shape.
        n_points: P, points of the axis.
        n_classes: C.
        n_channels: of the input.
        dropout: of park networks.

    Raises:
        InputError: the axis is too short for the network, fewer than two classes, or a network of the user's own that
            cannot be made.

    """
    if n_classes < 2:
        raise InputError(f"{n_classes} classes: a classifier needs at least two space groups")
    if isinstance(architecture, OwnSettings):
        return make_own(architecture, n_points, n_classes, n_channels)
    if isinstance(architecture, ParkSettings):
        return Park(architecture, n_points, n_classes, n_channels=n_channels, dropout=dropout)
    if isinstance(architecture, PatchResNetSettings):
        return PatchResNet(architecture, n_points, n_classes, n_channels=n_channels)
    return ResNet(architecture, n_points, n_classes, n_channels=n_channels)


def _tuples(value: Any) -> Any:
    """Make lists of JSON tuples again."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """What a network is.

    Attributes:
        architecture: its shape.
        input: what it takes in.
        classes: space groups of its logits, rising.
        dropout: whether it was built with dropout (park networks on fixed real data; paper, figure S1).

    """

    architecture: Architecture
    input: InputSpec
    classes: tuple[int, ...]
    dropout: bool = False

    def __post_init__(self) -> None:
        """Refuse classes that no network can tell apart.

        Raises:
            InputError: fewer than two, not rising, or not space groups.

        """
        if len(self.classes) < 2:
            raise InputError(f"{len(self.classes)} classes: a classifier needs at least two space groups")
        if list(self.classes) != sorted({check_group(number) for number in self.classes}):
            raise InputError(f"classes {self.classes}: must be rising space group numbers")

    def build(self) -> Network:
        """Make the network with fresh weights.

        Input (B, P), or (B, channels, P) with several channels, already transformed; output: logits (B, C).

        Raises:
            InputError: the axis is too short for it.

        """
        n_channels = len(self.input.channels)
        return make_network(
            self.architecture, self.input.n_points, len(self.classes), n_channels=n_channels, dropout=self.dropout
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return {
            "format": FORMAT,
            "architecture": architecture_to_dict(self.architecture),
            "input": self.input.to_dict(),
            "classes": list(self.classes),
            "dropout": self.dropout,
        }

    @classmethod
    def from_dict(cls, content: Any, where: str) -> NetworkSpec:
        """Read back what `to_dict` wrote.

        Args:
            content: the JSON value.
            where: the file, for messages.

        Raises:
            FormatError: another version, or something is missing.

        """
        if not isinstance(content, Mapping) or content.get("format") != FORMAT:
            found = content.get("format") if isinstance(content, Mapping) else None
            raise FormatError(f"{where}: network of format {found}, this version reads {FORMAT}")
        try:
            return cls(
                architecture_from_dict(content["architecture"]),
                InputSpec.from_dict(content["input"]),
                tuple(int(number) for number in content["classes"]),
                bool(content["dropout"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"{where}: not a network that this version reads ({error})") from error

    def __str__(self) -> str:
        """Describe the network in one phrase."""
        kind = architecture_to_dict(self.architecture)["kind"]
        return f"{kind}, {len(self.classes)} space groups, {self.input}"


def n_parameters(model: nn.Module) -> int:
    """Count the trained numbers of a network."""
    return sum(parameter.numel() for parameter in model.parameters())
