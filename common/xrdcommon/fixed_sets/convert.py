"""Fixed sets between Zarr and tar shards, and finished shards of a stream to a fixed set in Zarr.

Patterns, records (also with fields that this version does not know) and names are copied as they are; a set converted
there and back has the same bytes. A set made of a stream has the fields of this version. The source is only read.
"""

# N rows, P grid points, n rows of a shard

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdcommon.console import Advance
from xrdcommon.errors import FormatError, InputError, MissingFileError
from xrdcommon.files import read_json
from xrdcommon.fixed_sets.cache import checked_patterns
from xrdcommon.fixed_sets.fixed_set import FixedSet, is_fixed_set
from xrdcommon.fixed_sets.format import RESERVED, TARS_FILE
from xrdcommon.fixed_sets.tars import write_tars
from xrdcommon.fixed_sets.writer import fixed_set_writer, publish, sync_tree, whole_folder
from xrdcommon.grid import Grid
from xrdcommon.identity import SampleIdentity
from xrdcommon.shards.format import SPOOL_FILE, ShardName
from xrdcommon.shards.reader import Shard, read_shard

Block = tuple[NDArray[np.float16], NDArray[Any], list[str]]


def check_new(destination: Path, source: Path) -> None:
    """Refuse a place that is taken, before any work.

    Raises:
        MissingFileError: there is no source.
        InputError: something is at the destination, or it is inside the source.

    """
    if not source.is_dir():
        raise MissingFileError(f"{source}: no such folder; name a fixed set or a folder of finished shards")
    if destination.exists() or destination.is_symlink():
        raise InputError(f"{destination}: exists; name a new folder (nothing is overwritten)")
    if destination.resolve().is_relative_to(source.resolve()):
        raise InputError(f"{destination}: inside the source; name another folder")


def rows_of(source: Path) -> int:
    """Return the rows that a conversion copies, for its progress.

    Raises:
        FormatError, InputError: not a set and no shards (see `convert`).

    """
    return len(FixedSet.open(source)) if is_fixed_set(source) else sum(name.rows for name in stream_shards(source))


def convert(source: Path, destination: Path, grid: Grid | None = None, advance: Advance | None = None) -> FixedSet:
    """Convert a fixed set in Zarr to tar shards, or tar shards (of a fixed set or of a stream) to Zarr.

    Args:
        source: a fixed set in either form, or a folder of finished stream shards, for example SPOOL/ready/main.
        destination: folder to make; it appears when whole.
        grid: of stream shards that lie in no spool; the spool says it otherwise.
        advance: told of the rows copied.

    Returns:
        the set that was made, opened.

    Raises:
        MissingFileError, InputError: no source, no shards in it, the destination is taken, the grid is not known.
        FormatError: the source is damaged; nothing is left at the destination.
        DiskFullError: no space or quota left.

    """
    check_new(destination, source)
    if not is_fixed_set(source):
        _from_stream(source, destination, grid, advance)
        return FixedSet.open(destination)
    if grid is not None:
        raise InputError(f"{source}: a fixed set has its own grid; leave the options of the grid out")
    data = FixedSet.open(source)
    if (source / TARS_FILE).is_file():
        attributes = {name: value for name, value in data.attributes.items() if name not in RESERVED}
        with fixed_set_writer(destination, data.grid, attributes, dtype=data.stored.dtype) as writer:
            for block in _blocks(data, advance):
                writer.append(*block)
    else:
        with whole_folder(destination) as temporary:
            write_tars(temporary, data.attributes, data.content_hash, _blocks(data, advance), data.stored.dtype)
            sync_tree(temporary)
            publish(temporary, destination)
    return FixedSet.open(destination)


def _blocks(data: FixedSet, advance: Advance | None) -> Iterator[Block]:
    """Yield the rows of a set, a shard at a time."""
    ids, start = data.ids, 0
    for patterns in checked_patterns(data):
        stop = start + len(patterns)
        yield patterns, data.stored[start:stop], ids[start:stop]
        start = stop
        if advance is not None:
            advance(len(patterns))


