"""The parameters of a sample's pattern, from its identity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from xrdcommon.identity import SampleIdentity

from xrdgen.diffraction.effects import parameter_kernels
from xrdgen.diffraction.effects.parameters import PatternParameters, stream_start
from xrdgen.random_kernels import STREAM_WORDS


def draw_parameters(
    identity: SampleIdentity, ranges: NDArray[np.float64], two_theta_min: float, two_theta_max: float
) -> PatternParameters:
    """Return the parameters of a sample's pattern, as production draws them.

    Args:
        identity: of the sample.
        ranges: `Imperfections.ranges`.
        two_theta_min: first grid point, degrees.
        two_theta_max: last.

    """
    key, counter = stream_start(identity)
    stream = np.zeros(STREAM_WORDS, dtype=np.uint64)
    return PatternParameters(
        *parameter_kernels.draw_parameters(key, counter, stream, ranges, float(two_theta_min), float(two_theta_max))
    )
