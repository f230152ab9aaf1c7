"""Which imperfections a diffractogram has, and by which laws their parameters are drawn.

A preset is a section of `data/imperfections.toml`; `parse_effects` switches effects off and on and reads files of the
same form. What each parameter means is in `effects.parameters`, how it acts in the other modules of `effects`.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError, MissingFileError
from xrdcommon.instrument import TABLE, Instrument
from xrdcommon.measurement import Measurement

from xrdgen.diffraction.effects.emission import SAME_WAVELENGTH
from xrdgen.diffraction.effects.parameters import MAX_IMPURITIES, RANGE_NAMES
from xrdgen.diffraction.effects.ranges import OFF, RANGE_COLUMNS, Range, nearest

PRESETS = ("pure", "s4", "s4-impurity", "measured")
"""`pure`: none. `s4`: the paper's S4 without impurity. `s4-impurity`: with one. `measured`: everything."""

VERSION = 1
"""Of the form of `to_dict`."""

EFFECTS: Mapping[str, tuple[str, ...]] = {
    "size": ("crystallite_size",),
    "strain": ("microstrain",),
    "caglioti": ("caglioti_u", "caglioti_v", "caglioti_w"),
    "peak-shape": ("thompson_cox_hastings", "lorentzian_fraction", "sample_lorentzian"),
    "asymmetry": ("axial_divergence",),
    "zero-shift": ("zero_shift",),
    "displacement": ("displacement",),
    "k-alpha-2": ("k_alpha_2",),
    "k-beta": ("k_beta",),
    "tungsten": ("tungsten",),
    "thermal": ("b_iso",),
    "texture": ("march_r",),
    "impurity": ("impurities", "impurity_fraction"),
    "background": ("background_level", "background_length"),
    "hump": ("hump_height", "hump_position", "hump_width"),
    "removal": ("background_removed", "residue", "residue_length", "residue_offset", "clipped"),
    "noise": ("noise_additive", "noise_counting", "noise_multiplicative"),
    "truncation": ("late_start", "early_end"),
}
"""Names of the switches, and what each switches."""


