"""Numbers behind the figures, against counts made by hand."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xrdcommon.fields import SAMPLE_DTYPE
from xrdtrain.report import analysis, tables
from xrdtrain.report.descriptor_figures import DESCRIPTORS, edges_of, wilson
from xrdtrain.report.examples import choose, envelope
from xrdtrain.report.page import duration, flatten
from xrdtrain.report.run_folder import Evaluation
from xrdtrain.report.svg import Chart, Scale, extent, label, short
from xrdtrain.report.symbols import printed, typeset
from xrdtrain.report.training_figures import power_law, training_figures

CLASSES = np.array([14, 62, 152, 154, 225])


def evaluation(labels: list[int], top: list[list[int]], volume: list[float] | None = None) -> Evaluation:
    n, k = len(labels), len(top[0])
    samples: Any = np.zeros(n, dtype=SAMPLE_DTYPE)
    samples["space_group"] = labels
    samples["volume"] = np.arange(n) if volume is None else volume
    probability = np.tile(np.linspace(0.6, 0.1, k), (n, 1))
    return Evaluation("test", np.array(labels), CLASSES, np.array(top), probability, samples, None)


BY_HAND = evaluation(
    [14, 14, 62, 152, 154, 225, 99],
    [[14, 62], [62, 14], [14, 225], [154, 152], [154, 152], [225, 62], [62, 14]],
)


def test_measures_by_hand() -> None:
    result = analysis.measures(BY_HAND)
    assert (result["n"], result["n_outside_classes"]) == (7, 1)
    assert result["top1"] == pytest.approx(3 / 6)
    assert result["top1_all"] == pytest.approx(3 / 7)
    assert result["top1_enantiomorphs_merged"] == pytest.approx(4 / 6)
    assert result["top1_ceiling"] == pytest.approx(5 / 6)
    assert result["chance"] == pytest.approx(1 / 5)
    assert result["most_frequent_group"]["space_group"] == 14
    assert analysis.guesses_of_five(BY_HAND) == (1.0, 1.0)


def test_curves_and_counts_by_hand() -> None:
    np.testing.assert_allclose(analysis.top_k_curve(BY_HAND), [3 / 6, 5 / 6])
    recall = analysis.recall_by_group(BY_HAND)
    assert recall.counts[[14, 62, 99, 225]].tolist() == [2, 1, 1, 1]
    np.testing.assert_allclose(recall.recall[[14, 62, 99, 225, 1]], [0.5, 0, 0, 1, np.nan])
    matrix = analysis.confusion(BY_HAND)
    assert matrix.sum() == 6
    assert (matrix[0, 0], matrix[0, 1], matrix[2, 3], matrix[3, 3]) == (1, 1, 1, 1)
    assert analysis.frequent_confusions(BY_HAND, 2) == [(14, 62, 1), (62, 14, 1)]
    systems = analysis.system_confusion(BY_HAND)
    assert (systems[1, 1], systems[1, 2], systems[2, 1], systems[4, 4], systems[6, 6]) == (1, 1, 1, 2, 1)
    counts, right = analysis.system_recall(BY_HAND)
    assert counts.tolist() == [0, 2, 1, 0, 2, 0, 1]
    np.testing.assert_allclose(right, [np.nan, 0.5, 0, np.nan, 0.5, np.nan, 1])


def test_histogram_splits_right_and_wrong_and_integrates_to_one() -> None:
    values = np.array([0.1, 0.2, 0.6, 0.7, np.nan, 5.0])
    correct = np.array([True, False, True, True, True, False])
    result = analysis.histogram(values, correct, np.array([0.0, 0.5, 1.0, 2.0]))
    assert (result.right.tolist(), result.wrong.tolist()) == ([1, 2, 0], [1, 0, 0])
    np.testing.assert_allclose(result.error_rate, [0.5, 0.0, np.nan])
    right, wrong = result.density()
    assert float(((right + wrong) * np.diff(result.edges)).sum()) == pytest.approx(1.0)


def test_edges_hold_nearly_everything() -> None:
    values = np.random.default_rng(0).lognormal(5, 1, 5000)
    volume, sites = DESCRIPTORS[2], DESCRIPTORS[3]
    edges = edges_of(volume, [values, np.array([np.nan])])
    assert 0.985 < ((values >= edges[0]) & (values <= edges[-1])).mean() < 1.0
    whole = edges_of(sites, [np.array([1.0, 2, 3, 60])])
    assert np.allclose(whole % 1, 0.5)
    assert whole[0] == 0.5
    assert whole[-1] > 59
    assert len(edges_of(volume, [np.full(3, np.nan)])) > 1
    assert np.all(np.diff(edges_of(volume, [np.full(3, 7.0)])) > 0)


def test_wilson_interval_by_hand() -> None:
    low, high = wilson(np.array([0, 5, 0]), np.array([10, 10, 0]))
    # z = 1: 0 of 10 gives [0, 1/11]; 5 of 10 is symmetric about a half.
    np.testing.assert_allclose([low[0], high[0]], [0.0, 1 / 11], atol=1e-12)
    assert low[1] + high[1] == pytest.approx(1.0)
    assert np.isnan(low[2])


def test_trend_follows_a_line_and_skips_gaps() -> None:
    values = np.linspace(0, 1, 101)
    values[40:45] = np.nan
    smooth = analysis.trend(values, np.ones(101), 3.0)
    np.testing.assert_allclose(smooth[20:80], np.linspace(0, 1, 101)[20:80], atol=0.02)


def test_power_law_is_found_again() -> None:
    samples = np.geomspace(1e3, 1e6, 30)
    law = power_law(samples, 3.0 * samples**-0.25)
    assert law == pytest.approx((3.0, -0.25))
    assert power_law(samples[:3], samples[:3]) is None


def test_a_power_law_is_carried_on() -> None:
    """Error 3 n^-0.25; the figure says what is left at ten times as many."""
    samples = np.geomspace(1e3, 1e6, 30)
    metrics = [{"samples": float(n), "top1": 1.0 - 3.0 * n**-0.25} for n in samples]
    figure = next(item for item in training_figures(metrics) if item.name == "error")
    assert "falls as n^-0.25, so halving it takes 16 times as many" in figure.caption
    assert f"and {300 * 1e7**-0.25:.1f} % are left at 10 times as many" in figure.caption
    rows = [line.split(",") for line in re.findall(r"fit dashed,[^\n<]*", str(figure.svg))]
    assert float(rows[-1][1]) == pytest.approx(1e7)
    assert float(rows[-1][2]) == pytest.approx(3.0 * 1e7**-0.25, rel=1e-6)
    few = [item for item in training_figures(metrics[:5]) if item.name == "error"]
    assert "Power law" not in few[0].caption
    assert "fit dashed" not in str(few[0].svg)


def test_examples_are_of_different_kinds() -> None:
    rows = choose(BY_HAND)
    assert len({row for row, _ in rows}) == len(rows)
    assert (4, "sure and right, large cell") in rows
    assert any(why == "right only among five" and row == 1 for row, why in rows)
    spike = np.zeros(8501)
    spike[4321] = 1.0
    assert envelope(spike).max() == 1.0
    assert len(envelope(spike)) == 700


@pytest.mark.parametrize(
    ("true", "predicted", "expected"),
    [
        (152, 154, "mirror images"),
        (62, 33, "same absences"),
        (14, 15, "same Laue class 2/m"),
        (75, 92, "same crystal system"),
        (147, 168, "same lattice metric"),
        (225, 2, "other crystal system"),
    ],
)
def test_reasons_of_confusions(true: int, predicted: int, expected: str) -> None:
    assert tables.reason(true, predicted).startswith(expected)
    assert tables.reason(predicted, true) == tables.reason(true, predicted)


def test_every_space_group_has_a_laue_class() -> None:
    # International Tables A: last space group of each Laue class in order of number.
    last = {2: "-1", 15: "2/m", 74: "mmm", 88: "4/m", 142: "4/mmm", 148: "-3", 167: "-3m", 176: "6/m", 194: "6/mmm"}
    last |= {206: "m-3", 230: "m-3m"}
    for number in range(1, 231):
        expected = next(laue for end, laue in last.items() if number <= end)
        assert tables.laue_class(number) == expected, number


def test_tables_add_up() -> None:
    assert sum(times for _, times in tables.error_kinds(BY_HAND)) == 3
    rows = tables.group_rows(BY_HAND, None)
    assert [row.number for row in rows] == [14, 62, 99, 152, 154, 225]
    assert [row.number for row in rows if not row.is_class] == [99]
    assert rows[0].mistaken_for == "62 Pnma (1)"
    assert sum(row.count for row in tables.system_rows(BY_HAND, BY_HAND)) == 6


@given(st.floats(1e-9, 1e9), st.floats(1.001, 1e6), st.integers(2, 9), st.booleans())
def test_ticks_lie_within_the_axis(low: float, factor: float, about: int, log: bool) -> None:
    scale = Scale(low, low * factor, 0.0, 100.0, log)
    ticks = scale.ticks(about)
    assert ticks == sorted(set(ticks))
    assert len(ticks) <= 3 * about + 12
    assert all(-0.1 <= scale(tick) <= 100.1 for tick in ticks)


def test_ticks_of_common_axes() -> None:
    assert Scale(0, 522_000, 0, 1).ticks(5) == [0, 200_000, 400_000]
    assert Scale(0.17, 0.86, 0, 1, log=True).ticks(5) == [0.2, 0.3, 0.5, 0.7]
    assert Scale(900, 2e8, 0, 1, log=True).ticks(5) == [1e3, 1e4, 1e5, 1e6, 1e7, 1e8]
    assert [short(value) for value in (0, 0.25, 950, 1500, 130_500_000)] == ["0", "0.25", "950", "1.5k", "130M"]
    assert label(0.125, "percent") == "12.5 %"


def test_extent_leaves_out_what_cannot_be_drawn() -> None:
    assert extent([np.array([np.nan, np.inf])]) == (0.0, 1.0)
    low, high = extent([np.array([0.0, 1e-3, 10.0])], log=True)
    assert 0 < low < 1e-3 < 10 < high


def test_drawings_escape_text_and_break_at_gaps() -> None:
    chart = Chart((0, 1), (0, 1), x_label="<b>&")
    chart.line([0, 0.2, np.nan, 0.6, 0.8], [0, 1, 1, 0, 1], "plain")
    drawing = str(chart.svg('"quoted"'))
    assert "<b>" not in drawing
    assert "&lt;b&gt;&amp;" in drawing
    assert drawing.count('class="line plain"') == 2
    assert "nan" not in drawing


def test_symbols_are_printed_as_in_the_international_tables() -> None:
    assert printed("P2_1/c") == "P2₁/c"
    assert printed("Fd-3m") == "Fd3\u0305m"
    assert typeset(printed("P-6_2m<")) == '<i>P</i><span class="bar">6</span>₂<i>m</i>&<i>lt</i>;'


@pytest.mark.parametrize(
    ("seconds", "text"), [(40, "40 s"), (1880, "31 min"), (11_100, "3 h 05 min"), (216_000, "2.5 days")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_settings_are_flattened() -> None:
    rows = dict(flatten({"a": {"b": 1, "c": {}}, "d": list(range(20)), "e": [1, 2], "f": None}))
    assert rows == {"a.b": "1", "a.c": "{}", "d": "20 values: 0 … 19", "e": "1 2", "f": "–"}
