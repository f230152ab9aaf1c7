"""Families count once, absences apart from what they leave open, and the way from an answer to the truth."""

from __future__ import annotations

import csv
import itertools
from functools import cache
from typing import Any

import numpy as np
import pytest
import spglib
from numpy.typing import NDArray
from xrdcommon.fields import empty_samples
from xrdcommon.fixed_sets.format import encode_ids
from xrdcommon.space_groups import ENANTIOMORPHIC_PAIRS, first_hall_number
from xrdtrain.evaluation.measures import evaluate
from xrdtrain.evaluation.subgroups import SUBGROUPS_PATH, distances, maximal_subgroups
from xrdtrain.evaluation.subgroups_recipe import crystal_class, table_text
from xrdtrain.evaluation.summary import final_lines
from xrdtrain.evaluation.test_set_pass import measure

CLASSES = np.array([2, 14, 33, 62, 189, 191, 225])


def ranked(labels: NDArray[np.int64], first: list[int]) -> NDArray[np.int64]:
    """Return two candidates of every pattern: the first as given, then the truth or another class."""
    other = np.where(labels == 14, 2, 14)
    return np.stack([first, np.where(np.array(first) == labels, other, labels)], axis=1)


def test_a_large_family_does_not_hide_what_is_hard() -> None:
    """Eight patterns of one family right, one each of two others wrong: 8/10 of patterns, 1/3 of families."""
    labels = np.array([62] * 8 + [14, 225])
    top = ranked(labels, [62] * 8 + [2, 191])
    families = np.array([7] * 8 + [5, 2**63 + 1], dtype=np.uint64)
    result = evaluate(labels, CLASSES, top, np.full((10, 2), 0.5), families)
    assert result["top1"] == pytest.approx(0.8)
    found = result["families"]
    assert (found["n"], found["n_patterns"], found["n_unknown"]) == (3, 10, 0)
    assert found["top1"] == pytest.approx(1 / 3)
    assert found["top1_error"] == pytest.approx(1 / 3)  # of 1, 0, 0: deviation sqrt(1/3), over sqrt(3)
    assert found["top_k"] == pytest.approx([1 / 3, 1.0])
    assert found["top5"] == 1.0
    assert found["largest"][0] == {"space_group": 62, "n": 8, "top1": 1.0}
    half = evaluate(labels, CLASSES, top, np.full((10, 2), 0.5), np.where(labels == 62, families, 0))["families"]
    assert (half["n"], half["n_unknown"], half["top1"]) == (1, 2, 1.0)


def test_families_that_are_not_recorded_are_said_to_be_unknown() -> None:
    samples: Any = empty_samples(4)
    samples["space_group"] = [62, 62, 14, 1]
    labels = samples["space_group"].astype(np.int64)
    arrays: dict[str, NDArray[Any]] = {
        "labels": labels,
        "classes": CLASSES,
        "top": ranked(labels, [62, 33, 14, 2]),
        "top_probability": np.full((4, 2), 0.5),
        "samples": samples,
        "ids": encode_ids([f"AMCSD:{number}" for number in range(len(samples))]),
    }
    old = measure(arrays)
    assert old["families"] is None
    assert "per structure family: not known" in "\n".join(final_lines({"old": old}))
    samples["family"] = [1, 1, 2, 3]
    new = measure(arrays)
    assert (new["families"]["n"], new["families"]["top1"]) == (2, pytest.approx(0.75))
    assert "per structure family (2): top-1 75.0%" in "\n".join(final_lines({"new": new}))


