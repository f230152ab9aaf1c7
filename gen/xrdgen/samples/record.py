"""What is recorded of a sample: one record of `SAMPLE_DTYPE`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from xrdcommon.fields import N_ELEMENTS
from xrdcommon.identity import SampleIdentity

from xrdgen.diffraction.effects.parameters import PatternParameters

if TYPE_CHECKING:
    from xrdgen.crystal import Crystal
    from xrdgen.reference.crystal import ReferenceCrystal
    from xrdgen.samples.row_kernels import RowArrays


def empty_rows(rows: int) -> RowArrays:
    """Return arrays for what is recorded of some rows."""
    from xrdgen.samples.row_kernels import RowArrays

    return RowArrays(
        choice=np.zeros(rows, dtype=np.int64),
        space_group=np.zeros(rows, dtype=np.int64),
        lattice=np.zeros((rows, 6)),
        volume=np.zeros(rows),
        n_sites=np.zeros(rows, dtype=np.int64),
        n_atoms=np.zeros(rows, dtype=np.int64),
        density_factor=np.zeros(rows),
        composition=np.zeros((rows, N_ELEMENTS)),
        parameters=np.zeros((rows, len(PatternParameters._fields))),
    )


def fill_record(
    record: np.void, crystal: Crystal | ReferenceCrystal, parameters: PatternParameters, identity: SampleIdentity
) -> None:
    """Describe a sample in one record of `SAMPLE_DTYPE`.

    Args:
        record: to be filled.
        crystal: what was simulated.
        parameters: of its pattern.
        identity: names the sample; all that is random about it can be drawn again.

    """
    volume = crystal.volume
    record["space_group"] = crystal.space_group
    for name, value in parameters._asdict().items():
        record[name] = value
    record["lattice"] = crystal.cell
    record["volume"] = volume
    record["n_sites"] = crystal.n_sites
    record["n_atoms"] = crystal.n_atoms
    record["density_factor"] = volume / crystal.v_atomic
    record["composition"] = crystal.composition
    record["run"] = identity.run
    record["producer"] = identity.producer
    record["shard"] = identity.shard
    record["index"] = identity.index
