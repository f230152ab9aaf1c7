"""What the samples of a production depend on: saved with the spool, compared before anything is added to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrdcommon.errors import InputError, SpoolError
from xrdcommon.files import sha256_file
from xrdcommon.shards.format import BLOCK_ROWS

from xrdgen.crystals.settings import GeneratorSettings
from xrdgen.diffraction.imperfections import PRESETS, Imperfections
from xrdgen.diffraction.settings import SimulationSettings

if TYPE_CHECKING:
    from xrdcommon.spool.spool import Spool

    from xrdgen.statistics.model import Statistics

SAMPLE_VERSION = 4
"""Raised whenever the same identity gives another sample, so that one spool never mixes both."""

IMPERFECT_SAMPLE_VERSION = 6
"""The same where diffractograms have imperfections: then alone samples of kind 6 differ from those of kind 4."""

ENGINES = ("fast", "reference")
"""`fast`: kernels. `reference`: pyxtal, spglib and pymatgen, four orders of magnitude slower; the oracle of the tests.
Both give the same crystals and, to rounding, the same patterns; bytes may differ, so that no spool mixes them."""

STATISTICS_FILE = "statistics.npz"
"""Copy of the statistics inside the spool."""

ROWS_PER_SHARD = 4096
"""By default: half a second of a worker, so that publishing costs little and a coordinator keeps up with hundreds."""

MAX_ROWS_PER_SHARD = 1 << 20


@dataclass(frozen=True, slots=True)
class ProductionConfig:
    """Everything that decides what a shard contains, besides root seed, stream and number.

    Attributes:
        simulation: grid, wavelength, crystallite sizes.
        generator: how crystals are drawn.
        classes: space groups that occur, ascending.
        statistics_sha256: of the statistics file.
        preset: one of `imperfections.PRESETS`, from which the imperfections began.
        imperfections: of the diffractograms; those of the preset, or changed by the user.
        rows_per_shard: samples of a shard; the last one of `--samples N` may have fewer.
        engine: one of `ENGINES`.
        sizes_per_crystal: rows of every crystal, each with a crystallite size of its own, one after the other. The
            crystal of row i is drawn from the stream of row i - i mod sizes.

    """

    simulation: SimulationSettings
    generator: GeneratorSettings
    classes: tuple[int, ...]
    statistics_sha256: str
    preset: str = "pure"
    rows_per_shard: int = ROWS_PER_SHARD
    engine: str = "fast"
    imperfections: Imperfections = field(default_factory=Imperfections)
    sizes_per_crystal: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be produced.

        Raises:
            InputError: unknown preset or engine, no class, or rows out of range.

        """
        if self.engine not in ENGINES:
            raise InputError(f"engine '{self.engine}': must be one of {', '.join(ENGINES)}")
        if self.preset not in PRESETS:
            raise InputError(f"preset '{self.preset}': must be one of {', '.join(PRESETS)}")
        if not 1 <= self.rows_per_shard <= MAX_ROWS_PER_SHARD:
            raise InputError(f"rows per shard {self.rows_per_shard}: must be 1 to {MAX_ROWS_PER_SHARD}")
        sizes = self.sizes_per_crystal
        if sizes < 1 or BLOCK_ROWS % sizes:
            raise InputError(
                f"sizes per crystal {sizes}: must be 1, 2, 4 ... {BLOCK_ROWS} (a block has {BLOCK_ROWS} rows)"
            )
        if self.rows_per_shard % sizes:
            raise InputError(
                f"rows per shard {self.rows_per_shard}: must be a multiple of the {sizes} sizes per crystal"
            )
        if not self.classes:
            raise InputError("no space group can be drawn: too few structures in the statistics")

    @classmethod
    def build(
        cls,
        statistics: Path,
        simulation: SimulationSettings,
        generator: GeneratorSettings,
        *,
        preset: str = "pure",
        rows_per_shard: int = ROWS_PER_SHARD,
        engine: str = "fast",
        imperfections: Imperfections | None = None,
        sizes_per_crystal: int = 1,
    ) -> ProductionConfig:
        """Derive classes and hash from a statistics file; imperfections are those of the preset where not given.

        Raises:
            XrdError: the statistics are missing, damaged, or do not know a group that is asked for.

        """
        from xrdgen.crystals.generator import CrystalGenerator
        from xrdgen.statistics.model import Statistics

        classes = CrystalGenerator(Statistics.load(statistics), generator).classes
        digest = sha256_file(statistics)
        if imperfections is None:
            imperfections = Imperfections.preset(preset)
        groups = tuple(map(int, classes))
        return cls(
            simulation,
            generator,
            groups,
            digest,
            preset,
            rows_per_shard,
            engine,
            imperfections,
            sizes_per_crystal,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; `grid` and `classes` are at the top, where training looks for them."""
        simulation = self.simulation.to_dict()
        pure = self.imperfections == Imperfections()
        return {
            "sample_version": SAMPLE_VERSION if pure else IMPERFECT_SAMPLE_VERSION,
            "preset": self.preset,
            "grid": simulation.pop("grid"),
            "simulation": simulation,
            "generator": self.generator.to_dict(),
            "classes": list(self.classes),
            "statistics_sha256": self.statistics_sha256,
            "rows_per_shard": self.rows_per_shard,
            "engine": self.engine,
            # not where there are none: spools from before there were any
            **({} if pure else {"imperfections": self.imperfections.to_dict()}),
            **({} if self.sizes_per_crystal == 1 else {"sizes_per_crystal": self.sizes_per_crystal}),
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> ProductionConfig:
        """Read back what `to_dict` wrote.

        Raises:
            InputError: made by a version whose samples were others.

        """
        made = IMPERFECT_SAMPLE_VERSION if "imperfections" in fields else SAMPLE_VERSION
        if fields.get("sample_version") != made:
            raise InputError(
                f"spool made by a version with samples of kind {fields.get('sample_version')}, this one makes "
                f"{made}; take a new spool, or the xrdstream that made this one"
            )
        return cls(
            simulation=SimulationSettings.from_dict({**fields["simulation"], "grid": fields["grid"]}),
            generator=GeneratorSettings.from_dict(fields["generator"]),
            classes=tuple(fields["classes"]),
            statistics_sha256=str(fields["statistics_sha256"]),
            preset=str(fields["preset"]),
            rows_per_shard=int(fields["rows_per_shard"]),
            engine=str(fields.get("engine", "fast")),  # spools from before there were two
            imperfections=Imperfections.from_dict(fields.get("imperfections", {})),
            sizes_per_crystal=int(fields.get("sizes_per_crystal", 1)),
        )


def spool_statistics(spool: Spool) -> Statistics:
    """Read the statistics of a spool, which must be the ones that it was made with.

    Raises:
        SpoolError: the spool's copy was changed.

    """
    from xrdgen.statistics.model import Statistics

    path = spool.path / STATISTICS_FILE
    found, expected = sha256_file(path), ProductionConfig.from_dict(spool.configuration).statistics_sha256
    if found != expected:
        raise SpoolError(f"{path}: SHA-256 {found[:12]}, expected {expected[:12]}; the copy was changed")
    return Statistics.load(path)
