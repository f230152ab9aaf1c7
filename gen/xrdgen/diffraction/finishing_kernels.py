"""Kernel of the third stage with imperfections: background, noise, what processing left, the measured range, scale.

See `points_kernels` for the order.

# P grid points
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.effects.parameters import PatternParameters
from xrdgen.diffraction.effects.point_kernels import PointEffects, changes_points, measure
from xrdgen.diffraction.points_kernels import add_scaled, finish_range, largest_of
from xrdgen.diffraction.reach_kernels import Instrument
from xrdgen.jit import kernel

Singles = NDArray[np.float32]
Words = NDArray[np.uint64]

_ROUNDING = 1e-6
"""Grid steps by which an end of the measured range may miss its point."""


@kernel
def finish_points(
    y: Singles,
    parameters: PatternParameters,
    instrument: Instrument,
    key: Words,
    counter: Words,
    effects: PointEffects,
    out: Singles,
) -> bool:
    """Turn the lines of all phases (P,) into a measured diffractogram (P,) in [0, 1]; False if nothing is left.

    Args:
        y: in any unit; changed.
        parameters: of the pattern.
        instrument: see `Instrument`.
        key: (2,) of the random streams.
        counter: (4,) of the sample; its word of purpose is set here.
        effects: tables and work space of background and noise.
        out: (P,) filled.

    """
    highest = largest_of(y)
    out[:] = 0.0
    if highest == 0.0:
        return False
    add_scaled(y, 1.0 / highest, out)
    first = int(np.ceil((parameters.range_first - instrument.two_theta_min) / instrument.step - _ROUNDING))
    last = int(np.floor((parameters.range_last - instrument.two_theta_min) / instrument.step + _ROUNDING))
    first, last = max(first, 0), min(last, out.size - 1)
    if changes_points(parameters):
        measure(out, parameters, effects, key, counter)
    return finish_range(out, first, last, parameters.clipped > 0.0 or not changes_points(parameters))