@dataclass(frozen=True, slots=True)
class Imperfections:
    """The laws of all parameters; the default is `pure`.

    Attributes:
        crystallite_size: nm; None: uniform between the sizes of the simulation's settings; 0: no broadening by size.
        microstrain: dimensionless, e of FWHM = 4 e tan(theta).
        caglioti_u: square degrees on the 2theta axis.
        caglioti_v: square degrees.
        caglioti_w: square degrees.
        thompson_cox_hastings: 1 where the share of the Lorentzian follows from the widths.
        lorentzian_fraction: that share otherwise, of the area; None: that of the simulation's settings.
        sample_lorentzian: Lorentzian share of the broadening by size and strain.
        axial_divergence: S/L = H/L.
        zero_shift: degrees 2theta.
        displacement: degrees 2theta at theta = 0.
        k_alpha_2: intensity over that of K-alpha 1.
        k_beta: the same.
        tungsten: the same, of tungsten's L-alpha 1.
        b_iso: Å^2.
        march_r: r of March and Dollase.
        impurities: probabilities of one, two and three impurities.
        impurity_fraction: of the maximum, each.
        background_level: mean, in units of the lines' maximum.
        background_length: degrees.
        hump_height: units of the lines' maximum.
        hump_position: degrees 2theta.
        hump_width: FWHM in degrees.
        background_removed: 1 where background and hump were subtracted after measuring.
        residue: standard deviation, units of the lines' maximum.
        residue_length: degrees.
        residue_offset: multiples of the additive noise by which less than the mean background was subtracted.
        clipped: 1 where points of patterns with removed background are not negative.
        noise_additive: standard deviation on the flat background, units of the lines' maximum.
        noise_counting: standard deviation at the maximum of the noise that grows with the root of the intensity, as a
            multiple of the additive one.
        noise_multiplicative: standard deviation relative to the intensity.
        late_start: degrees of the grid that were not measured at its beginning.
        early_end: the same at its end.

    Raises:
        InputError: a value that its parameter cannot have.

    """

    crystallite_size: Range | None = None
    microstrain: Range = OFF
    caglioti_u: Range = OFF
    caglioti_v: Range = OFF
    caglioti_w: Range = OFF
    thompson_cox_hastings: Range = OFF
    lorentzian_fraction: Range | None = None
    sample_lorentzian: Range = OFF
    axial_divergence: Range = OFF
    zero_shift: Range = OFF
    displacement: Range = OFF
    k_alpha_2: Range = OFF
    k_beta: Range = OFF
    tungsten: Range = OFF
    b_iso: Range = OFF
    march_r: Range = OFF
    impurities: tuple[float, float, float] = (0.0, 0.0, 0.0)
    impurity_fraction: Range = OFF
    background_level: Range = OFF
    background_length: Range = OFF
    hump_height: Range = OFF
    hump_position: Range = OFF
    hump_width: Range = OFF
    background_removed: Range = OFF
    residue: Range = OFF
    residue_length: Range = OFF
    residue_offset: Range = OFF
    clipped: Range = OFF
    noise_additive: Range = OFF
    noise_counting: Range = OFF
    noise_multiplicative: Range = OFF
    late_start: Range = OFF
    early_end: Range = OFF

    def __post_init__(self) -> None:
        for name, (smallest, largest) in LIMITS.items():
            value = getattr(self, name)
            if value is not None and not value.off:
                low, high = value.bounds()
                if not (smallest <= low and high <= largest):
                    raise InputError(f"{name} {value}: values must be {smallest:g} to {largest:g}")
        probabilities = self.impurities
        if len(probabilities) != MAX_IMPURITIES or not (
            all(0.0 <= p <= 1.0 for p in probabilities) and sum(probabilities) <= 1.0 + 1e-9
        ):
            raise InputError(
                f"impurities {list(probabilities)}: give the probabilities of one, two and three impurities"
            )
        if any(p > 0.0 for p in probabilities) and self.impurity_fraction.off:
            raise InputError("impurities without an impurity_fraction; give both or neither")
        for name, companion in (
            ("background_level", "background_length"),
            ("residue", "residue_length"),
            ("hump_height", "hump_width"),
        ):
            if not getattr(self, name).off and getattr(self, companion).off:
                raise InputError(f"{name} without {companion}; give both or neither")

    @classmethod
    def preset(cls, name: str) -> Imperfections:
        """Return a preset.

        Raises:
            InputError: no such preset.

        """
        if name not in PRESETS:
            raise InputError(f"preset '{name}': did you mean '{nearest(name, PRESETS)}'? One of {', '.join(PRESETS)}")
        return _presets()[name]

    def has(self, effect: str) -> bool:
        """Whether an effect of `EFFECTS` is switched on (not whether a pattern has it)."""
        neutral = Imperfections()
        return any(getattr(self, name) != getattr(neutral, name) for name in EFFECTS[effect])

    @property
    def effects(self) -> tuple[str, ...]:
        """Names of the effects that are switched on."""
        return tuple(effect for effect in EFFECTS if self.has(effect))

    def without(self, effect: str) -> Imperfections:
        """Return the same with one effect switched off.

        Raises:
            InputError: no such effect.

        """
        return self._with_those_of(effect, Imperfections())

    def with_measured(self, effect: str) -> Imperfections:
        """Return the same with one effect as `measured` has it.

        Raises:
            InputError: no such effect.

        """
        return self._with_those_of(effect, Imperfections.preset("measured"))

    def _with_those_of(self, effect: str, other: Imperfections) -> Imperfections:
        if effect not in EFFECTS:
            raise InputError(
                f"effect '{effect}': did you mean '{nearest(effect, EFFECTS)}'? One of {', '.join(EFFECTS)}"
            )
        return replace(self, **{name: getattr(other, name) for name in EFFECTS[effect]})

    @property
    def shortest_length(self) -> float:
        """Shortest length scale (degrees) of background and residue, for `background_tables`; 40 without either."""
        lengths = (self.background_length, self.residue_length)
        return min((length.bounds()[0] for length in lengths if not length.off), default=40.0)

    def ranges(self, size_min: float, size_max: float, lorentzian_fraction: float = 0.0) -> NDArray[np.float64]:
        """Return the table (`RANGE_NAMES`, `RANGE_COLUMNS`) by which kernels draw.

        Args:
            size_min: smallest crystallite size of the settings, nm.
            size_max: largest.
            lorentzian_fraction: of the settings.

        """
        table = np.zeros((len(RANGE_NAMES), RANGE_COLUMNS))
        for row, name in enumerate(RANGE_NAMES):
            value = getattr(self, name)
            if name == "impurities":
                table[row, 1 : 1 + MAX_IMPURITIES] = value
            elif value is None:
                own = name == "crystallite_size"
                law = Range("uniform", size_min, size_max) if own else Range("fixed", lorentzian_fraction)
                table[row] = law.row()
            else:
                table[row] = value.row()
        return table

    def to_dict(self) -> dict[str, Any]:
        """Return what differs from `pure`, as JSON values."""
        neutral = Imperfections()
        values: dict[str, Any] = {"version": VERSION}
        for field in fields(self):
            value = getattr(self, field.name)
            if value != getattr(neutral, field.name):
                values[field.name] = list(value) if isinstance(value, tuple) else value.to_dict()
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "imperfections") -> Imperfections:
        """Read back what `to_dict` wrote, or a section of a file; `base` names a preset to begin with.

        Raises:
            InputError: another version, an unknown name, a wrong value.

        """
        version = values.get("version", VERSION)
        if version != VERSION:
            raise InputError(f"{where}: version {version}, this xrdstream reads {VERSION}; take the one that wrote it")
        base = cls.preset(str(values["base"])) if "base" in values else cls()
        return base.changed({name: value for name, value in values.items() if name not in ("version", "base")}, where)

    def changed(self, values: Mapping[str, Any], where: str) -> Imperfections:
        """Return the same with parameters replaced.

        Args:
            values: by name, as in a file.
            where: named in messages.

        Raises:
            InputError: an unknown name, a wrong value.

        """
        known = [field.name for field in fields(self)]
        changes: dict[str, Any] = {}
        for name, value in values.items():
            if name not in known:
                raise InputError(f"{where}: unknown '{name}'; did you mean '{nearest(name, known)}'?")
            if name == "impurities":
                if not isinstance(value, list | tuple) or not all(
                    isinstance(p, int | float) and not isinstance(p, bool) for p in value
                ):
                    raise InputError(f"{where}: impurities: must be the probabilities of one, two and three")
                changes[name] = tuple(float(p) for p in value)
            else:
                changes[name] = Range.from_value(value, f"{where}: {name}")
        return replace(self, **changes)


