"""The networks that come with the package: small, described, and as good as their cards say."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from xrdtrain.inference.bundle import place_of, read_bundle, shipped
from xrdtrain.inference.describe import describe, lines
from xrdtrain.inference.load import load_run

LARGEST = 8_000_000
"""Bytes of a file."""

WITHIN = 0.005
"""How far a share may be from that of the card: other processors round bfloat16 in other ways."""


def test_both_networks_are_there() -> None:
    assert shipped() == ["embedded:measured", "embedded:pure"]


@pytest.mark.parametrize("name", shipped())
def test_a_network_is_small_and_has_all_that_an_answer_needs(name: str) -> None:
    assert place_of(name).stat().st_size <= LARGEST
    bundle = read_bundle(name)
    assert bundle.calibration is not None
    assert bundle.gate is not None
    assert bundle.counts is not None
    groups = set(bundle.counts.nonzero()[0].tolist())
    assert groups <= set(bundle.spec.classes)
    for key in ("trained_on", "input", "accuracy", "limits", "commands", "cite", "licence"):
        assert bundle.card[key], key
    assert all(command.startswith(("xrdgen ", "xrdtrain ")) for command in bundle.card["commands"])
    assert not [value for value in asdict(bundle.config).values() if "/" in str(value)], (
        "the file names places of the machine it was made on"
    )


@pytest.mark.parametrize("name", shipped())
def test_its_card_can_be_read(name: str, run_command: Any) -> None:
    text = run_command("xrdtrain", "models", name).stdout
    run = load_run(name)
    assert text == "\n".join(lines(name, describe(run))) + "\n"
    assert f"{run.samples:,} samples" in text
    assert f"{len(run.spec.classes)} space groups" in text
    content = json.loads(run_command("xrdtrain", "models", name, "--json").stdout)
    assert content["card"] == read_bundle(name).card
    assert name in run_command("xrdtrain", "models").stdout


def test_the_network_for_ideal_patterns_is_as_good_as_its_card_says(run_command: Any) -> None:
    """On the real structures of unseen families that come with the package."""
    done = run_command("xrdtrain", "evaluate", "embedded:pure", "--test", "amcsd=embedded", "--json")
    found = json.loads(done.stdout)["amcsd"]
    (said,) = [entry for entry in read_bundle("embedded:pure").card["accuracy"] if entry.get("name") == "amcsd"]
    assert found["n"] - found["n_outside_classes"] == said["n"]
    assert found["top1"] == pytest.approx(said["top1"], abs=WITHIN)
    assert found["top5"] == pytest.approx(said["top5"], abs=WITHIN)


def test_without_a_run_named_measured_patterns_are_answered(run_command: Any, tmp_path: Path) -> None:
    """Rock salt as an instrument would see it: shifts, noise, K-alpha 2, its own wavelength in the header."""
    (tmp_path / "NaCl.cif").write_text(ROCK_SALT)
    simulated = run_command(
        "xrdgen", "simulate", "NaCl.cif", "--preset", "measured", "--effects", "no-impurity,no-texture",
        "--seed", "3", "--out", "salt.xy", cwd=tmp_path,
    )  # fmt: skip
    assert simulated.returncode == 0, simulated.stderr
    done = run_command("xrdtrain", "predict", "salt.xy", "--wavelength", "CuKa", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)
    assert 225 in [candidate["space_group"] for candidate in answer["candidates"][:5]]


ROCK_SALT = """data_NaCl
_cell_length_a 5.6402
_cell_length_b 5.6402
_cell_length_c 5.6402
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_IT_number 225
_space_group_name_H-M_alt 'F m -3 m'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Na1 Na 0 0 0
Cl1 Cl 0.5 0.5 0.5
"""
