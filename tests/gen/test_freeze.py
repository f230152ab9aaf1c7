"""Freezing structure tables: every row is simulated or listed, and the files are a function of the input alone."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
import zarr
from typer.testing import CliRunner
from xrdcommon.errors import FormatError, InputError, Interrupted
from xrdcommon.fixed_sets.fixed_set import FixedSet, write_fixed_set
from xrdcommon.grid import Grid
from xrdcommon.identity import Purpose, SampleIdentity, generator
from xrdgen.cli.freeze import freeze
from xrdgen.crystal import Crystal
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.diffraction.simulator import NoReflectionError, Simulator
from xrdgen.freezing.folder import partial_path
from xrdgen.freezing.freeze import Limits, freeze_table, rejected_path, sample_id
from xrdgen.freezing.variants import Labels
from xrdgen.structures.table import crystal_of, table_of, write_table

SETTINGS = SimulationSettings(grid=Grid(10.0, 80.0, 0.05))
SHORT = SimulationSettings(grid=Grid(25.0, 45.0, 0.05))
"""For tables of thousands of rows."""


def site(letter: str, x: list[float], **species: float) -> dict[str, Any]:
    return {"species": species, "letter": letter, "multiplicity": 1, "x": x}


def structure(name: str, group: int, cell: list[float], sites: list[dict[str, Any]]) -> dict[str, Any]:
    parameters = dict(zip(("a", "b", "c", "alpha", "beta", "gamma"), cell, strict=True))
    return {
        "source": "AMCSD",
        "id": name,
        "formula": name,
        "space_group": group,
        "hall_number": 1,
        "volume": 1.0,
        "n_atoms": 1,
        "n_sites": len(sites),
        "n_elements": 2,
        "sites": json.dumps(sites),
        "citation": "Downs & Hall-Wallace (2003)",
        "mixed_occupancy": False,
        "partial_occupancy": False,
        "over_occupancy": False,
        **parameters,
    }


CUBE = [5.64, 5.64, 5.64, 90.0, 90.0, 90.0]
HALITE = structure("halite", 225, CUBE, [site("a", [0, 0, 0], Na=1.0), site("b", [0.5, 0.5, 0.5], Cl=1.0)])
MIXED = structure("mixed", 225, CUBE, [site("a", [0, 0, 0], Na=0.6, K=0.3), site("b", [0.5, 0.5, 0.5], Cl=0.8)])
RUTILE = structure(
    "rutile",
    136,
    [4.594, 4.594, 2.959, 90, 90, 90],
    [site("a", [0, 0, 0], Ti=1.0), site("f", [0.305, 0.305, 0], O=1.0)],
)
EINSTEINIUM = structure("heavy", 225, CUBE, [site("a", [0, 0, 0], Es=1.0)])
BROKEN = {**HALITE, "id": "broken", "sites": "[{"}
SKEWED = structure("skewed", 225, [5, 6, 7, 90, 90, 90], [site("a", [0, 0, 0], Na=1.0)])


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.parquet"
    write_table(path, table_of([HALITE, BROKEN, MIXED, EINSTEINIUM, RUTILE, SKEWED]))
    return path


def crystal(row: dict[str, Any]) -> Crystal:
    return crystal_of(row)


def test_rows_are_simulated_or_listed(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "set.zarr"
    report = freeze_table(table, out, SETTINGS, seed=7)
    assert report.to_dict() == {"crystals": 3, "diffractograms": 3, "rejected": 3}
    opened = FixedSet.open(out)
    assert opened.ids == ["AMCSD:halite", "AMCSD:mixed", "AMCSD:rutile"]
    assert opened.samples["space_group"].tolist() == [225, 225, 136]
    assert opened.samples["index"].tolist() == [0, 2, 4]
    with rejected_path(out).open(newline="") as stream:
        rejected = list(csv.DictReader(stream))
    assert [(line["row"], line["id"]) for line in rejected] == [("1", "broken"), ("3", "heavy"), ("5", "skewed")]
    assert "sites cannot be read" in rejected[0]["reason"]
    assert "no form factor for Es" in rejected[1]["reason"]
    assert "not cubic" in rejected[2]["reason"]


def test_patterns_are_the_simulators_and_respect_occupancies(table: Path, tmp_path: Path) -> None:
    freeze_table(table, tmp_path / "set.zarr", SETTINGS, seed=7)
    opened = FixedSet.open(tmp_path / "set.zarr")
    simulator = Simulator(SETTINGS)
    for row, (number, entry) in enumerate([(0, HALITE), (2, MIXED), (4, RUTILE)]):
        stream = generator(SampleIdentity(7, 0, 0, number), Purpose.PATTERN)
        size = 20.0 + 80.0 * stream.random()
        assert opened.samples["crystallite_size"][row] == np.float32(size)
        expected = simulator.pattern(crystal(entry), size)
        np.testing.assert_array_equal(opened.patterns(row, row + 1)[0], expected.astype(np.float16))
    mixed = opened.samples[1]
    np.testing.assert_allclose(mixed["composition"][[10, 18, 16]], [2.4, 1.2, 3.2], rtol=1e-6)
    full = {**MIXED, "sites": HALITE["sites"]}
    assert np.abs(simulator.pattern(crystal(MIXED), 50.0) - simulator.pattern(crystal(full), 50.0)).max() > 0.01


def test_the_family_is_recorded_whatever_the_elements(tmp_path: Path) -> None:
    """The first eight bytes of the SHA-256 of the Wyckoff key; 0 where the table has none."""
    rows = [
        {**HALITE, "wyckoff_key": "225:ab"},
        {**MIXED, "wyckoff_key": "225:ab"},
        {**RUTILE, "wyckoff_key": "136:af"},
    ]
    write_table(tmp_path / "keys.parquet", table_of([*rows, HALITE]))
    freeze_table(tmp_path / "keys.parquet", tmp_path / "set.zarr", SHORT, sizes=2)
    halite, rutile = (int.from_bytes(hashlib.sha256(key).digest()[:8], "little") for key in (b"225:ab", b"136:af"))
    found = FixedSet.open(tmp_path / "set.zarr").samples["family"].tolist()
    assert found == [halite] * 4 + [rutile] * 2 + [0] * 2


def test_attributes_record_origin_and_carry_no_date(table: Path, tmp_path: Path) -> None:
    freeze_table(table, tmp_path / "set.zarr", SETTINGS, seed=3, sizes=2)
    attributes = FixedSet.open(tmp_path / "set.zarr").attributes
    assert Grid.from_dict(attributes["grid"]) == SETTINGS.grid
    assert SimulationSettings.from_dict(attributes["simulation"]) == SETTINGS
    assert attributes["citations"] == ["Downs & Hall-Wallace (2003)"]
    assert attributes["source"]["collections"] == {"AMCSD": 6}
    assert (attributes["seed"], attributes["sizes_per_crystal"]) == (3, 2)
    assert len(attributes["source"]["sha256"]) == 64


def test_several_sizes_of_each_crystal(table: Path, tmp_path: Path) -> None:
    report = freeze_table(table, tmp_path / "set.zarr", SETTINGS, sizes=3)
    opened = FixedSet.open(tmp_path / "set.zarr")
    assert (report.crystals, report.diffractograms, len(opened)) == (3, 9, 9)
    assert opened.ids == [name for name in ("AMCSD:halite", "AMCSD:mixed", "AMCSD:rutile") for _ in range(3)]
    sizes = opened.samples["crystallite_size"]
    assert len(set(sizes.tolist())) == 9
    assert ((sizes >= 20) & (sizes < 100)).all()
    assert opened.samples["shard"].tolist() == [0, 1, 2] * 3


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def large_table(folder: Path, n: int = 3000) -> Path:
    """A table of three shards with a row that cannot be read."""
    rows = [{**(HALITE if number % 3 else RUTILE), "id": f"s{number}"} for number in range(n)]
    rows[70] = BROKEN
    write_table(folder / "table.parquet", table_of(rows))
    return folder / "table.parquet"


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_workers(tmp_path: Path) -> None:
    table = large_table(tmp_path)
    for name, workers in (("one", 1), ("two", 2)):
        freeze_table(table, tmp_path / f"{name}.zarr", SHORT, workers=workers)
    assert files_of(tmp_path / "one.zarr") == files_of(tmp_path / "two.zarr")
    one, two = (rejected_path(tmp_path / f"{name}.zarr").read_bytes() for name in ("one", "two"))
    assert one == two
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("one.zarr", "one.zarr.rejected.csv", "table.parquet", "two.zarr", "two.zarr.rejected.csv")
    ]


@pytest.mark.parametrize("sizes", [1, 3])
def test_rows_whose_fault_only_the_simulation_shows(tmp_path: Path, sizes: int) -> None:
    """Crystals without a reflection in range leave no gap; the truth is a simulation row by row."""
    settings = SimulationSettings(grid=Grid(10.0, 12.0, 0.01))
    wide = dict.fromkeys(("a", "b", "c"), 16.0)  # 200 at 11.05 degrees; halite's first line is at 27
    random = np.random.default_rng(5)
    kinds = random.choice(3, 1500, p=[0.8, 0.15, 0.05])
    kinds[:1400][kinds[:1400] == 1] = 0  # the first shard stays as it is, the last ones change
    rows = [{**(HALITE | wide, HALITE, BROKEN)[kind], "id": f"s{number}"} for number, kind in enumerate(kinds)]
    write_table(tmp_path / "table.parquet", table_of(rows))
    out = tmp_path / "set.zarr"
    report = freeze_table(tmp_path / "table.parquet", out, settings, sizes=sizes, seed=4)

    simulator = Simulator(settings)
    with pytest.raises(NoReflectionError):
        simulator.pattern(crystal(HALITE), 50.0)
    kept = [number for number, kind in enumerate(kinds) if kind == 0]
    names = [(number, size) for number in kept for size in range(sizes)]
    lengths = [simulator.crystallite_size(SampleIdentity(4, 0, size, number)) for number, size in names]
    patterns = np.array([simulator.pattern(crystal(HALITE | wide), length) for length in lengths])
    assert report.to_dict() == {"crystals": len(kept), "diffractograms": len(names), "rejected": 1500 - len(kept)}
    opened = FixedSet.open(out)
    assert list(zip(opened.samples["index"].tolist(), opened.samples["shard"].tolist(), strict=True)) == names
    assert opened.ids == [f"AMCSD:s{number}" for number, _ in names]
    np.testing.assert_array_equal(opened.samples["crystallite_size"], np.array(lengths, dtype=np.float32))
    np.testing.assert_array_equal(opened.patterns(), patterns.astype(np.float16))
    # the bytes are those of one writer that never knew of the other rows
    attributes = {name: value for name, value in opened.attributes.items() if name not in ("grid", "rows")}
    for name in ("kind", "format", "fields", "samples_sha256", "patterns_sha256"):
        del attributes[name]
    write_fixed_set(tmp_path / "same.zarr", settings.grid, [patterns], opened.samples, opened.ids, attributes)
    assert files_of(tmp_path / "same.zarr") == files_of(out)
    with rejected_path(out).open(newline="") as stream:
        reasons = {int(line["row"]): line["reason"] for line in csv.DictReader(stream)}
    assert sorted(reasons) == sorted(set(range(1500)) - set(kept))
    assert all(("no reflection" in reasons[row]) == (kinds[row] == 1) for row in reasons)


def test_large_crystals_are_left_out_when_asked(tmp_path: Path) -> None:
    big = {**HALITE, "id": "big", **dict.fromkeys(("a", "b", "c"), 19.13)}  # 7000.8 Å^3
    below = {**HALITE, "id": "below", **dict.fromkeys(("a", "b", "c"), 19.12)}  # 6989.8 Å^3
    write_table(tmp_path / "table.parquet", table_of([HALITE, big, RUTILE, below]))
    freeze_table(tmp_path / "table.parquet", tmp_path / "all.zarr", SETTINGS)
    assert FixedSet.open(tmp_path / "all.zarr").ids == ["AMCSD:halite", "AMCSD:big", "AMCSD:rutile", "AMCSD:below"]
    assert "limits" not in FixedSet.open(tmp_path / "all.zarr").attributes
    freeze_table(tmp_path / "table.parquet", tmp_path / "some.zarr", SETTINGS, limits=Limits(max_volume=7000.0))
    some = FixedSet.open(tmp_path / "some.zarr")
    assert some.ids == ["AMCSD:halite", "AMCSD:rutile", "AMCSD:below"]
    assert some.attributes["limits"] == {"max_volume": 7000.0, "max_sites": None}
    assert "not below --max-volume 7000" in rejected_path(some.path).read_text()
    with pytest.raises(InputError, match=r"2 sites .* more than --max-sites 1"):
        freeze_table(tmp_path / "table.parquet", tmp_path / "none.zarr", SETTINGS, limits=Limits(max_sites=1))
    assert not partial_path(tmp_path / "none.zarr").exists()
    for limits in ({"max_volume": 0.0}, {"max_volume": float("nan")}, {"max_sites": 0}):
        with pytest.raises(InputError, match="must be"):
            Limits(**limits)  # type: ignore[arg-type]


def test_test_sets_of_full_sites_and_with_published_labels(tmp_path: Path) -> None:
    """The variants of the paper's test set: labels of spglib or of the source, without partial occupancy."""
    agreed = {**HALITE, "id": "agreed", "space_group_published": 225}
    other = {**HALITE, "id": "other", "space_group_published": 221}
    write_table(tmp_path / "table.parquet", table_of([agreed, MIXED, other, RUTILE]))
    freeze_table(tmp_path / "table.parquet", tmp_path / "full.zarr", SETTINGS, limits=Limits(full_sites=True))
    full = FixedSet.open(tmp_path / "full.zarr")
    assert "AMCSD:mixed" not in full.ids
    assert full.samples["space_group"].tolist() == [225, 225, 136]
    assert full.attributes["limits"] == {"max_volume": None, "max_sites": None, "full_sites": True}
    assert "left out by --full-sites" in rejected_path(full.path).read_text()
    freeze_table(
        tmp_path / "table.parquet", tmp_path / "published.zarr", SETTINGS, limits=Limits(labels=Labels.PUBLISHED)
    )
    published = FixedSet.open(tmp_path / "published.zarr")
    assert published.ids == ["AMCSD:agreed", "AMCSD:other"]
    assert published.samples["space_group"].tolist() == [225, 221]
    assert published.attributes["limits"]["labels"] == "published"
    np.testing.assert_array_equal(published.patterns(1, 2), full.patterns(1, 2))  # the crystal is the same


