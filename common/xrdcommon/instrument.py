"""What a file of effects says of the instrument that it was fitted to: table `[instrument]`, beside the laws.

`xrdtrain instrument` writes it; the generator reads it, to refuse another radiation and to leave out what the
instrument does not measure. The laws themselves are the generator's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from xrdcommon.errors import FormatError

TABLE: Final = "instrument"
FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Instrument:
    """An instrument.

    Attributes:
        wavelength: Å (K-alpha 1 of a doublet).
        first: first angle that it measures, degrees 2theta.
        last: last angle.
        step: degrees 2theta between its points.
        standard: by which its profile was fitted.
        file: the measurement of it.

    """

    wavelength: float
    first: float
    last: float
    step: float
    standard: str = ""
    file: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for a file."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, values: object, where: str) -> Instrument:
        """Read back what `to_dict` wrote; what else stands there is for people.

        Raises:
            FormatError: another version, a value that is missing or that no instrument has.

        """
        if not isinstance(values, Mapping):
            raise FormatError(f"{where}: [{TABLE}] must be a table")
        if values.get("format") != FORMAT:
            raise FormatError(f"{where}: [{TABLE}] format {values.get('format')!r}, this version reads {FORMAT}")
        numbers: dict[str, float] = {}
        for name in ("wavelength", "first", "last", "step"):
            value = values.get(name)
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not math.isfinite(value)
                or value <= 0.0
            ):
                raise FormatError(f"{where}: [{TABLE}] {name} = {value!r}: must be a number above 0")
            numbers[name] = float(value)
        if not numbers["first"] < numbers["last"] < 180.0:
            raise FormatError(
                f"{where}: [{TABLE}] first {numbers['first']:g}, last {numbers['last']:g}: must rise, below 180 degrees"
            )
        return cls(**numbers, standard=str(values.get("standard", "")), file=str(values.get("file", "")))