LIMITS: Mapping[str, tuple[float, float]] = {
    "crystallite_size": (0.0, 1e5),
    "microstrain": (0.0, 0.1),
    "caglioti_u": (0.0, 10.0),
    "caglioti_v": (-10.0, 10.0),
    "caglioti_w": (0.0, 10.0),
    "thompson_cox_hastings": (0.0, 1.0),
    "lorentzian_fraction": (0.0, 1.0),
    "sample_lorentzian": (0.0, 1.0),
    "axial_divergence": (0.0, 0.2),
    "zero_shift": (-5.0, 5.0),
    "displacement": (-5.0, 5.0),
    "k_alpha_2": (0.0, 1.0),
    "k_beta": (0.0, 1.0),
    "tungsten": (0.0, 1.0),
    "b_iso": (0.0, 100.0),
    "march_r": (0.05, 20.0),
    "impurity_fraction": (0.0, 1.0 / MAX_IMPURITIES),
    "background_level": (0.0, 100.0),
    "background_length": (1.0, 1000.0),
    "hump_height": (0.0, 100.0),
    "hump_position": (-180.0, 360.0),
    "hump_width": (2.0, 360.0),
    "background_removed": (0.0, 1.0),
    "residue": (0.0, 10.0),
    "residue_length": (1.0, 1000.0),
    "residue_offset": (-100.0, 100.0),
    "clipped": (0.0, 1.0),
    "noise_additive": (0.0, 10.0),
    "noise_counting": (0.0, 100.0),
    "noise_multiplicative": (0.0, 10.0),
    "late_start": (0.0, 180.0),
    "early_end": (0.0, 180.0),
}
"""Smallest and largest value that a law may draw."""