def test_collections_apart_and_compounds_once() -> None:
    """Halite three times right, once from another collection; sylvite, which differs by composition alone, wrong."""
    samples: Any = empty_samples(6)
    samples["space_group"] = [225, 225, 225, 225, 62, 1]
    samples["family"] = [1, 1, 1, 1, 0, 5]
    samples["composition"][:, :2] = [(4, 4), (4, 4), (4, 4.001), (4, 3), (1, 0), (1, 1)]
    labels = samples["space_group"].astype(np.int64)
    arrays: dict[str, NDArray[Any]] = {
        "labels": labels,
        "classes": CLASSES,
        "top": ranked(labels, [225, 225, 225, 2, 2, 2]),
        "top_probability": np.full((6, 2), 0.5),
        "samples": samples,
        "ids": encode_ids(["AMCSD:1", "AMCSD:2", "MP:3", "MP:4", "MP:5", "MP:6"]),
    }
    found = measure(arrays)
    assert found["top1"] == pytest.approx(3 / 5)
    assert found["distinct"] == {"n": 2, "n_patterns": 4, "top1": pytest.approx(1 / 2), "top5": 1.0}
    assert found["collections"] == {
        "AMCSD": {"n": 2, "top1": 1.0, "top5": 1.0},
        "MP": {"n": 3, "top1": pytest.approx(1 / 3), "top5": 1.0},
    }
    lines = "\n".join(final_lines({"set": found}))
    assert "each compound once (2): top-1 50.0%   top-5 100.0%" in lines
    assert "MP alone (3): top-1 33.3%   top-5 100.0%" in lines
    samples["family"] = 0
    arrays["ids"] = encode_ids([f"MP:{number}" for number in range(6)])
    alone = measure(arrays)
    assert alone["distinct"] is None
    assert alone["collections"] == {}


def test_absences_and_what_they_leave_open() -> None:
    """Pnma and Pna2_1 share their absences, as do P-62m and P6/mmm; P2_1/c is alone among these classes."""
    labels = np.array([62, 62, 62, 33, 189, 14, 2])
    result = evaluate(labels, CLASSES, ranked(labels, [62, 33, 14, 33, 191, 14, 225]), np.full((7, 2), 0.5))
    found = result["extinction"]
    assert result["extinction_group"] == pytest.approx(5 / 7)
    assert found["top_k"] == pytest.approx([5 / 7, 1.0])
    assert (found["n_right"], found["within"]) == (5, pytest.approx(3 / 5))
    assert result["top1"] == pytest.approx(result["extinction_group"] * found["within"])
    assert found["within_top_k"] == pytest.approx([3 / 5, 1.0])
    assert (found["n_right_shared"], found["within_shared"]) == (4, pytest.approx(2 / 4))
    assert found["within_shared_by_frequency"] == pytest.approx(3 / 4)  # two of Pnma against one, and the one P-62m


def test_patterns_outside_the_classes_are_reported_apart() -> None:
    labels = np.array([1, 26, 221, 62])
    first = [2, 62, 225, 62]
    outside = evaluate(labels, CLASSES, ranked(labels, first), np.array([[0.3], [0.6], [0.9], [0.1]]).repeat(2, 1))
    assert outside["outside_classes"] == {
        "n": 3,
        "n_groups": 3,
        "crystal_system": 1.0,
        "extinction_group": pytest.approx(1 / 3),  # P1 read as P-1
        "probability": pytest.approx(0.6),
    }


def test_refused_patterns_are_no_answers() -> None:
    labels = np.array([62, 62])
    result = evaluate(labels, CLASSES, np.array([[62, 14], [0, 0]]), np.array([[0.9, 0.1], [0.0, 0.0]]))
    assert result["subgroup_distance"]["histogram"] == [1]


