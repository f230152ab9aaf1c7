"""Statistics of real structures: counts and support points of the kernel density estimates, one versioned file.

Each column set (pairs of V_atomic and density factor per group, lattices per group) is shuffled
independently of the others and no entry's name is kept. Joint counts are sparse: one row for each combination that
occurs, in ascending order, its count last.

# G = 230 groups    K largest number of elements + 1    R largest repetition + 1    N support pairs    M lattices
# J rows of sparse counts
"""

from __future__ import annotations

import io
import itertools
import json
import zipfile
import zlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import FormatError, InputError, MissingFileError
from xrdcommon.fields import N_ELEMENTS
from xrdcommon.files import write_bytes
from xrdcommon.space_groups import N_GROUPS, crystal_system

FORMAT_VERSION = 2
N_LETTERS = 27
READ_ERRORS = (OSError, ValueError, LookupError, AttributeError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)
"""What a damaged file, or one of another kind, raises."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """Statistics of real structures, per space group (row = number - 1).

    Attributes:
        n_structures: (G,) structures.
        n_elements: (G, K) structures with k unique elements, index k.
        elements: (G, 103) structures that contain the element, index Z - 1; once a structure.
        repetitions: (G, R) pairs of structure and element in which the element occupies r sites, index r.
        wyckoff: (G, 27) occupied (site, element) by index of the Wyckoff letter.
        element_repetitions: (J, 4) group, Z, r, structures in which the element occupies r sites.
        site_letters: (J, 4) group, sites of the structure, index of the Wyckoff letter, occupied (site, element).
        n_sites: (J, 3) group, sites in the asymmetric unit, structures.
        n_atoms: (J, 3) group, atoms in the conventional cell, structures.
        volume_start: (G + 1,) first support pair of each group.
        v_atomic: (N,) sum of atomic volumes in the conventional cell, Å^3.
        density_factor: (N,) cell volume / v_atomic.
        lattice_start: (G + 1,) first lattice of each group; cubic groups have none.
        lattice: (M, 6) a, b, c of a cell of unit volume, alpha, beta, gamma in degrees.
        header: format version and provenance (sources, counts, citations, hashes, families seen).

    """

    n_structures: NDArray[np.int64]
    n_elements: NDArray[np.int64]
    elements: NDArray[np.int64]
    repetitions: NDArray[np.int64]
    wyckoff: NDArray[np.int64]
    element_repetitions: NDArray[np.int64]
    site_letters: NDArray[np.int64]
    n_sites: NDArray[np.int64]
    n_atoms: NDArray[np.int64]
    volume_start: NDArray[np.int64]
    v_atomic: NDArray[np.float64]
    density_factor: NDArray[np.float64]
    lattice_start: NDArray[np.int64]
    lattice: NDArray[np.float64]
    header: dict[str, Any]

    def classes(self, min_structures: int = 50) -> list[int]:
        """Return the space groups with at least so many structures, ascending."""
        return [int(group) for group in np.flatnonzero(self.n_structures >= min_structures) + 1]

    def lattices_of(self, system: str) -> NDArray[np.float64]:
        """Return the lattices (M', 6) of a crystal system."""
        groups = [group for group in range(1, N_GROUPS + 1) if crystal_system(group) == system]
        # the groups of a crystal system follow each other
        return self.lattice[int(self.lattice_start[groups[0] - 1]) : int(self.lattice_start[groups[-1]])]

    @property
    def family_hashes(self) -> frozenset[str]:
        """Salted hashes of the family keys of every structure behind the statistics."""
        return frozenset(self.header.get("families", {}).get("hashes", ()))

    @property
    def family_salt(self) -> str:
        """Salt of `family_hashes`."""
        return str(self.header.get("families", {}).get("salt", ""))

    def save(self, path: Path) -> None:
        """Write the file atomically; the same statistics give the same bytes."""
        header = {"format": FORMAT_VERSION, **{k: v for k, v in self.header.items() if k != "format"}}
        arrays = {name: getattr(self, name) for name in ARRAYS}
        text = json.dumps(header, separators=(",", ":"), sort_keys=True, allow_nan=False)
        arrays["header"] = np.frombuffer(text.encode(), dtype=np.uint8)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        write_bytes(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path | str) -> Statistics:
        """Read a statistics file; `embedded:statistics` names the one shipped with the package.

        Raises:
            MissingFileError: there is no such file.
            FormatError: not a statistics file, or one of another format version.

        """
        from xrdgen.embedded import resolve

        file = resolve(path)
        try:
            with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            header = json.loads(arrays.pop("header").tobytes())
            version = header["format"]
        except FileNotFoundError as error:
            raise MissingFileError(f"{file}: no such file") from error
        except READ_ERRORS as error:
            raise FormatError(
                f"{file}: not a statistics file; make one with `xrdgen statistics build TABLE --out FILE`"
            ) from error
        if version != FORMAT_VERSION:
            raise FormatError(
                f"{file}: statistics of format {version}, this version reads format {FORMAT_VERSION}; build them "
                "again with `xrdgen statistics build`"
            )
        missing = [name for name in ARRAYS if name not in arrays]
        if missing:
            raise FormatError(f"{file}: statistics without {', '.join(missing)}; build them again")
        statistics = cls(**{name: arrays[name] for name in ARRAYS}, header=header)
        statistics.check(str(file))
        return statistics

    def check(self, where: str = "statistics") -> None:
        """Make sure that the arrays fit together.

        Raises:
            FormatError: they do not.

        """
        wanted = {
            "n_structures": (N_GROUPS,),
            "n_elements": (N_GROUPS, self.n_elements.shape[-1]),
            "elements": (N_GROUPS, N_ELEMENTS),
            "repetitions": (N_GROUPS, self.repetitions.shape[-1]),
            "wyckoff": (N_GROUPS, N_LETTERS),
            "element_repetitions": (len(self.element_repetitions), 4),
            "site_letters": (len(self.site_letters), 4),
            "n_sites": (len(self.n_sites), 3),
            "n_atoms": (len(self.n_atoms), 3),
            "volume_start": (N_GROUPS + 1,),
            "v_atomic": (int(self.volume_start[-1]),),
            "density_factor": (int(self.volume_start[-1]),),
            "lattice_start": (N_GROUPS + 1,),
            "lattice": (int(self.lattice_start[-1]), 6),
        }
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise FormatError(
                    f"{where}: array {name} has shape {getattr(self, name).shape}, expected {shape}; build them again"
                )
        for name, values in (
            ("v_atomic", self.v_atomic),
            ("density_factor", self.density_factor),
            ("lattice", self.lattice[:, :3]),
        ):
            if not (np.isfinite(values) & (values > 0.0)).all():
                raise FormatError(f"{where}: array {name} holds values that are not positive; build them again")
        joint: tuple[tuple[str, tuple[int, ...], NDArray[np.int64]], ...] = (
            ("element_repetitions", (0, 1), self.elements),
            ("element_repetitions", (0, 2), self.repetitions),
            ("site_letters", (0, 2), self.wyckoff),
            ("n_sites", (0,), self.n_structures),
            ("n_atoms", (0,), self.n_structures),
        )
        for name, columns, total in joint:
            if not _adds_up(getattr(self, name), columns, total):
                raise FormatError(f"{where}: {name} contradict the counts of their groups; build them again")

    def merge(self, other: Statistics, seed: int = 0) -> Statistics:
        """Return the statistics of both sets of structures together: counts added, support shuffled anew.

        Raises:
            InputError: the families of the two were hashed with different salts.

        """
        from xrdgen.statistics.provenance import merge_headers

        rng = np.random.default_rng(seed)
        volume_start, pairs = _join(
            [self.volume_start, other.volume_start],
            [np.column_stack([s.v_atomic, s.density_factor]) for s in (self, other)],
            rng,
        )
        lattice_start, lattice = _join([self.lattice_start, other.lattice_start], [self.lattice, other.lattice], rng)
        return Statistics(
            n_structures=self.n_structures + other.n_structures,
            n_elements=_add(self.n_elements, other.n_elements),
            elements=self.elements + other.elements,
            repetitions=_add(self.repetitions, other.repetitions),
            wyckoff=self.wyckoff + other.wyckoff,
            element_repetitions=add_sparse(self.element_repetitions, other.element_repetitions),
            site_letters=add_sparse(self.site_letters, other.site_letters),
            n_sites=add_sparse(self.n_sites, other.n_sites),
            n_atoms=add_sparse(self.n_atoms, other.n_atoms),
            volume_start=volume_start,
            v_atomic=np.ascontiguousarray(pairs[:, 0]),
            density_factor=np.ascontiguousarray(pairs[:, 1]),
            lattice_start=lattice_start,
            lattice=lattice,
            header=merge_headers(self.header, other.header),
        )


ARRAYS = tuple(field.name for field in fields(Statistics) if field.name != "header")
"""Arrays of a statistics file, in the order of the attributes."""


def group_support(
    index: NDArray[np.int64], values: NDArray[np.float64], n: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Sort support points by group and shuffle them within it.

    Args:
        index: (N,) group of each point, 0 to n - 1.
        values: (N,) or (N, d) points.
        n: number of groups.
        rng: where the order comes from.

    Returns:
        start (n + 1,) and values (N, ...) in their new order.

    """
    if len(index) != len(values):
        raise InputError(f"{len(index)} indices for {len(values)} support points")
    # sorted by value before the shuffle: the order of the entries in the table leaves no trace
    columns = values if values.ndim == 2 else values[:, None]
    order = np.lexsort([*columns.T[::-1], index])
    start = np.concatenate([[0], np.cumsum(np.bincount(index, minlength=n))]).astype(np.int64)
    for first, last in itertools.pairwise(start):
        order[first:last] = rng.permutation(order[first:last])
    return start, np.ascontiguousarray(values[order])


def _join(
    starts: list[NDArray[np.int64]], values: list[NDArray[np.float64]], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Join support points group by group and shuffle them anew."""
    n = len(starts[0]) - 1
    index = np.concatenate([np.repeat(np.arange(n), np.diff(start)) for start in starts])
    return group_support(index, np.concatenate(values), n, rng)


def _add(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Add two tables of counts that may differ in width."""
    total = np.zeros((len(one), max(one.shape[1], other.shape[1])), dtype=np.int64)
    total[:, : one.shape[1]] += one
    total[:, : other.shape[1]] += other
    return total


def add_sparse(*tables: NDArray[np.int64]) -> NDArray[np.int64]:
    """Add sparse counts (J, k + 1): k columns that name a combination and its count; rows ascending, each once."""
    rows = np.concatenate(tables)
    combinations, which = np.unique(rows[:, :-1], axis=0, return_inverse=True)
    counts = np.zeros(len(combinations), dtype=np.int64)
    np.add.at(counts, which.ravel(), rows[:, -1])
    return np.ascontiguousarray(np.column_stack([combinations, counts]))


def _adds_up(table: NDArray[np.int64], columns: tuple[int, ...], total: NDArray[np.int64]) -> bool:
    """Return whether sparse counts, summed over all but some columns, are the dense ones.

    Args:
        table: (J, k + 1) sparse counts; column 0 is the group.
        columns: those that remain.
        total: dense counts; groups begin at 1, and so do elements (the column 1).

    """
    if (table < 0).any() or (len(table) and table[:, 0].min() < 1):
        return False
    index = tuple(table[:, column] - (column == 0 or total.shape[-1] == N_ELEMENTS) for column in columns)
    if any((axis < 0).any() or (axis >= n).any() for axis, n in zip(index, total.shape, strict=True)):
        return False
    found = np.zeros_like(total)
    np.add.at(found, index, table[:, -1])
    return bool((found == total).all())
