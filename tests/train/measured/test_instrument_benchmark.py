"""The table of answers to labelled files: ranks, enantiomorphic pairs, what counts as answered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from xrdcommon.errors import FormatError
from xrdtrain.inference.answer import Answerer
from xrdtrain.inference.candidates import merge_enantiomorphs
from xrdtrain.inference.load import load_run
from xrdtrain.inference.predict import Prediction

from tests.benchmarks.bench_instrument import Answer, answers, line, radiation_of, summary

RANKED = merge_enantiomorphs(np.array([14, 152, 2, 225, 62, 136]), np.array([0.4, 0.2, 0.15, 0.1, 0.1, 0.05]))


def test_ranks_and_counts() -> None:
    found = [
        Answer("a", 14, True, Prediction("a", RANKED)),
        Answer("b", 154, True, Prediction("b", RANKED)),  # the other of the pair
        Answer("c", 136, True, Prediction("c", RANKED, doubts=("no line",))),
        Answer("d", 100, False, Prediction("d", RANKED)),
        Answer("e", None, False, Prediction("e", RANKED)),
        Answer("f", 14, True, Prediction("f", error=FormatError("f: damaged"))),
    ]
    assert [item.rank for item in found] == [1, 2, 6, None, None, None]
    counts = summary(found)
    assert (counts["files"], counts["answered"], counts["labelled"], counts["outside_classes"]) == (6, 5, 4, 1)
    assert (counts["top1"], counts["top5"], counts["top10"]) == (1, 2, 3)
    assert (counts["without_doubt"], counts["top10_without_doubt"]) == (3, 2)
    assert "refused: damaged" in line(found[5])
    assert "no class" in line(found[3])


def test_radiations_of_labels() -> None:
    assert radiation_of("") is None
    for text in ("1.5405 1.5443", "anode Cu"):
        found = radiation_of(text)
        assert found is not None
        assert found.wavelength == pytest.approx(1.5405, abs=1e-4)


def test_every_labelled_file_is_answered_with_its_own_wavelength(
    instrument_files: Path, trained: tuple[Path, Path]
) -> None:
    found = answers(Answerer([load_run(trained[0])]), instrument_files, "trained", "auto")
    counts = summary(found)
    # of 15 with a group the neutron pattern is refused, and two that cover less than half of this network's axis
    assert counts["labelled"] == 12
    by_name = {item.file: item.prediction for item in found}
    for name, wavelength in (("cpd_corundum.prn", 1.5406), ("labpdfproc_zro2_mo.xy", 0.7093)):
        radiation = by_name[name].radiation
        assert radiation is not None
        assert radiation.wavelength == pytest.approx(wavelength, abs=1e-4)
        assert not radiation.assumed
