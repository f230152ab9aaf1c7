"""A spool on disk: created once, opened by producers and consumers, recognised by its uuid."""

from __future__ import annotations

import os
import secrets
import shutil
import time
import uuid as uuids
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xrdcommon import files
from xrdcommon.errors import FormatError, MissingFileError, SpoolError
from xrdcommon.grid import Grid
from xrdcommon.shards.format import SPOOL_FILE
from xrdcommon.spool import backlog
from xrdcommon.spool.journal import create_once, explain_refusals, make_folder
from xrdcommon.spool.layout import CREATING_FILE, SPOOL_FORMAT, Layout

SEED_BITS = 48
"""Of a seed nobody chose; JSON readers with floating-point integers still read it exactly."""


class Spool:
    """An opened spool; make one with `create`, find one with `open`.

    Attributes:
        path: the folder, absolute.
        uuid: names this spool for ever; files are deleted only where it still matches.
        root_seed: the run part of every sample's identity.
        configuration: how the samples are made, JSON values; `grid` and `classes` among them.
        configuration_hash: SHA-256 of the configuration.

    """

    def __init__(self, path: Path, description: dict[str, Any]) -> None:
        self.path = path
        self.layout = Layout(path)
        self.uuid = str(description["uuid"])
        self.root_seed = int(description["root_seed"])
        self.created = float(description["created"])
        self.configuration: dict[str, Any] = description["configuration"]
        self.configuration_hash = str(description["configuration_hash"])

    @classmethod
    def open(
        cls, path: Path | str, configuration: Mapping[str, Any] | None = None, root_seed: int | None = None
    ) -> Spool:
        """Open a spool and, where they are given, check that it was made so.

        Raises:
            MissingFileError: no such folder.
            SpoolError: the folder is no spool, or one of another configuration, seed or newer format.

        """
        path = Path(path).absolute()
        if not path.is_dir():
            raise MissingFileError(f"{path}: no spool there; `xrdgen produce {path}` makes one")
        try:
            description = files.read_json(path / SPOOL_FILE)
        except MissingFileError:
            raise SpoolError(f"{path}: not a spool (no spool.json); name another folder") from None
        except FormatError as error:
            raise SpoolError(f"{error}; the spool's description is damaged, take a new folder") from error
        try:
            found = description["xrdstream_spool"]
            if found != SPOOL_FORMAT:
                if found > SPOOL_FORMAT:
                    remedy = "use the newer xrdstream that made it, or a new folder"
                else:
                    remedy = "end its training with the older xrdstream that made it, or name a new folder"
                raise SpoolError(f"{path}: spool of format {found}, this version knows {SPOOL_FORMAT}; {remedy}")
            spool = cls(path, description)
            if spool.configuration_hash != files.canonical_hash(spool.configuration):
                raise SpoolError(
                    f"{path / SPOOL_FILE}: the configuration was changed after the spool was made (its hash is another "
                    "one); put back what it was: a spool holds samples of one configuration, name a new folder for "
                    "another"
                )
            _ = spool.grid, spool.classes
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, SpoolError):
                raise
            raise SpoolError(
                f"{path}: spool.json does not describe a spool ({error!r}); name another folder"
            ) from error
        spool.check(configuration, root_seed)
        return spool

    @classmethod
    def create(
        cls,
        path: Path | str,
        configuration: Mapping[str, Any],
        root_seed: int | None = None,
        extra_files: Mapping[str, Path] | None = None,
    ) -> Spool:
        """Make a spool in a new or empty folder, or open the one that is there if it is the same.

        Args:
            path: the folder.
            configuration: JSON values; must hold `grid`.
            root_seed: the run part of every sample's identity, 0 to 2^64 - 1; None: that of the spool that is there,
                else a random one. (Of producers started together, the first one makes the spool.)
            extra_files: files to copy into the spool, by their name there.

        Raises:
            SpoolError: the folder holds other files, cannot be written, or is a spool made otherwise.

        """
        path = Path(path).absolute()
        layout = Layout(path)
        with explain_refusals(path):
            path.mkdir(parents=True, exist_ok=True)
            if layout.spool_file.exists():
                return cls.open(path, configuration, root_seed)
            cls.check_folder(path)
            (path / CREATING_FILE).touch()
            for folder in layout.folders:
                make_folder(folder)
            for name, source in (extra_files or {}).items():
                with files.atomic_writer(path / name) as stream, source.open("rb") as original:
                    shutil.copyfileobj(original, stream)
            description = {
                "xrdstream_spool": SPOOL_FORMAT,
                "uuid": str(uuids.uuid4()),
                "root_seed": secrets.randbits(SEED_BITS) if root_seed is None else root_seed,
                "created": time.time(),
                "configuration_hash": files.canonical_hash(configuration),
                "configuration": dict(configuration),
            }
            create_once(layout.spool_file, description, layout.temporary)
            (path / CREATING_FILE).unlink(missing_ok=True)
        return cls.open(path, configuration, root_seed)

    @staticmethod
    def check_folder(path: Path) -> None:
        """Make sure that a folder is new, empty, or what an interrupted `create` left.

        Raises:
            SpoolError: it holds other files.

        """
        present = set(os.listdir(path)) if path.is_dir() else set()
        if present and not present & {SPOOL_FILE, CREATING_FILE}:
            raise SpoolError(
                f"{path}: not a spool, and it holds other files ({sorted(present)[0]}, ...); name a new folder"
            )

    def check(
        self,
        configuration: Mapping[str, Any] | None,
        root_seed: int | None = None,
        made_with: Mapping[str, Any] | None = None,
    ) -> None:
        """Make sure that the spool was made with this configuration and seed.

        Args:
            configuration: asked for.
            root_seed: asked for.
            made_with: the spool's configuration with what later versions have added; as it is stored by default.

        Raises:
            SpoolError: it was not; the message names what differs.

        """
        there = self.configuration if made_with is None else made_with
        differences = [] if configuration is None else describe_differences(there, configuration)
        if root_seed is not None and root_seed != self.root_seed:
            differences.append(f"seed is {self.root_seed} there, {root_seed} asked for")
        if differences:
            raise SpoolError(
                f"{self.path}: spool made with another configuration: {'; '.join(differences)}. "
                "Leave these options out to go on with it, or name a new folder"
            )

    def guard(self) -> None:
        """Make sure, before anything is deleted, that the folder is still the spool that was opened.

        Raises:
            SpoolError: it is not.

        """
        try:
            found = files.read_json(self.layout.spool_file)["uuid"]
        except (MissingFileError, FormatError, KeyError, TypeError):
            found = None
        if found != self.uuid:
            raise SpoolError(f"{self.path}: no longer the spool that was opened ({self.uuid}); nothing is deleted")

    @property
    def grid(self) -> Grid:
        """The 2theta grid of the patterns."""
        return Grid.from_dict(self.configuration["grid"])

    @property
    def classes(self) -> list[int]:
        """Space groups that occur, ascending."""
        return [int(group) for group in self.configuration["classes"]]

    def backlog(self, feed: str | None = None) -> backlog.Backlog:
        """Count what is ready and claimed, from names alone: of one feed, or of all with each shard counted once."""
        return backlog.measure(self.layout, feed)

    def request_stop(self) -> None:
        """Ask all producers of this spool to finish their shards and stop."""
        with explain_refusals(self.path):
            files.write_json(self.layout.stop_file, {"unix_time": time.time(), "pid": os.getpid()})

    def stop_requested(self) -> bool:
        """Return whether producers are asked to stop."""
        return self.layout.stop_file.exists()

    def clear_stop(self) -> bool:
        """Forget an earlier request to stop; return whether there was one."""
        with explain_refusals(self.path):
            try:
                self.layout.stop_file.unlink()
            except FileNotFoundError:
                return False
        return True


def describe_differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Name the keys by which two configurations differ, with both values."""
    there, here = _flat(there), _flat(here)
    return [
        f"{key} is {_short(there.get(key, 'not set'))} there, {_short(here.get(key, 'not set'))} asked for"
        for key in sorted(here.keys() | there.keys())
        if here.get(key) != there.get(key)
    ]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Flatten nested JSON objects to dotted keys."""
    if not isinstance(value, Mapping):
        return {prefix: list(value) if isinstance(value, tuple) else value}
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= _flat(item, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _short(value: Any) -> str:
    """Write a value in a few characters."""
    if isinstance(value, list) and len(value) > 8:
        return f"a list of {len(value)}"
    text = str(value)
    return text if len(text) <= 40 else text[:12] + "..."
