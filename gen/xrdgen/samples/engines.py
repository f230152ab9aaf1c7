"""Which engine makes the rows of a production, and one sample of it drawn again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError
from xrdcommon.fields import empty_samples
from xrdcommon.identity import SampleIdentity
from xrdcommon.spool.spool import Spool

from xrdgen.samples.config import ProductionConfig
from xrdgen.samples.rows import CrystalRows

if TYPE_CHECKING:
    from xrdgen.crystal import Crystal
    from xrdgen.samples.reference_rows import ReferenceRows


def rows_of(engine: str) -> type[CrystalRows] | type[ReferenceRows]:
    """Return what makes the rows of a production: one of `config.ENGINES`."""
    from xrdgen.samples.reference_rows import ReferenceRows

    return ReferenceRows if engine == "reference" else CrystalRows


class Redrawn(NamedTuple):
    """A sample that was drawn again.

    Attributes:
        crystal: as it was simulated.
        pattern: (P,) float32, maximum 1; shards hold it as float16.
        record: the sample's record of `SAMPLE_DTYPE`.

    """

    crystal: Crystal
    pattern: NDArray[np.float32]
    record: np.void


def redraw(spool: Spool, identity: SampleIdentity) -> Redrawn:
    """Draw a sample of a spool again, whether or not its shard still exists.

    Args:
        spool: names statistics and settings.
        identity: (run, producer, shard, index) as in the sample's record.

    Raises:
        InputError: no sample of this spool has that identity.
        SpoolError: the spool's copy of the statistics was changed.

    """
    return next(redraw_each(spool, [identity]))


def redraw_each(spool: Spool, identities: Iterable[SampleIdentity]) -> Iterator[Redrawn]:
    """Draw samples of a spool again, one after the other; see `redraw`.

    Raises:
        InputError: no sample of this spool has one of the identities.
        SpoolError: the spool's copy of the statistics was changed.

    """
    configuration = ProductionConfig.from_dict(spool.configuration)
    rows = configuration.rows_per_shard
    source = None
    for identity in identities:
        if identity.run != spool.root_seed:
            raise InputError(
                f"sample {identity}: {spool.path} has run {spool.root_seed:016x}; name the spool it is from"
            )
        if not 0 <= identity.index < rows:
            raise InputError(f"sample {identity}: index must be 0 to {rows - 1}, the rows of a shard of {spool.path}")
        source = source or rows_of(configuration.engine)(spool)
        patterns = np.empty((1, spool.grid.n_points), dtype=np.float32)
        samples = empty_samples(1)
        source.fill(identity, patterns, samples)
        yield Redrawn(source.last_crystal(), patterns[0], samples[0])
