"""Settings of the crystal generator."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from xrdcommon.errors import InputError
from xrdcommon.space_groups import check_group

from xrdgen.structures.types import WeightedTypes, parse_type

PRESETS = ("paper", "improved")
"""`paper`: the algorithm of the paper's section 2.1 and S1. `improved`: the same steps from statistics
that know more of a structure, so that volumes, densities and lattices come closer to the real ones: repetitions given
the element, Wyckoff positions given the number of sites (`count_tables`), density estimates of logarithms with robust
bandwidths, lattices of the space group (`kde_tables`)."""

VERIFICATIONS = ("exact", "spglib")
"""`exact`: own exact test; spglib decides where a lattice is doubtful and rechecks a random share. `spglib`: spglib
decides every crystal, which takes a hundred times as long."""

ORDERINGS = ("none", "soft-spheres")
"""`none`: coordinates stay as drawn, as in the paper. `soft-spheres`: see `ordering_kernels`."""

ORDERED_TOLERANCE = 1e-2
"""Å; ordered atoms come to rest close to positions of higher symmetry, where drawn ones are never."""


@dataclass(frozen=True, slots=True)
class GeneratorSettings:
    """What is drawn and what is kept.

    Attributes:
        preset: one of `PRESETS`.
        space_groups: "natural" (frequencies in the statistics), "uniform", or a tuple of group numbers (uniform).
        min_structures: groups with fewer structures in the statistics are left out.
        max_volume: crystals at or above this volume of the conventional cell are drawn again, Å^3.
        max_sites: largest number of atoms in the asymmetric unit.
        min_volume_per_atom: density factors that would leave less than this are drawn again, Å^3 per atom in the
            cell (the authors' code raises the volume to the same bound; the paper is silent). It cuts off the tail
            that a wide kernel puts next to V = 0, where a cell has no reflection under copper radiation.
        verification: one of `VERIFICATIONS`.
        recheck: share of the crystals confirmed by the exact test that spglib is asked about again (with "exact" only).
        symprec: distance within which the space group is verified, Å; with an ordering at least `ORDERED_TOLERANCE`.
        ordering: one of `ORDERINGS`.
        structure_types: (name, weight) of the only structure types that are drawn (paper, outlook), ascending; none
            for all that the statistics lead to. They bring their space groups with them.

    Raises:
        InputError: a value out of its range; the message names it.

    """

    preset: str = "paper"
    space_groups: str | tuple[int, ...] = "natural"
    min_structures: int = 50
    max_volume: float = 7000.0
    max_sites: int = 99
    min_volume_per_atom: float = 0.75
    verification: str = "exact"
    recheck: float = 0.001
    symprec: float = 1e-4
    ordering: str = "none"
    structure_types: WeightedTypes = ()

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise InputError(f"preset '{self.preset}': must be one of {', '.join(PRESETS)}")
        if self.verification not in VERIFICATIONS:
            raise InputError(f"verification '{self.verification}': must be one of {', '.join(VERIFICATIONS)}")
        if self.ordering not in ORDERINGS:
            raise InputError(f"ordering '{self.ordering}': must be one of {', '.join(ORDERINGS)}")
        if isinstance(self.space_groups, str):
            if self.space_groups not in ("natural", "uniform"):
                raise InputError(f"space groups '{self.space_groups}': must be natural, uniform or a list of numbers")
        else:
            groups = tuple(sorted({check_group(int(group)) for group in self.space_groups}))
            if not groups:
                raise InputError("space groups: the list is empty; name at least one")
            object.__setattr__(self, "space_groups", groups)
        if self.structure_types and self.space_groups != "natural":
            raise InputError("structure types bring their space groups with them: leave --space-groups out")
        if self.min_structures < 1:
            raise InputError(f"min_structures {self.min_structures}: must be at least 1")
        if not 0.0 < self.max_volume < float("inf"):
            raise InputError(f"max_volume {self.max_volume}: must be positive and finite, in Å^3")
        if not 1 <= self.max_sites <= 999:
            raise InputError(f"max_sites {self.max_sites}: must be 1 to 999")
        if not 0.0 <= self.min_volume_per_atom < 10.0:
            raise InputError(f"min_volume_per_atom {self.min_volume_per_atom}: must be 0 to 10 Å^3")
        if not 0.0 <= self.recheck <= 1.0:
            raise InputError(f"recheck {self.recheck}: must be 0 to 1, a share")
        if not 0.0 < self.symprec <= 0.1:
            raise InputError(f"symprec {self.symprec}: must be above 0 and at most 0.1 Å")
        for name, weight in self.structure_types:
            sites = len(parse_type(name).letters)
            if sites > self.max_sites:
                raise InputError(
                    f"structure type {name}: {sites} sites, at most {self.max_sites} are drawn (max_sites)"
                )
            if weight < 1:
                raise InputError(f"structure type {name}: weight {weight}: must be at least 1")

    @property
    def tolerance(self) -> float:
        """Distance within which the space group is verified, Å."""
        return self.symprec if self.ordering == "none" else max(self.symprec, ORDERED_TOLERANCE)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        values = asdict(self)
        if not isinstance(self.space_groups, str):
            values["space_groups"] = list(self.space_groups)
        if self.structure_types:
            values["structure_types"] = [list(item) for item in self.structure_types]
        else:
            del values["structure_types"]  # not where there are none: spools from before there were any
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> GeneratorSettings:
        """Return the settings that `to_dict` described.

        Raises:
            InputError: an unknown name or a wrong value.

        """
        unknown = sorted(set(values) - set(cls.__dataclass_fields__))
        if unknown:
            raise InputError(f"generator settings: unknown {', '.join(unknown)}; were they written by a newer version?")
        groups = values.get("space_groups", "natural")
        types = tuple((str(name), int(weight)) for name, weight in values.get("structure_types", ()))
        groups = groups if isinstance(groups, str) else tuple(groups)
        return cls(**{**values, "space_groups": groups, "structure_types": types})