@cache
def _presets() -> dict[str, Imperfections]:
    """Read the presets; each may begin with one above it."""
    text = resources.files("xrdgen").joinpath("data", "imperfections.toml").read_text(encoding="utf-8")
    presets: dict[str, Imperfections] = {}
    for name, section in tomllib.loads(text).items():
        base = presets[section.pop("base")] if "base" in section else Imperfections()
        presets[name] = base.changed(section, f"imperfections.toml: {name}")
    return presets


def parse_effects(text: str, base: Imperfections, measurement: Measurement | None = None) -> Imperfections:
    """Change imperfections as a user says: "no-texture,no-impurity", or a TOML or JSON file.

    `no-NAME` switches an effect off, `NAME` switches it on as `measured` has it, in the order written. A file names
    parameters and their laws (the form of `data/imperfections.toml`); with `base = "PRESET"` it starts from that
    preset instead. A table `[instrument]` (`xrdcommon.instrument`) says for which radiation the laws hold, and which
    range that instrument measures: what of the grid lies outside is not measured, unless the file says otherwise.

    Args:
        text: a comma-separated list, or the name of a file that ends in .toml or .json.
        base: what is changed.
        measurement: grid and wavelength of the patterns; None: the defaults.

    Raises:
        MissingFileError: no such file.
        InputError: an unknown effect, parameter or value; an instrument of another radiation.

    """
    path = Path(text)
    if path.suffix.lower() in (".toml", ".json"):
        return _from_file(path, base, measurement or Measurement())
    for name in filter(None, (part.strip() for part in text.split(","))):
        base = base.without(name.removeprefix("no-")) if name.startswith("no-") else base.with_measured(name)
    return base


def _from_file(path: Path, base: Imperfections, measurement: Measurement) -> Imperfections:
    """Read a file of laws; see `parse_effects`."""
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file of effects; give its path, or a list such as no-texture,no-noise")
    try:
        content = path.read_text(encoding="utf-8")
        values = json.loads(content) if path.suffix.lower() == ".json" else tomllib.loads(content)
    except ValueError as error:
        raise InputError(f"{path}: not readable as {path.suffix[1:].upper()}: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: must be a table of parameters and their laws")
    if TABLE in values:
        instrument = Instrument.from_dict(values.pop(TABLE), str(path))
        values = _unmeasured(instrument, measurement, path) | values
    if "base" in values or "version" in values:
        return Imperfections.from_dict(values, str(path))
    return base.changed(values, str(path))


def _unmeasured(instrument: Instrument, measurement: Measurement, path: Path) -> dict[str, float]:
    """Return the laws of what an instrument does not measure of a grid.

    Raises:
        InputError: the instrument has another radiation, or measures nothing of the grid.

    """
    if abs(instrument.wavelength / measurement.wavelength - 1.0) > SAME_WAVELENGTH:
        raise InputError(
            f"{path}: fitted to an instrument of {instrument.wavelength:g} Å, the patterns are of "
            f"{measurement.wavelength:g} Å; give --wavelength {instrument.wavelength:g}"
        )
    grid = measurement.grid
    late = max(instrument.first - grid.two_theta_min, 0.0)
    early = max(grid.two_theta_max - instrument.last, 0.0)
    if late + early > 0.8 * (grid.two_theta_max - grid.two_theta_min):
        raise InputError(
            f"{path}: an instrument that measures {instrument.first:g} to {instrument.last:g} degrees sees less than a "
            f"fifth of {grid}; give another range"
        )
    return {"late_start": late, "early_end": early}