def written_shards(out: Path) -> dict[str, int]:
    """Return the time of change of every shard whose records are there too."""
    partial = partial_path(out)
    done = [int(path.stem.split("-")[1]) for path in (partial / "outcomes").glob("*.npy")]
    return {str(shard): (partial / f"set/pattern/c/{shard}/0").stat().st_mtime_ns for shard in done}


def wait_for(condition: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120.0
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.005)


def processes_below(parent: int) -> list[int]:
    listing = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True)
    pairs = [tuple(map(int, line.split())) for line in listing.stdout.splitlines()]
    return [pid for pid, above in pairs if above == parent]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] == "Z")


@pytest.mark.slow
def test_a_killed_parallel_freeze_goes_on_with_the_same_bytes(tmp_path: Path) -> None:
    table, sizes = large_table(tmp_path), 3  # 9 shards
    freeze_table(table, tmp_path / "whole.zarr", SHORT, sizes=sizes)
    (tmp_path / "there").mkdir()
    out = tmp_path / "there" / "whole.zarr"
    options = ["--step", "0.05", "--two-theta-min", "25", "--two-theta-max", "45", "--sizes", str(sizes)]
    command = [str(Path(sys.executable).parent / "xrdgen"), "freeze", str(table), "--out", str(out), *options]
    kept: dict[str, int] = {}
    for enough in (1, 4):
        process = subprocess.Popen([*command, "--workers", "2"], stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        wait_for(lambda enough=enough: len(written_shards(out)) >= enough, process)
        workers = processes_below(process.pid)
        assert len(workers) >= 2
        process.send_signal(signal.SIGKILL)
        process.communicate()
        end = time.monotonic() + 20.0
        while any(map(alive, workers)):  # they end with it
            assert time.monotonic() < end
            time.sleep(0.01)
        assert not out.exists()
        with pytest.raises(FormatError):
            FixedSet.open(partial_path(out))
        with pytest.raises(FormatError, match="not a fixed set"):
            FixedSet.open(partial_path(out) / "set")
        shards = written_shards(out)
        assert kept.items() <= shards.items()  # what was done is not done again
        kept = shards
    assert len(kept) < 9
    done = subprocess.run([*command, "--workers", "2"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert files_of(out) == files_of(tmp_path / "whole.zarr")
    now = {shard: (out / f"pattern/c/{shard}/0").stat().st_mtime_ns for shard in kept}
    assert now == kept
    assert sorted(path.name for path in out.parent.iterdir()) == ["whole.zarr", "whole.zarr.rejected.csv"]
    pattern = zarr.open(out, mode="r")["pattern"]  # stock Zarr
    assert (pattern.shape, pattern.shards) == ((2999 * sizes, 401), (1024, 401))
    np.testing.assert_array_equal(pattern[-3:], FixedSet.open(tmp_path / "whole.zarr").patterns(2999 * sizes - 3))


def interrupted(table: Path, out: Path, after: int, **options: Any) -> None:
    """Freeze until so many shards are written; then this process gets SIGTERM, as from a queue system."""

    def watch() -> None:
        while len(list((partial_path(out) / "outcomes").glob("*.npy"))) < after:
            time.sleep(0.002)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=watch)
    thread.start()
    with pytest.raises(Interrupted, match=r"SIGTERM.*the same command goes on"):
        freeze_table(table, out, SHORT, sizes=2, **options)
    thread.join()


def test_an_unfinished_set_goes_on_only_as_it_began(tmp_path: Path) -> None:
    table, out = large_table(tmp_path), tmp_path / "set.zarr"
    freeze_table(table, tmp_path / "whole.zarr", SHORT, sizes=2)
    interrupted(table, out, 2)
    before = written_shards(out)
    assert 2 <= len(before) < 6
    with pytest.raises(InputError, match="unfinished set of another table, settings, seed or version"):
        freeze_table(table, out, SHORT, sizes=2, seed=1)
    assert written_shards(out) == before
    # a machine that lost power: one shard damaged, one gone
    first, second = (partial_path(out) / f"set/pattern/c/{shard}/0" for shard in (0, 1))
    changed = bytearray(first.read_bytes())
    changed[len(changed) // 3] ^= 4
    first.write_bytes(changed)
    second.unlink()
    freeze_table(table, out, SHORT, sizes=2)
    assert files_of(out) == files_of(tmp_path / "whole.zarr")
    assert not partial_path(out).exists()

    with pytest.raises(InputError, match="--force"):
        freeze_table(table, out, SHORT, sizes=2)
    interrupted(table, out, 1, seed=2, overwrite=True)
    assert FixedSet.open(out).attributes["seed"] == 0  # the old set stays until the new one is whole
    freeze_table(table, out, SHORT, seed=3, overwrite=True)  # another job: starts over
    assert FixedSet.open(out).attributes["seed"] == 3
    assert not partial_path(out).exists()


def test_one_freeze_at_a_time_and_no_strangers_folder(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "set.zarr"
    partial = partial_path(out)
    partial.mkdir()
    (partial / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="not an unfinished fixed set"):
        freeze_table(table, out, SETTINGS, overwrite=True)
    assert [path.name for path in partial.iterdir()] == ["thesis.tex"]
    (partial / "thesis.tex").unlink()
    code = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(partial / "lock")], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(InputError, match="another `xrdgen freeze` is making this set"):
            freeze_table(table, out, SETTINGS)
    assert freeze_table(table, out, SETTINGS).crystals == 3


def test_an_empty_or_hopeless_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    write_table(path, table_of([HALITE]).iloc[:0])
    with pytest.raises(InputError, match="without structures"):
        freeze_table(path, tmp_path / "set.zarr", SETTINGS)
    write_table(path, table_of([BROKEN]))
    with pytest.raises(InputError, match=r"none of 1 structures .* sites cannot be read"):
        freeze_table(path, tmp_path / "set.zarr", SETTINGS)
    assert not (tmp_path / "set.zarr").exists()
    assert rejected_path(tmp_path / "set.zarr").read_text().count(",broken,") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"sizes": 0}, "sizes 0"), ({"seed": -1}, "seed -1"), ({"workers": -2}, "workers -2")],
)
def test_bad_numbers(table: Path, tmp_path: Path, arguments: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        freeze_table(table, tmp_path / "set.zarr", SETTINGS, **arguments)  # type: ignore[arg-type]


def test_a_taken_place_is_refused_before_any_work(table: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="not a fixed set"):
        freeze_table(table, tmp_path / "mine", SETTINGS, overwrite=True)
    assert [entry.name for entry in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_long_names_are_shortened_and_stay_distinct() -> None:
    assert sample_id("AMCSD", "0000001") == "AMCSD:0000001"
    first, second = sample_id("cod", "é" * 40 + "1"), sample_id("cod", "é" * 40 + "2")
    assert first != second
    assert all(len(name.encode()) <= 64 and "~" in name for name in (first, second))


def test_command(table: Path, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(freeze)
    out = tmp_path / "set.zarr"
    options = [str(table), "--out", str(out), "--step", "0.05", "--two-theta-min", "10", "--two-theta-max", "80"]
    result = CliRunner().invoke(app, [*options, "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"crystals": 3, "diffractograms": 3, "rejected": 3}
    assert "3 structures could not be simulated" in result.stderr
    assert FixedSet.open(out).grid == Grid(10.0, 80.0, 0.05)
    with pytest.raises(InputError, match="--force"):
        CliRunner().invoke(app, options, catch_exceptions=False)
    forced = CliRunner().invoke(app, [*options, "--force", "--sizes", "2"], catch_exceptions=False)
    assert "6 diffractograms of 3 crystals" in forced.stdout
