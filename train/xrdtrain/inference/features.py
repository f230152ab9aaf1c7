"""How far a pattern's features lie from those of synthetic ones: the second gate.

Features are what enters a network's last layer. Synthetic patterns that the network was not trained on give a mean for
each space group and one covariance for all; a pattern's distance is that of Mahalanobis to the nearest mean (Lee et
al., NeurIPS 2018). Beyond the distance that 99 % of other synthetic patterns stay below, a pattern is unlike them.

# N patterns, F features, K space groups with a mean
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import FormatError, InputError
from xrdcommon.files import atomic_writer

from xrdtrain.inference.mixtures import WEIGHTS, MixtureDetector

FILE = "features.npz"
FORMAT = 1
QUANTILE = 0.99
LEAST_PATTERNS = 500
LEAST_OF_A_GROUP = 5
_SPLIT = 0x67617465
"""Key of the draw that parts the patterns."""

SHRINKAGE = 0.05
"""Share of the mean variance in the covariance, which makes it invertible (Ledoit and Wolf's form, fixed)."""


@dataclass(frozen=True, slots=True)
class FeatureReference:
    """Features of synthetic patterns.

    Attributes:
        means: (K, F) of each space group.
        whitening: (F, F); its product with a difference has the distance as its length.
        threshold: distance that the share `QUANTILE` of other synthetic patterns stay below.
        n: patterns it was made from.
        mixtures: what tells mixtures; None where the gate was fitted by an earlier version.

    """

    means: NDArray[np.float32]
    whitening: NDArray[np.float32]
    threshold: float
    n: int
    mixtures: MixtureDetector | None = None

    def distance(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the distance (N,) of features (N, F) to the nearest mean."""
        x = features.astype(np.float64) @ self.whitening.T
        m = self.means.astype(np.float64) @ self.whitening.T
        squares = (x**2).sum(axis=1)[:, None] - 2.0 * x @ m.T + (m**2).sum(axis=1)
        result: NDArray[np.float64] = np.sqrt(np.maximum(squares.min(axis=1), 0.0))
        return result

    def save(self, path: Path) -> None:
        """Write it atomically."""
        with atomic_writer(path) as stream:
            np.savez_compressed(
                stream,
                allow_pickle=False,
                format=np.array(FORMAT),
                means=self.means,
                whitening=self.whitening,
                threshold=np.array(self.threshold),
                n=np.array(self.n),
                **({} if self.mixtures is None else self.mixtures.to_arrays()),
            )


def halves(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows that a gate is fitted on, and those that set its threshold.

    At random, as sets are often in the order of their groups.
    """
    order = np.random.Generator(np.random.Philox(key=_SPLIT)).permutation(n)
    return order[: n // 2], order[n // 2 :]


def fit_reference(features: NDArray[np.float32], groups: NDArray[np.integer]) -> FeatureReference:
    """Make a reference from features of synthetic patterns that the network was not trained on.

    One half of the patterns makes means and covariance, the other the threshold.

    Args:
        features: (N, F).
        groups: (N,) space groups.

    Raises:
        InputError: too few patterns.

    """
    if len(features) < LEAST_PATTERNS:
        raise InputError(f"{len(features)} synthetic patterns: at least {LEAST_PATTERNS} are needed for a threshold")
    half, rest_of_them = halves(len(features))
    first, second = features[half].astype(np.float64), features[rest_of_them]
    labels = groups[half]
    found, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    sums = np.zeros((len(found), first.shape[1]))
    np.add.at(sums, inverse, first)
    means = sums / counts[:, None]
    enough = counts >= LEAST_OF_A_GROUP
    rest = first[enough[inverse]] - means[inverse[enough[inverse]]]
    if not enough.any() or len(rest) < 2:
        raise InputError(f"no space group with {LEAST_OF_A_GROUP} of {len(first)} synthetic patterns; give more")
    covariance = np.cov(rest, rowvar=False)
    scale = float(np.trace(covariance)) / len(covariance)
    covariance = (1.0 - SHRINKAGE) * covariance + SHRINKAGE * max(scale, 1e-12) * np.eye(len(covariance))
    whitening = np.linalg.inv(np.linalg.cholesky(covariance)).astype(np.float32)
    reference = FeatureReference(means[enough].astype(np.float32), whitening, np.inf, len(features))
    threshold = float(np.quantile(reference.distance(second), QUANTILE))
    return FeatureReference(reference.means, reference.whitening, threshold, len(features))


def load_reference(run: Path) -> FeatureReference | None:
    """Return the reference of a run, None where it has none.

    Raises:
        FormatError: damaged, or of another version.

    """
    path = run / FILE
    if not path.is_file():
        return None
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            if int(arrays["format"]) != FORMAT:
                raise FormatError(f"{path}: format {int(arrays['format'])}, this version reads {FORMAT}")
            mixtures = MixtureDetector.from_arrays(arrays) if WEIGHTS in arrays else None
            return FeatureReference(
                arrays["means"], arrays["whitening"], float(arrays["threshold"]), int(arrays["n"]), mixtures
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{path}: damaged ({error}); make it again with `xrdtrain gate`") from error
