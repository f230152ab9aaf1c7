"""Presets, switches and files: what is understood, and what is said of what is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from xrdcommon.errors import InputError, MissingFileError
from xrdgen.diffraction.effects.ranges import OFF, Range
from xrdgen.diffraction.imperfections import EFFECTS, PRESETS, Imperfections, parse_effects


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_read_and_survive_the_record(name: str) -> None:
    preset = Imperfections.preset(name)
    stored = json.loads(json.dumps(preset.to_dict()))
    assert Imperfections.from_dict(stored) == preset


def test_what_each_preset_has() -> None:
    assert Imperfections.preset("pure") == Imperfections()
    assert Imperfections.preset("pure").effects == ()
    s4 = Imperfections.preset("s4")
    assert s4.effects == ("size", "caglioti", "peak-shape", "k-alpha-2", "background", "noise")
    assert s4.crystallite_size == Range("fixed", 0.0)  # no Scherrer width
    assert (s4.caglioti_u, s4.caglioti_v) == (Range("uniform", 0.0, 0.01), OFF)
    with_impurity = Imperfections.preset("s4-impurity")
    assert with_impurity.without("impurity") == s4
    assert with_impurity.impurity_fraction == Range("uniform", 0.0, 0.05)
    assert Imperfections.preset("measured").effects == tuple(EFFECTS)


def test_every_parameter_belongs_to_one_switch() -> None:
    named = [name for names in EFFECTS.values() for name in names]
    assert sorted(named) == sorted(Imperfections.__dataclass_fields__)


def test_switches() -> None:
    measured = Imperfections.preset("measured")
    changed = parse_effects("no-texture, no-impurity", measured)
    assert set(measured.effects) - set(changed.effects) == {"texture", "impurity"}
    added = parse_effects("zero-shift,noise", Imperfections())
    assert added.effects == ("zero-shift", "noise")
    assert added.zero_shift == measured.zero_shift
    assert parse_effects("noise,no-noise", Imperfections()) == Imperfections()
    assert parse_effects("", measured) == measured


@pytest.mark.parametrize("suffix", ["toml", "json"])
def test_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"mine.{suffix}"
    if suffix == "toml":
        path.write_text(
            'zero_shift = { law = "normal", mean = 0.0, sd = 0.1, low = -0.3, high = 0.3 }\nk_alpha_2 = 0.47\n'
        )
    else:
        path.write_text(json.dumps({"zero_shift": {"law": "normal", "mean": 0, "sd": 0.1, "low": -0.3, "high": 0.3},
                                    "k_alpha_2": 0.47}))  # fmt: skip
    changed = parse_effects(str(path), Imperfections.preset("s4"))
    assert changed.zero_shift == Range("normal", 0.0, 0.1, low=-0.3, high=0.3)
    assert changed.k_alpha_2 == Range("fixed", 0.47)
    assert changed.noise_additive == Imperfections.preset("s4").noise_additive
    path.write_text('base = "measured"\nb_iso = 1.0\n' if suffix == "toml" else '{"base": "measured", "b_iso": 1.0}')
    from_measured = parse_effects(str(path), Imperfections.preset("s4"))
    assert from_measured == Imperfections.preset("measured").changed({"b_iso": 1.0}, "here")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("zero_shfit = 0.1", "unknown 'zero_shfit'; did you mean 'zero_shift'"),
        ('b_iso = { law = "lognormal", median = 1, sd = 1 }', "law 'lognormal': did you mean 'log-normal'"),
        ('b_iso = { law = "log-normal", median = 1, sigma = 1 }', "log-normal has no 'sigma'"),
        ('b_iso = { law = "log-normal", median = 1 }', "log-normal needs sd"),
        ('b_iso = { law = "log-normal", median = 1, sd = 0.5 }', "b_iso .* must be 0 to 100"),
        ('b_iso = { law = "uniform", low = 2, high = 1 }', "low must not be above high"),
        ('b_iso = { law = "uniform", low = -2, high = 1 }', "must be 0 to 100"),
        ('b_iso = { law = "log-uniform", low = 0, high = 1 }', "low must be positive"),
        ('b_iso = { law = "normal", mean = 5, sd = 1, low = 6, high = 7 }', "must hold 5"),
        ("b_iso = { value = 1, share = 2 }", "share must be 0 to 1"),
        ('b_iso = "much"', "'much' is not a range"),
        ("b_iso = true", "True is not a range"),
        ("b_iso = { value = nan }", "must be finite"),
        ("impurities = [0.5, 0.6, 0.1]", "probabilities of one, two and three"),
        ("impurities = [0.5]\nimpurity_fraction = 0.1", "probabilities of one, two and three"),
        ("impurities = 1", "probabilities of one, two and three"),
        ("impurities = [1, 0, 0]", "without an impurity_fraction"),
        ("background_level = 0.1", "background_level without background_length"),
        ("version = 99", "version 99"),
        ('base = "mesured"', "did you mean 'measured'"),
        ("b_iso = = 2", "not readable as TOML"),
    ],
)
def test_mistakes_in_files_are_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        parse_effects(str(path), Imperfections())


def test_other_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="effect 'textur': did you mean 'texture'"):
        parse_effects("no-textur", Imperfections.preset("measured"))
    with pytest.raises(InputError, match="preset 's5': did you mean 's4'"):
        Imperfections.preset("s5")
    with pytest.raises(MissingFileError, match=r"none\.toml"):
        parse_effects(str(tmp_path / "none.toml"), Imperfections())
    bad = tmp_path / "list.json"
    bad.write_text("[1]")
    with pytest.raises(InputError, match="must be a table"):
        parse_effects(str(bad), Imperfections())


def test_shortest_length_scale() -> None:
    assert Imperfections.preset("measured").shortest_length == 7.0
    assert Imperfections().shortest_length == 40.0
    shorter = Imperfections.preset("measured").changed(
        {"residue_length": {"law": "uniform", "low": 3.0, "high": 9.0}}, "here"
    )
    assert shorter.shortest_length == 3.0