def stream_shards(folder: Path) -> list[ShardName]:
    """Return the shards in a folder in the order of their identity; other files are not looked at.

    Raises:
        InputError: there are none, or two of one identity.

    """
    names = [ShardName.parse(path.name) for path in folder.iterdir() if ShardName.is_name(path.name)]
    if not names:
        hint = f"; name the folder of its shards, for example {folder / 'ready' / 'main'}"
        raise InputError(
            f"{folder}: neither a fixed set nor a folder of finished shards (p000017-000042.n1024.b....tar)"
            f"{hint if (folder / SPOOL_FILE).exists() else ''}"
        )
    names.sort(key=lambda name: (name.identity, name.sha12))
    for one, other in pairwise(names):
        if one.identity == other.identity:
            raise InputError(f"{folder}: {one} and {other} are one shard twice; remove one of them")
    return names


def _from_stream(source: Path, destination: Path, grid: Grid | None, advance: Advance | None) -> None:
    """Keep shards of a stream as a fixed set; every sample is named by its identity."""
    names = stream_shards(source)
    first = _read(source, names[0])
    configuration = _configuration(source, first.configuration_hash)
    if configuration is not None:
        if grid is not None:
            raise InputError(f"{source}: its spool gives the grid; leave the options of the grid out")
        grid = Grid.from_dict(configuration["grid"])
    if grid is None:
        raise InputError(
            f"{source}: no spool.json beside the shards says on which grid they are; give --two-theta-min, "
            "--two-theta-max and --step"
        )
    attributes: dict[str, Any] = {
        "made_by": "xrdgen convert",
        "source": {
            "run": f"{first.run:016x}",
            "configuration_hash": first.configuration_hash,
            "shards": len(names),
        },
    }
    if configuration is not None:
        attributes["simulation"] = {**configuration.get("simulation", {}), "grid": grid.to_dict()}
    with fixed_set_writer(destination, grid, attributes) as writer:
        for name in names:
            shard = _read(source, name)
            if shard.configuration_hash != first.configuration_hash or shard.run != first.run:
                raise InputError(
                    f"{source}: {name} and {names[0]} were made with different configurations; convert them apart"
                )
            if shard.patterns.shape[1] != grid.n_points:
                raise InputError(f"{source / str(name)}: {shard.patterns.shape[1]} points, but {grid}")
            writer.append(shard.patterns, shard.samples, _identities(shard.samples))
            if advance is not None:
                advance(name.rows)


def _read(folder: Path, name: ShardName) -> Shard:
    """Return a verified shard.

    Raises:
        FormatError: damaged, or gone.

    """
    try:
        return read_shard(folder / str(name))
    except MissingFileError as error:
        raise FormatError(f"{error}; is a training using up the spool? Copy its shards first") from error


def _identities(samples: NDArray[Any]) -> Sequence[str]:
    """Return the identities of samples as they are printed."""
    fields = ("run", "producer", "shard", "index")
    return [str(SampleIdentity(*map(int, row))) for row in zip(*(samples[name] for name in fields), strict=True)]


def _configuration(source: Path, configuration_hash: str) -> dict[str, Any] | None:
    """Return the configuration of the spool that shards lie in (SPOOL/ready/FEED), None outside of one.

    Raises:
        FormatError: the shards are of another configuration than their spool.

    """
    for folder in (source, *source.resolve().parents[:2]):
        if (folder / SPOOL_FILE).is_file():
            description = read_json(folder / SPOOL_FILE)
            if description.get("configuration_hash") != configuration_hash:
                raise FormatError(f"{source}: shards of another configuration than {folder / SPOOL_FILE}; move them")
            configuration: dict[str, Any] = description["configuration"]
            return configuration
    return None
