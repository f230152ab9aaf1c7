"""Experiment files: what they may say, what is refused, and the commands that follow from them."""

from __future__ import annotations

import math
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from xrdcommon.errors import FormatError, InputError, MissingFileError
from xrdgen.diffraction.imperfections import EFFECTS, Imperfections, parse_effects
from xrdtrain.experiments.commands import list_lines, parse_changes
from xrdtrain.experiments.experiment import load, parse, shipped
from xrdtrain.experiments.outcome import interval
from xrdtrain.experiments.plan import plan
from xrdtrain.models import get_preset
from xrdtrain.models.options import OPTIONS, with_options

PAPER = {
    ("direct-random-split", "park-medium"): {"real": 83.2, "fresh": 88.4},
    ("direct-structure-type-split", "park-medium"): {"real": 55.9, "fresh": 90.9},
    ("direct-structure-type-split", "park-big"): {"real": 56.1, "fresh": 87.2},
    ("synthetic", "park-big"): {"real": 57.7, "fresh": 74.2},
    ("synthetic", "resnet-10"): {"real": 73.4, "fresh": 87.2},
    ("synthetic", "resnet-50"): {"real": 79.3, "fresh": 91.8},
    ("synthetic", "resnet-101"): {"real": 79.9, "fresh": 92.2},
    ("randomised-sets", "resnet-101"): {"real": 79.9, "fresh": 92.2},
    ("s4", "s4-impurity"): {"rruff": 25.2},
}
"""Accuracies of table 1, of tests and of the data trained on, and that of section 3.2 on measured patterns, percent."""


def content(**changes: Any) -> dict[str, Any]:
    arm = {"name": "one", "produce": "--crystals paper", "fit": "--samples {samples}", "tests": ["real=test.zarr"]}
    step = {"name": "freeze", "run": "xrdgen freeze {table} --out test.zarr", "makes": "test.zarr/zarr.json"}
    base = {
        "title": "t",
        "about": "a",
        "values": {"table": "embedded:amcsd", "more": ""},
        "scaled": {"samples": {"value": 1000, "least": 64}},
        "step": [step],
        "arm": [arm],
    }
    return {**base, **changes}


@pytest.mark.parametrize("name", shipped())
def test_shipped_experiments_make_commands_that_the_programs_know(name: str) -> None:
    """Every option of every command is one that the program has."""
    import typer
    import xrdgen.cli
    import xrdtrain.cli

    apps = {"xrdgen": typer.main.get_command(xrdgen.cli.app), "xrdtrain": typer.main.get_command(xrdtrain.cli.app)}

    def check(words: tuple[str, ...]) -> None:
        command: Any = apps[words[0]]
        rest = list(words[1:])
        while hasattr(command, "commands"):
            command = command.commands[rest.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts}
        for word in rest:
            if word.startswith("--") and " " not in word:
                assert word.partition("=")[0] in known, f"{' '.join(words)}: {word}"
        if "--produce-options" in rest:
            produce = apps["xrdgen"].commands["produce"]  # type: ignore[attr-defined]
            known = {option for parameter in produce.params for option in parameter.opts}
            for word in shlex.split(rest[rest.index("--produce-options") + 1]):
                assert not word.startswith("--") or word in known, word

    experiment = load(name)
    tasks = plan(experiment, experiment.resolve({}, 1.0), workers=2).tasks
    assert tasks
    for task in tasks:
        check(task.command)
    makes = [task.makes for task in tasks]
    assert len(set(makes)) == len(makes)


def test_the_figures_of_the_paper_stand_beside_the_arms() -> None:
    found = {(name, arm): value for name in shipped() for arm, value in load(name).published.items()}
    assert found == PAPER


def test_a_published_number_alone_is_that_of_every_test_set() -> None:
    tests = {"tests": ["real=test.zarr", "more? other={more}"], "measured": ["more? field={more}"]}
    experiment = parse("mine", content(arm=[{**content()["arm"][0], **tests}], published={"one": 50}), "mine.toml")
    assert experiment.published == {"one": {"real": 50.0, "other": 50.0, "field": 50.0}}


def test_every_option_of_training_has_an_arm_that_changes_its_network_or_recipe() -> None:
    """But for the weight of the heads, which says nothing without them."""
    experiment = load("options")
    words = {arm.name: shlex.split(arm.fit) for arm in experiment.arm}
    given = {name: word[word.index("--option") + 1] for name, word in words.items() if "--option" in word}
    assert words.keys() - given.keys() == {"base", "resnet-base"}
    assert sorted(given.values()) == sorted(OPTIONS.keys() - {"head-weight"})
    for name, option in given.items():
        place = words[name][words[name].index("--model") + 1].strip("{}")
        preset = get_preset(experiment.values[place])
        assert with_options(preset, (option,)) != preset
    assert {arm.produce for arm in experiment.arm} == {experiment.arm[0].produce}


