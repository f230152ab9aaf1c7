"""From prepared patterns to ranked candidates, with one network or several, under a prior.

# N patterns, P points of a network's axis, C classes of a network, G space groups of all networks
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from xrdcommon.errors import InputError
from xrdcommon.measurement import Measurement

from xrdtrain.inference.candidates import Candidate, merge_enantiomorphs
from xrdtrain.inference.capture import summarised
from xrdtrain.inference.features import load_reference
from xrdtrain.inference.load import Run
from xrdtrain.inference.prior import TRAINED, class_prior, trained_prior

Input = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""Values (N, P) and masks (N, P) on a network's axis."""

FAR = "its features lie farther from synthetic patterns than 99 % of other synthetic ones"
MIXED = "it looks like a mixture of several phases, as 1 % of single phases do too"


class Answerer:
    """Networks that answer together: the mean of their probabilities."""

    def __init__(self, networks: Sequence[Run]) -> None:
        """Take networks; they may differ in axis and classes.

        Raises:
            InputError: none given.

        """
        if not networks:
            raise InputError("no network to predict with; name a run folder")
        self.networks = list(networks)
        self.references = [run.gate or load_reference(run.path) for run in networks]
        self.groups: NDArray[np.int64] = np.unique(np.concatenate([run.classes.numbers for run in networks])).astype(
            np.int64
        )

    @property
    def measurements(self) -> list[Measurement]:
        """Axis and wavelength of each network."""
        return [run.measurement for run in self.networks]

    @property
    def masks(self) -> list[bool]:
        """Whether each network is told what was measured."""
        return [run.spec.input.has_mask for run in self.networks]

    def log_ratio(self, prior: str) -> list[NDArray[np.float64]]:
        """Return what a prior adds to the logits of each network, (C,) each.

        Raises:
            InputError, MissingFileError, FormatError: no such prior, or a network's own is not known.

        """
        if prior == TRAINED:
            return [np.zeros(len(run.classes)) for run in self.networks]
        return [
            np.log(class_prior(prior, run.classes.numbers))
            - np.log(trained_prior(run.path, run.classes.numbers, run.counts))
            for run in self.networks
        ]

    def probabilities(
        self, inputs: Sequence[Input], prior: str = TRAINED
    ) -> tuple[NDArray[np.float64], dict[str, NDArray[np.bool_]]]:
        """Return the probability of every space group (N, G), in the order of `groups`, and what speaks against it.

        That is, by its reason, which patterns (N,) it holds for: `FAR` where features lie farther from synthetic ones
        than a network's threshold, `MIXED` where a network sees a mixture; neither where it has no gate.

        Args:
            inputs: values and masks for each network.
            prior: see `prior.class_prior`; `trained` leaves the networks' own.

        Raises:
            InputError, MissingFileError, FormatError: no such prior.

        """
        total = np.zeros((len(inputs[0][0]), len(self.groups)))
        against = {reason: np.zeros(len(total), dtype=np.bool_) for reason in (FAR, MIXED)}
        for run, (values, masks), added, reference in zip(
            self.networks, inputs, self.log_ratio(prior), self.references, strict=True
        ):
            places = np.searchsorted(self.groups, run.classes.numbers)
            if reference is None:
                logits = run.logits(values, masks)
            else:
                with summarised(run.model) as found:
                    logits = run.logits(values, masks)
                summaries = np.concatenate(found)
                features = summaries[:, -reference.means.shape[1] :]
                against[FAR] |= reference.distance(features) > reference.threshold
                if reference.mixtures is not None:
                    against[MIXED] |= reference.mixtures.fires(summaries)
            total[:, places] += softmax(logits.astype(np.float64) + added, axis=1)
        return total / len(self.networks), against

    def answer(self, inputs: Sequence[Input], prior: str = TRAINED) -> list[tuple[list[Candidate], tuple[str, ...]]]:
        """Return candidates of every pattern, the likeliest first, and what speaks against them.

        Raises:
            InputError, MissingFileError, FormatError: no such prior.

        """
        probability, against = self.probabilities(inputs, prior)
        return [
            (
                merge_enantiomorphs(self.groups, row),
                tuple(reason for reason, holds in against.items() if holds[number]),
            )
            for number, row in enumerate(probability)
        ]
