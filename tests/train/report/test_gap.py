"""The gap taken apart: gains on the same crystals, and sets that do not fit are named."""

from __future__ import annotations

import csv
import io
import re
import shutil
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from xrdtrain.report.comparison import write_comparison
from xrdtrain.report.gap_figure import PARTS, published, take_apart
from xrdtrain.report.page import render
from xrdtrain.report.run_folder import read_run

SHARES = {"reference": 0.40, "coordinates": 0.50, "lattice": 0.45, "both": 0.60}


@pytest.fixture
def four(run: Path) -> Path:
    """A run with the four variants of one set; of each the first crystals of a class are right, the others wrong."""
    with np.load(run / "evaluation" / "amcsd.npz") as archive:
        arrays = dict(archive)
    inside = np.flatnonzero(np.isin(arrays["labels"], arrays["classes"]))
    for variant, share in SHARES.items():
        top = arrays["top"].copy()
        wrong = np.where(arrays["labels"] == arrays["classes"][0], arrays["classes"][1], arrays["classes"][0])
        right = np.isin(np.arange(len(top)), inside[: round(share * len(inside))])
        top[:, 0] = np.where(right, arrays["labels"], wrong)
        top[:, 1:] = arrays["classes"][2 : 1 + top.shape[1]]
        top[~np.isin(top, arrays["classes"])] = arrays["classes"][0]
        np.savez(run / "evaluation" / f"test-{variant}.npz", **{**arrays, "top": top})
    return run


def test_gains_are_differences_on_the_same_crystals(four: Path) -> None:
    content = read_run(four)
    gap = take_apart(content.tests, "test", content.trained_on)
    assert not isinstance(gap, str)
    n = gap.n
    exact = {variant: round(share * n) / n for variant, share in SHARES.items()}
    assert gap.reference == pytest.approx(exact["reference"])
    for variant in ("coordinates", "lattice", "both"):
        share = exact[variant] - exact["reference"]
        assert gap.gain[variant] == pytest.approx(100 * share)
        # every difference is 0 or 1, for the right ones are nested
        assert gap.error[variant] == pytest.approx(100 * (share * (1 - share) / (n - 1)) ** 0.5)
    trained_on = content.trained_on
    assert trained_on is not None
    fresh = trained_on.correct[trained_on.inside].mean()
    assert gap.gain["rest"] == pytest.approx(100 * (fresh - exact["both"]))


def test_it_is_drawn_beside_the_paper(four: Path, tmp_path: Path) -> None:
    """Section 3.3: +4.89, +0.79, +5.70 of 12.3 points; the statistics part: +4.72, +1.16, +6.68."""
    assert published()["test"] == {
        "coordinates": 4.89,
        "lattice": 0.79,
        "both": 5.70,
        "rest": pytest.approx(12.3 - 5.7),
    }
    assert published()["statistics"]["rest"] == pytest.approx(12.3 - 3.89 - 6.68)
    page = render(read_run(four))
    card = page[page.index('<figure id="gap-parts-test"') :]
    table = re.search(r'<desc class="data">(.*?)</desc>', card, re.DOTALL)
    assert table is not None
    rows = list(csv.reader(io.StringIO(unescape(table[1]))))
    paper = [float(y) for series, _, y in rows if series == "synthetic"]
    assert paper == [4.89, 0.79, 5.70, 6.60]
    assert sum(series == "test-0" for series, _, _ in rows) == len(PARTS)
    other = tmp_path / "other" / four.name
    shutil.copytree(four, other)
    both = write_comparison([four, other], tmp_path / "both.html").read_text()
    assert both.count("The gap taken apart, test") == 2


def test_other_crystals_are_named_and_not_compared(four: Path) -> None:
    path = four / "evaluation" / "test-lattice.npz"
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez(path, **{**arrays, "ids": arrays["ids"][::-1]})
    page = render(read_run(four))
    assert 'id="gap-parts-test"' not in page
    assert "test-lattice and test-reference are not of the same crystals" in page