def test_every_arm_of_the_imperfections_leaves_out_what_it_says() -> None:
    """One effect each, by what the producer makes of its options; all effects of `measured` but size and shape."""
    arms = {arm.name: shlex.split((arm.produce or "").replace("{grid?}", "")) for arm in load("measured-study").arm}
    presets = {name: words[words.index("--preset") + 1] for name, words in arms.items()}
    whole = dict.fromkeys(("pure", "s4", "s4-impurity", "measured"))
    assert [presets[name] for name in whole] == list(whole)
    full, left_out = Imperfections.preset("measured"), set()
    for name, words in arms.items():
        if name in whole:
            assert "--effects" not in words
            continue
        assert presets[name] == "measured"
        given = words[words.index("--effects") + 1]
        made = parse_effects(given, full)
        changed = {field.name for field in fields(full) if getattr(made, field.name) != getattr(full, field.name)}
        effects = {word.removeprefix("no-") for word in given.split(",")}
        assert changed
        assert changed <= {parameter for effect in effects for parameter in EFFECTS[effect]}
        assert all(changed & set(EFFECTS[effect]) for effect in effects)
        assert not left_out & effects
        left_out |= effects
    assert left_out == EFFECTS.keys() - {"size", "peak-shape"}


def test_lengths_of_the_trainings_are_those_of_the_paper() -> None:
    """1000 and 2000 epochs of 130,500 diffractograms (S2.2)."""
    numbers = load("synthetic").resolve({}, 1.0)
    assert numbers["samples_park"] == str(1000 * 130_500)
    assert numbers["samples_resnet"] == str(2000 * 130_500)
    assert load("synthetic").resolve({}, 1e-9)["samples_resnet"] == "1450"
    for name in ("synthetic-uniform", "randomised-sets"):
        assert load(name).resolve({}, 1.0)["samples_resnet"] == str(2000 * 130_500)
    assert load("s4").resolve({}, 1.0)["samples"] == str(1000 * 130_500)


def test_the_networks_are_those_of_the_paper() -> None:
    """Sections 2.5, 3.3 and S4: ResNet-101 on the randomised sets, ResNet-50 for measured patterns."""
    for name, networks in (
        ("direct-random-split", ["park-medium"]),
        ("direct-structure-type-split", ["park-medium", "park-big"]),
        ("synthetic", ["park-big", "resnet-10", "resnet-50", "resnet-101"]),
        ("synthetic-uniform", ["resnet-50"]),
        ("randomised-sets", ["resnet-101"]),
        ("s4", ["resnet-50", "resnet-50"]),
    ):
        experiment = load(name)
        tasks = plan(experiment, experiment.resolve({}, 1.0), 1).tasks
        fits = [task.command for task in tasks if task.arm is not None]
        assert [command[command.index("--model") + 1] for command in fits] == networks


def test_list_names_every_experiment() -> None:
    assert [line.split()[0] for line in list_lines()] == list(shipped())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": []}, "unknown key 'arms'; did you mean arm"),
        ({"title": 3}, "title must be text"),
        ({"arm": []}, "no \\[\\[arm\\]\\]"),
        ({"arm": {"name": "x"}}, "must be written as \\[\\[arm\\]\\]"),
        ({"scaled": {"samples": 1.5}}, "whole number"),
        ({"scaled": {"samples": {"value": 3, "leest": 1}}}, "unknown key 'leest'; did you mean least"),
        ({"scaled": {"samples": {"value": -3}}}, "positive whole numbers"),
        ({"values": {"table": [1]}}, "must be text or a number"),
        ({"published": {"on": 3}}, "\\[published\\] on is no arm; did you mean one"),
        ({"published": {"one": {"reel": 3}}}, "\\[published\\] one: reel is no test set of the arm; did you mean real"),
        ({"published": {"one": {"real": "3"}}}, "\\[published\\] one real: must be a number"),
        ({"step": [{"name": "a", "run": "xrdgen x", "makes": "y", "needs": "z"}]}, "unknown key 'needs'"),
        ({"step": [{"name": "a", "run": "xrdgen x"}]}, "'makes' is missing"),
        ({"step": [{"name": "one", "run": "xrdgen x", "makes": "y"}]}, "the name one is used twice"),
        ({"step": [{"name": "a", "run": "xrdgen x", "makes": "y", "when": "mor"}]}, "no value; did you mean more"),
        ({"step": [{"name": "A b", "run": "xrdgen x", "makes": "y"}]}, "small letters"),
    ],
)
def test_what_a_file_must_not_say_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse("mine", content(**changes), "mine.toml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "train.zarr"}, "needs either source"),
        ({"produce": None}, "needs either source"),
        ({"seeds": [1.5]}, "whole numbers"),
        ({"seeds": []}, "whole numbers"),
        ({"tests": "real=test.zarr"}, "list of NAME=PATH"),
        ({"epochs": "3"}, "unknown key 'epochs'"),
    ],
)
def test_what_an_arm_must_not_say_is_named(change: dict[str, Any], message: str) -> None:
    arm = {key: value for key, value in {**content()["arm"][0], **change}.items() if value is not None}
    with pytest.raises(FormatError, match=message):
        parse("mine", content(arm=[arm]), "mine.toml")