def test_the_way_from_an_answer_to_the_truth() -> None:
    labels = np.array([225, 62, 62, 225, 189, 62])
    result = evaluate(labels, CLASSES, ranked(labels, [225, 33, 14, 2, 191, 62]), np.full((6, 2), 0.5))
    found = result["subgroup_distance"]
    steps = distances()
    assert found["histogram"] == np.bincount([0, 1, 1, steps[225, 2], 1, 0]).tolist()
    assert found["mean_of_errors"] == pytest.approx((3 + steps[225, 2]) / 4)
    assert (found["to_subgroup"], found["to_supergroup"], found["klassengleich"]) == (2, 1, 0)
    others = [np.mean([steps[label, group] for group in CLASSES if group != label]) for label in (62, 62, 225, 189)]
    assert found["mean_of_random_errors"] == pytest.approx(np.mean(others))
    mirror = evaluate(np.array([152]), np.array([152, 154]), np.array([[154, 152]]), np.full((1, 2), 0.5))
    assert mirror["subgroup_distance"]["mirror_images"] == 1
    assert mirror["subgroup_distance"]["histogram"] == [0, 1]


def test_accuracy_by_descriptor() -> None:
    """Small cells right, large ones wrong; sites in whole numbers; a crystal without density factor is counted."""
    samples: Any = empty_samples(11)
    samples["space_group"] = [62] * 10 + [1]
    samples["volume"] = np.arange(100, 1200, 100)
    samples["n_sites"] = [1, 1, 1, 1, 1, 1, 2, 2, 3, 0, 4]
    samples["density_factor"] = [np.nan, *np.linspace(0.8, 1.2, 10)]
    labels = samples["space_group"].astype(np.int64)
    arrays: dict[str, NDArray[Any]] = {
        "labels": labels,
        "classes": CLASSES,
        "top": ranked(labels, [62] * 5 + [14] * 6),
        "top_probability": np.full((11, 2), 0.5),
        "samples": samples,
        "ids": encode_ids([f"AMCSD:{number}" for number in range(len(samples))]),
    }
    found = measure(arrays)["by_descriptor"]
    assert set(found) == {"volume", "n_sites", "density_factor", "crystallite_size"}
    volume = found["volume"]["bins"]
    assert sum(item["n"] for item in volume) == 10
    assert (volume[0]["from"], volume[-1]["to"], volume[0]["top1"], volume[-1]["top1"]) == (100.0, 1000.0, 1.0, 0.0)
    assert all(a["to"] == b["from"] for a, b in itertools.pairwise(volume))
    assert {item["top5"] for item in volume} == {1.0}
    sites = found["n_sites"]
    assert sites["n_unknown"] == 1
    assert [(item["from"], item["to"], item["n"]) for item in sites["bins"]] == [(1, 1, 6), (2, 2, 2), (3, 3, 1)]
    assert sites["bins"][0]["top1"] == pytest.approx(5 / 6)
    assert found["density_factor"]["n_unknown"] == 1
    assert found["crystallite_size"] == {"n_unknown": 10, "bins": []}


def test_few_patterns_leave_no_empty_bins() -> None:
    """Of two patterns the lowest quintiles are one value; nothing is averaged over nothing (warnings are errors)."""
    samples: Any = empty_samples(2)
    samples["space_group"], samples["volume"] = [62, 14], [100.0, 200.0]
    samples["crystallite_size"] = 50.0
    labels = samples["space_group"].astype(np.int64)
    arrays: dict[str, NDArray[Any]] = {
        "labels": labels,
        "classes": CLASSES,
        "top": ranked(labels, [62, 62]),
        "top_probability": np.full((2, 2), 0.5),
        "samples": samples,
        "ids": encode_ids([f"AMCSD:{number}" for number in range(len(samples))]),
    }
    found = measure(arrays)["by_descriptor"]
    for field in ("volume", "crystallite_size"):
        assert all(item["n"] > 0 for item in found[field]["bins"])
        assert sum(item["n"] for item in found[field]["bins"]) == 2


T_KNOWN = {
    225: {139, 166, 202, 209, 216},
    62: {11, 14, 19, 26, 31, 33},
    97: {22, 23, 79},
    194: {63, 163, 164, 176, 182, 186, 187, 190},
    2: {1},
}
"""International Tables A1: translationengleiche maximal subgroups (62: P2_1/m, P2_1/c, P2_12_12_1, three Pmn...)."""


