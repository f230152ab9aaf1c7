"""Which imperfections the diffractograms of a fixed set have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from xrdcommon.files import sha256_file

from xrdgen.diffraction.imperfections import Imperfections
from xrdgen.embedded import resolve


@dataclass(frozen=True, slots=True)
class Effects:
    """What diffractograms have beside a crystallite size.

    Attributes:
        imperfections: of which nature, and by which laws.
        preset: from which they began.
        statistics: by which the crystals of impurities are drawn.

    """

    imperfections: Imperfections = field(default_factory=Imperfections)
    preset: str = "pure"
    statistics: str = "embedded:statistics"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; a statistics file is named by its hash as well."""
        values = {"preset": self.preset, **self.imperfections.to_dict()}
        if self.imperfections.has("impurity"):
            values["statistics_sha256"] = sha256_file(resolve(self.statistics))
        return values