def test_only_commands_of_the_project_are_run_and_only_below_the_folder() -> None:
    for run, makes, message in (
        ("rm -rf table", "y", "only xrdgen and xrdtrain may be run"),
        ("xrdgen freeze t --out y", "../y", "not below the folder"),
        ("xrdgen freeze t --out y", "/tmp/y", "not below the folder"),
        ("xrdgen freeze {tabel}", "y", "did you mean table"),
    ):
        experiment = parse("mine", content(step=[{"name": "a", "run": run, "makes": makes}]), "mine.toml")
        with pytest.raises(FormatError, match=message):
            plan(experiment, experiment.resolve({}, 1.0), 1)


def test_values_reach_the_commands(tmp_path: Path) -> None:
    odd = tmp_path / "two words.parquet"
    odd.touch()
    arm = {**content()["arm"][0], "tests": ["real=test.zarr", "more? other={more}"], "seeds": [0, 4]}
    experiment = parse("mine", content(arm=[arm]), "mine.toml")
    changes = parse_changes([f"table={odd}"])
    tasks = plan(experiment, experiment.resolve(changes, 0.5), 3).tasks
    assert [task.name for task in tasks] == ["freeze", "one-0", "one-4"]
    assert tasks[0].command == ("xrdgen", "freeze", str(odd), "--out", "test.zarr")
    fit = tasks[2].command
    assert fit[:3] == ("xrdtrain", "fit", "spools/one-4")
    assert fit[fit.index("--produce") + 1] == "3"
    assert fit[fit.index("--produce-options") + 1] == "--crystals paper --seed 5"
    assert fit[fit.index("--samples") + 1] == "500"
    assert fit.count("--test") == 1
    tasks = plan(experiment, experiment.resolve({**changes, "more": "x.zarr"}, 0.5), 3).tasks
    assert tasks[1].command.count("--test") == 2


def test_arms_take_turns_and_measured_patterns_follow_their_training() -> None:
    """A study that is stopped early has compared all arms; a measurement stands behind its own training."""
    one = {**content()["arm"][0], "seeds": [0, 1], "measured": ["more? field={more}"], "evaluate": "--background none"}
    two = {**content()["arm"][0], "name": "two"}
    experiment = parse("mine", content(arm=[one, two], step=[]), "mine.toml")
    assert [task.name for task in plan(experiment, experiment.resolve({}, 1.0), 1).tasks] == ["one-0", "two-0", "one-1"]
    tasks = plan(experiment, experiment.resolve({"more": "field.npz"}, 1.0), 1).tasks
    assert [task.name for task in tasks] == ["one-0", "one-0-measured", "two-0", "one-1", "one-1-measured"]
    words = ("xrdtrain", "evaluate", "runs/one-0", "--background", "none", "--test", "field=field.npz")
    assert tasks[1].command == words
    assert (tasks[1].after, tasks[1].makes) == ("one-0", "runs/one-0/evaluation/measured/field.json")


def test_steps_without_their_value_are_left_out_and_needed_ones_asked_for() -> None:
    step = {"name": "other", "run": "xrdgen freeze {more} --out other.zarr", "makes": "other.zarr", "when": "more"}
    experiment = parse("mine", content(step=[step]), "mine.toml")
    found = plan(experiment, experiment.resolve({}, 1.0), 1)
    assert found.left_out == ("step other (no more)",)
    needed = parse("mine", content(step=[{**step, "when": "table"}]), "mine.toml")
    with pytest.raises(InputError, match="needs more; give it with --set more="):
        plan(needed, needed.resolve({}, 1.0), 1)


@pytest.mark.parametrize("changes", [["samples"], ["=3"], ["a=1", "a=2"]])
def test_changes_are_names_with_values(changes: list[str]) -> None:
    with pytest.raises(InputError, match="--set"):
        parse_changes(changes)


def test_unknown_experiments_are_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean synthetic"):
        load("synthetik")
    with pytest.raises(MissingFileError):
        load(str(tmp_path / "none.toml"))
    (tmp_path / "bad.toml").write_text("title = ")
    with pytest.raises(FormatError, match="not TOML"):
        load(str(tmp_path / "bad.toml"))
    with pytest.raises(InputError, match="no such value; did you mean table"):
        parse("mine", content(), "mine.toml").resolve({"tabel": "x"}, 1.0)
    for scale in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(InputError, match="--scale"):
            parse("mine", content(), "mine.toml").resolve({}, scale)


def test_intervals_are_those_of_the_books() -> None:
    """Wilson's interval of 8 in 10 (Newcombe, Stat. Med. 17 (1998) 857: .4902 to .9433); Student's of three numbers."""
    assert interval([0.8], 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    low, high = interval([0.5, 0.6, 0.7], 100)
    assert (low, high) == pytest.approx((0.6 - 4.302653 * 0.1 / 3**0.5, 0.6 + 4.302653 * 0.1 / 3**0.5), abs=1e-6)
    assert all(math.isnan(end) for end in interval([0.5], 0))