def test_relations_of_the_international_tables() -> None:
    t, k = maximal_subgroups()
    for group, expected in T_KNOWN.items():
        assert set(np.flatnonzero(t[group]).tolist()) == expected, group
    assert set(np.flatnonzero(k[221]).tolist()) == {225, 226, 229}  # Pm-3m with doubled cells: Fm-3m, Fm-3c, Im-3m
    assert set(np.flatnonzero(k[229]).tolist()) == {221, 222, 223, 224}  # Im-3m without its centring
    assert not k[62].any()  # Pnma: isomorphic ones only
    steps = distances()
    assert (steps[225, 225], steps[225, 221], steps[225, 2]) == (0, 1, 3)  # Fm-3m > R-3m > C2/m > P-1
    assert all(steps[pair] == 1 for pair in ENANTIOMORPHIC_PAIRS)
    assert steps[1:, 1:].max() < 10
    assert (steps == steps.T).all()


def test_the_table_is_what_its_recipe_makes() -> None:
    assert SUBGROUPS_PATH.read_text() == table_text()


def test_another_table_says_the_same() -> None:
    """pyxtal's tables, made from the same server apart, lack I422 > F222 and agree in all else."""
    from pyxtal.symmetry import Group

    t, k = maximal_subgroups()
    differing = []
    for number in range(1, 231):
        group = Group(number)
        theirs = [
            set(found["subgroup"]) - {number} for found in (group.get_max_t_subgroup(), group.get_max_k_subgroup())
        ]
        mirrored = {other for pair in ENANTIOMORPHIC_PAIRS if number in pair for other in pair}
        ours = [set(np.flatnonzero(table[number]).tolist()) for table in (t, k)]
        differing += [(number, *sorted(a ^ b)) for a, b in zip(ours, theirs, strict=True) if (a ^ b) - mirrored]
    assert differing == [(97, 22)]


@cache
def maximal_subsets(table: tuple[tuple[int, ...], ...]) -> list[tuple[int, ...]]:
    """Return the maximal subgroups of a finite group with this multiplication table; element 0 is one."""

    def closure(elements: frozenset[int]) -> frozenset[int]:
        while True:
            grown = frozenset(table[a][b] for a in elements for b in elements) | elements
            if grown == elements:
                return elements
            elements = grown

    everything = frozenset(range(len(table)))
    found = {closure(frozenset({0, element})) for element in everything}
    new = set(found)
    while new:
        new = {closure(a | b) for a, b in itertools.product(new, found)} - found
        found |= new
    proper = found - {everything}
    return [tuple(sorted(a)) for a in proper if not any(a < b for b in proper)]


@pytest.mark.slow
def test_translationengleiche_subgroups_are_complete() -> None:
    """Every maximal subgroup of the point group, as a set of operations, is identified by spglib."""
    with SUBGROUPS_PATH.open(newline="") as stream:
        stated = {int(row["group"]): {int(group) for group in row["t"].split()} for row in csv.DictReader(stream)}
    for number in range(1, 231):
        symmetry: Any = spglib.get_symmetry_from_database(first_hall_number(number))
        rotations, translations = np.asarray(symmetry["rotations"]), np.asarray(symmetry["translations"])
        one_each = np.unique(rotations, axis=0)
        one_each = one_each[np.argsort(~(one_each == np.eye(3)).all(axis=(1, 2)), kind="stable")]
        index = {rotation.tobytes(): place for place, rotation in enumerate(one_each)}
        table = tuple(tuple(index[(a @ b).tobytes()] for b in one_each) for a in one_each)
        which = np.array([index[rotation.tobytes()] for rotation in rotations])
        found = set()
        for subset in maximal_subsets(table):
            chosen = np.isin(which, subset)
            record: Any = spglib.get_spacegroup_type_from_symmetry(rotations[chosen], translations[chosen])
            found.add(int(record.number))
        assert found == stated[number], number
        assert all(crystal_class(group) != crystal_class(number) for group in found)
