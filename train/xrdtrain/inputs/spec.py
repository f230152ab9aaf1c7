"""The input specification, kept with a network's weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from xrdcommon.errors import FormatError, InputError
from xrdcommon.measurement import Measurement


class Transform(StrEnum):
    """What is done to intensities in [0, 1] before the network sees them."""

    NONE = "none"
    SQUARE_ROOT = "square-root"


class Channel(StrEnum):
    """What a channel of the input holds at every point of the axis."""

    PATTERN = "pattern"
    """The transformed intensity, 0 where nothing was measured."""
    MASK = "mask"
    """1 where the pattern was measured, 0 elsewhere."""
    SQUARED_SINE = "sin2-theta"
    """The pattern on an axis of as many even steps of sin^2(theta) (see `inputs.squared_sine`)."""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What a network takes in.

    Attributes:
        measurement: 2theta axis and wavelength of the patterns; the axis need not be the grid of the source that the
            network is trained on (see `inputs.axis`).
        channels: the pattern, and its mask or its form on another axis.
        transform: of the intensity.

    """

    measurement: Measurement
    channels: tuple[Channel, ...] = (Channel.PATTERN,)
    transform: Transform = Transform.NONE

    def __post_init__(self) -> None:
        """Refuse channels that no network takes.

        Raises:
            InputError: the pattern is not the first, or a channel comes twice.

        """
        if self.channels[:1] != (Channel.PATTERN,) or len(set(self.channels)) != len(self.channels):
            raise InputError(f"channels {', '.join(self.channels)}: give pattern first, then others, each once")

    @property
    def has_mask(self) -> bool:
        """Whether the network is told where the pattern was measured."""
        return Channel.MASK in self.channels

    @property
    def n_points(self) -> int:
        """Number of points of the axis P."""
        return self.measurement.grid.n_points

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample: (P,) for the pattern alone, (channels, P) of several channels."""
        return (self.n_points,) if len(self.channels) == 1 else (len(self.channels), self.n_points)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return {
            "measurement": self.measurement.to_dict(),
            "channels": [channel.value for channel in self.channels],
            "transform": self.transform.value,
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> InputSpec:
        """Read back what `to_dict` wrote.

        Raises:
            FormatError: something is missing, or a channel or transform that this version does not know.

        """
        try:
            channels = tuple(Channel(name) for name in fields["channels"])
            return cls(Measurement.from_dict(fields["measurement"]), channels, Transform(fields["transform"]))
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"input specification: {error}; it was written by another version") from error

    def __str__(self) -> str:
        """Describe the input in one phrase."""
        transform = "" if self.transform is Transform.NONE else f", {self.transform.value.replace('-', ' ')}"
        return f"{' and '.join(self.channels)} on {self.measurement}{transform}"
