"""Wrong input: one line that says what, where and the remedy, exit code 2, and nothing of the user's is touched."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from xrdcommon.grid import Grid
from xrdcommon.spool.audit import audit
from xrdcommon.spool.spool import Spool
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.freezing.freeze import freeze_table
from xrdgen.production.produce import Asked, open_spool
from xrdgen.production.produce import produce as produce_into
from xrdgen.statistics.build import build_statistics
from xrdgen.statistics.model import ARRAYS, Statistics
from xrdgen.structures.table import write_table
from xrdtrain.fitting.fit import FitRequest, fit

pytestmark = [pytest.mark.end_to_end]

FIT = "--model resnet-10-small --batch 32"
PRODUCE = "--workers 0 --samples 64"

# command line: what its one line must say
OTHER_GRID = "10 to 90 .*, but the (source|run) .*5 to 90 .*; freeze or produce it again"

CASES = {
    # structures import
    "xrdgen structures import empty --out o.parquet": "empty: folder without CIF files",
    "xrdgen structures import nothere --out o.parquet": "nothere: no such file or folder",
    "xrdgen structures import empty.cif --out o.parquet": r"none of 1 entries .* no line begins with data_",
    "xrdgen structures import empty.parquet --out o.parquet": "empty.parquet: not a parquet file",
    "xrdgen structures import nosites.parquet --out o.parquet": "nosites.parquet: column sites missing",
    "xrdgen structures import few.parquet --out empty": "empty: a folder; name the table",
    "xrdgen structures import few.parquet --out few.parquet": "few.parquet: both input and output",
    "xrdgen structures import few.parquet --out afile/o.parquet": "afile.*Not a directory",
    "xrdgen structures import few.parquet --out o.parquet --symprec nan": "symprec nan: must be above 0",
    "xrdgen structures import few.parquet --out o.parquet --symprec -1": "symprec -1.0: must be above 0",
    "xrdgen structures import few.parquet --out o.parquet --workers -3": "workers -3: must not be negative",
    "xrdgen structures import embedded:nope --out o.parquet": "no such embedded file; there are embedded:amcsd",
    "xrdgen structures import few.parquet": "Missing option '--out'",
    # structures split
    "xrdgen structures split few.parquet --out afile": "afile: a file; --out names the folder",
    "xrdgen structures split few.parquet --out o --test-fraction nan": "test fraction nan: must be between",
    "xrdgen structures split few.parquet --out o --test-fraction 1.5": "test fraction 1.5: must be between",
    "xrdgen structures split few.parquet --out o --seed -1": "seed -1: must not be negative",
    "xrdgen structures split few.parquet --out o --by nope": "'nope' is not one of",
    "xrdgen structures split few.parquet --out o --by unseen": "--by unseen and --statistics FILE belong together",
    "xrdgen structures split few.parquet --out o --by unseen --statistics afile": "afile: not a statistics file",
    "xrdgen structures split nosites.parquet --out o": "nosites.parquet: column sites missing",
    "xrdgen structures split group231.parquet --out o": r"row 2 \(.*\): space group 231 is not one of",
    "xrdgen structures split nogroup.parquet --out o": r"nogroup.parquet, row 2 \(.*\): space group .* is not one of",
    "xrdgen structures split norows.parquet --out o": "0 units cannot be parted",
    "xrdgen structures split empty --out o": "empty: a folder; expected a structure table",
    "xrdgen structures split parts/train.parquet --out parts": "parts/train.parquet: both input and output",
    # statistics
    "xrdgen statistics build few.parquet --out empty": "empty: a folder; name the file",
    "xrdgen statistics build few.parquet --out few.parquet": "few.parquet: both input and output",
    "xrdgen statistics build few.parquet --out afile/x.npz": "afile: File exists",
    "xrdgen statistics build --out o.npz": "nothing to count; give structure tables",
    "xrdgen statistics build nosites.parquet --out o.npz": "column sites missing",
    "xrdgen statistics build group231.parquet --out o.npz": r"row 2 \(.*\): space group 231 is not one of 1 to 230",
    "xrdgen statistics build nogroup.parquet --out o.npz": r"row 2 \(.*\): space group .* is not one of 1 to 230",
    "xrdgen statistics build norows.parquet --out o.npz": "none of 0 structures counts",
    "xrdgen statistics build few.parquet --out o.npz --max-volume nan": "max_volume nan: must be positive",
    "xrdgen statistics build few.parquet --out o.npz --max-sites 0": "max_sites 0: must be at least 1",
    "xrdgen statistics build few.parquet --out o.npz --seed -1": "seed -1: must not be negative",
    "xrdgen statistics build few.parquet --out o.npz --merge format99.npz": r"format 99, this version reads format \d",
    "xrdgen statistics show nothere": "nothere: no such file",
    "xrdgen statistics show empty.npz": "empty.npz: not a statistics file",
    "xrdgen statistics show format99.npz": r"format 99, this version reads format \d+; build them again",
    "xrdgen statistics show --space-group 231": "space group 231: must be 1 to 230",
    # sample
    "xrdgen sample -n 0": "-n 0: must be 1 to 100000",
    "xrdgen sample -n 99999999999": "-n 99999999999: must be 1 to 100000; `xrdgen produce` makes more",
    "xrdgen sample -n nan": "Invalid value for '-n'",
    "xrdgen sample --seed -1": "--seed -1: must be 0 to",
    "xrdgen sample --space-group 231": "space group 231: must be 1 to 230",
    "xrdgen sample --space-group 3": r"space group 3 \(P2\): 10 structures .* lower it with --min-structures 10",
    "xrdgen sample --space-group 14-": "'14-' is not a number or a range",
    "xrdgen sample --statistics few.npz": "no space group has 50 structures .* lower --min-structures",
    "xrdgen sample --statistics format99.npz": r"format 99, this version reads format \d",
    "xrdgen sample --statistics empty": "empty: not a statistics file",
    "xrdgen sample --min-structures 0": "min_structures 0: must be at least 1",
    "xrdgen sample --out x.xyz": "the name must end in .cif",
    "xrdgen sample --out folder.cif": "folder.cif: a folder; name the file",
    # simulate
    "xrdgen simulate": "Missing argument 'X.cif...'",
    "xrdgen simulate nothere.cif": "nothere.cif: no such file",
    "xrdgen simulate empty": "empty: a folder; name a CIF",
    "xrdgen simulate empty.cif": "empty.cif: not a CIF",
    "xrdgen simulate good.cif junk.cif --out o.xy": "junk.cif: not a CIF",
    "xrdgen simulate good.cif --size nan": "size_min nan: must be a positive number",
    "xrdgen simulate good.cif --wavelength -1": "wavelength -1.0: must be a positive number",
    "xrdgen simulate good.cif --wavelength 100": "good.cif: .*no reflection .* shorter wavelength",
    "xrdgen simulate good.cif --step nan": r"grid \(5.0, 90.0, nan\): not finite",
    "xrdgen simulate good.cif --step 1e-12": "more than 1000000; take a larger step",
    "xrdgen simulate good.cif --two-theta-max 190": "need 0 < min < max < 180",
    "xrdgen simulate nothere.cif --plot p.bmp": "p.bmp: plots are written as .png",
    "xrdgen simulate good.cif --plot o.abc": "plots are written as .png",
    "xrdgen simulate good.cif --out empty": r"empty: cannot be written \(Is a directory\)",
    "xrdgen simulate good.cif --out afile/o.xy": "afile: cannot be written",
    # freeze
    "xrdgen freeze few.parquet --out thesis": "thesis: exists and is not a fixed set",
    "xrdgen freeze few.parquet --out thesis --force": "thesis: exists and is not a fixed set",
    "xrdgen freeze few.parquet --out set.zarr": "set.zarr: there is a fixed set already",
    "xrdgen freeze few.parquet --out afile/o.zarr": "afile",
    "xrdgen freeze nosites.parquet --out o.zarr": "column sites missing",
    "xrdgen freeze norows.parquet --out o.zarr": "a table without structures",
    "xrdgen freeze few.parquet --out o.zarr --sizes 0": "sizes 0: give 1 to 1000",
    "xrdgen freeze few.parquet --out o.zarr --size-min 100 --size-max 20": "need min <= max",
    "xrdgen freeze few.parquet --out o.zarr --workers -1": "workers -1: must not be negative",
    # produce, worker, status, drain, audit
    f"xrdgen produce thesis {PRODUCE}": "thesis: not a spool, and it holds other files",
    f"xrdgen produce afile {PRODUCE}": "afile: cannot be written",
    f"xrdgen produce afile/x {PRODUCE}": r"afile/x: cannot be written \(Not a directory\)",
    f"xrdgen produce spool {PRODUCE} --seed 99": "made with another configuration: seed is 1 there, 99 asked for",
    f"xrdgen produce spool {PRODUCE} --step 0.02": "another configuration: grid.step is 0.05 there, 0.02 asked for",
    f"xrdgen produce spool {PRODUCE} --statistics few.npz": "another configuration: statistics_sha256 is",
    f"xrdgen produce spool {PRODUCE} --min-structures 5": "generator.min_structures is 50 there, 5 asked for",
    f"xrdgen produce newer {PRODUCE}": "newer",
    "xrdgen produce o --samples 0": "samples 0: must be at least 1",
    "xrdgen produce o --workers -1": "workers -1: must be 0",
    f"xrdgen produce o {PRODUCE} --preset nope": "preset 'nope': must be one of pure",
    f"xrdgen produce o {PRODUCE} --verification nope": "verification 'nope': must be one of",
    f"xrdgen produce o {PRODUCE} --space-groups 3": r"space group 3 \(P2\): 10 structures in the statistics; 50",
    f"xrdgen produce o {PRODUCE} --space-groups 300": "space group 300: must be 1 to 230",
    f"xrdgen produce o {PRODUCE} --statistics nothere.npz": "nothere.npz: no such file",
    f"xrdgen produce o {PRODUCE} --statistics format99.npz": r"format 99, this version reads format \d",
    f"xrdgen produce o {PRODUCE} --statistics few.npz": "no space group has 50 structures",
    f"xrdgen produce o {PRODUCE} --rows-per-shard 0": "rows per shard 0: must be 1",
    f"xrdgen produce o {PRODUCE} --wavelength nan": "wavelength nan: must be a positive number",
    f"xrdgen produce o {PRODUCE} --step -0.1": "grid step -0.1 degrees: must be positive",
    f"xrdgen produce o {PRODUCE} --seed -1": "seed -1: must be 0",
    f"xrdgen produce o {PRODUCE} --high-watermark nan": "size 'nan': give a positive number with a unit",
    f"xrdgen produce o {PRODUCE} --high-watermark 1GB --low-watermark 2GB": "need 0 <= low <= high",
    f"xrdgen produce o {PRODUCE} --high-shards 0": "need 0 <= low <= high and high >= 1",
    "xrdgen produce o --workers 0 --scheduler-file good.cif": "choose a cluster or this process alone",
    "xrdgen audit nothere": "nothere: no spool there; `xrdgen produce .*nothere` makes one",
    "xrdgen audit thesis": r"thesis: not a spool \(no spool.json\)",
    "xrdgen audit newer": "newer",
    "xrdgen status thesis": "thesis: not a spool",
    "xrdgen drain thesis": "thesis: not a spool",
    "xrdgen worker spool --wait 0": "no producer listens; start `xrdgen produce",
    "xrdgen worker spool --wait nan": "--wait nan: must be a number of seconds",
    "xrdgen worker spool --scheduler-file junk.cif": "junk.cif: not valid JSON",
    "xrdgen worker spool --scheduler-file spool/spool.json": "spool.json: not a scheduler file",
    "xrdgen produce spool --scheduler-file junk.cif": "junk.cif: not valid JSON",
    "xrdgen produce spool --scheduler-file spool/spool.json": "spool.json: not a scheduler file",
    "xrdgen worker spool --workers 0": "workers 0: must be at least 1",
    # fit
    f"xrdtrain fit nothere --run o {FIT}": "nothere: no spool or fixed set there; start `xrdgen produce",
    f"xrdtrain fit thesis --run o {FIT}": "thesis: neither a spool .* nor a fixed set",
    f"xrdtrain fit afile --run o {FIT}": "afile: neither a spool",
    f"xrdtrain fit set.zarr --run thesis {FIT}": "thesis: holds files and is not a run folder",
    f"xrdtrain fit set.zarr --run afile {FIT}": "afile: Not a directory",
    "xrdtrain fit set.zarr --run o --model nope": "model 'nope': not known; choose one of",
    f"xrdtrain fit set.zarr --run o {FIT} --samples -1": "--samples -1: must be positive",
    f"xrdtrain fit set.zarr --run o {FIT} --learning-rate nan": "--learning-rate nan: must be positive",
    f"xrdtrain fit set.zarr --run o {FIT} --learning-rate inf": "--learning-rate inf: must be positive and finite",
    "xrdtrain fit set.zarr --run o --batch 0": "--batch 0: must be positive",
    "xrdtrain fit set.zarr --run o --batch 4096": "fewer than a batch of 4096; give a smaller --batch",
    f"xrdtrain fit set.zarr --run o {FIT} --max-time nan": "'nan': not a length of time",
    f"xrdtrain fit set.zarr --run o {FIT} --seed -1": "--seed -1: must not be negative",
    f"xrdtrain fit set.zarr --run o {FIT} --precision fp8": "'fp8' is not one of",
    f"xrdtrain fit set.zarr --run o {FIT} --test foo": "foo: no such fixed set",
    f"xrdtrain fit set.zarr --run o {FIT} --test a=other.zarr": OTHER_GRID,
    f"xrdtrain fit set.zarr --run o {FIT} --test none --init-from nothere": "nothere: no such run",
    f"xrdtrain fit set.zarr --run o {FIT} --produce 1": "a fixed set; --produce works with a spool",
    "xrdtrain fit spool --run o --produce -1": "--produce -1: give the number of worker processes",
    f"xrdtrain fit spool --run o {FIT} --test a=other.zarr": OTHER_GRID,
    f"xrdtrain fit spool --run o {FIT} --classes 2,14": "a spool's classes are those it was made with",
    f"xrdtrain fit set.zarr --run run {FIT} --samples 640 --learning-rate 0.5": "learning_rate was .*, now 0.5",
    "xrdtrain fit set.zarr --run run --model park-big": "model was resnet-10-small, now park-big",
    f"xrdtrain fit set.zarr --run run {FIT} --resume never": "there is a run already and --resume is never",
    f"xrdtrain fit set.zarr --run cut {FIT} --samples 640": "checkpoint-.*: damaged checkpoint",
    f"xrdtrain fit set.zarr --run nojson {FIT}": "nojson/config.json: not valid JSON",
    # evaluate, predict, report
    "xrdtrain evaluate nothere": "nothere: no such run",
    "xrdtrain evaluate thesis": "thesis: not a run folder",
    "xrdtrain evaluate run": "the run has no test set; give one with --test NAME=PATH",
    "xrdtrain evaluate run --test a=other.zarr": OTHER_GRID,
    "xrdtrain evaluate run --test a=thesis": "thesis",
    "xrdtrain evaluate cut --test a=set.zarr": "damaged checkpoint",
    "xrdtrain predict run nothere.xy": "nothere.xy: no such pattern",
    "xrdtrain predict run junk.cif": "junk.cif: cannot read '.cif'",
    "xrdtrain predict nothere.xy": "nothere.xy: no such pattern",
    "xrdtrain predict run": "no pattern given; name files or folders",
    "xrdtrain predict run empty": "empty: a folder without a pattern",
    "xrdtrain predict run set.zarr --plot p.bmp": "p.bmp: cannot draw '.bmp'",
    "xrdtrain predict run set.zarr --wavelength Xy": "wavelength 'Xy': give a number in Å or a name",
    "xrdtrain predict run set.zarr --axis size": "--axis size: give one of 2theta",
    "xrdtrain predict run set.zarr --columns 1": "--columns 1: give two numbers from 1",
    "xrdtrain predict run set.zarr --background magic": "--background magic: give auto, none or one of",
    "xrdtrain predict run set.zarr --prior nothere.csv": "--prior nothere.csv: give trained, uniform, minerals",
    "xrdtrain predict run set.zarr --prior few.npz": "few.npz: columns",
    "xrdtrain predict run empty.xy": r"empty.xy: shape \(0, 1\)",
    "xrdtrain predict run nan.xy": "nan.xy: values that are not finite",
    "xrdtrain predict run flat.xy": "flat.xy: steps of 85 degrees 2theta lose lines",
    "xrdtrain predict run back.xy": "back.xy: 2theta must rise",
    "xrdtrain predict run bad.npy": "bad.npy: not a pattern",
    "xrdtrain predict run set.zarr --top 0": "Invalid value for '--top'",
    "xrdtrain predict run flipped.zarr": "flipped.zarr: damaged patterns",
    "xrdtrain report thesis": "thesis: not a run folder",
    "xrdtrain report run --test nope": "no evaluation of a test set 'nope'",
    "xrdtrain report nothere --out x.pdf": "x.pdf: a report is written as HTML; choose a name that ends in .html",
    "xrdtrain report run --out empty": "empty: is a folder",
    "xrdtrain report run --out afile/o.html": "afile: File exists",
}
SAYS_MORE = (
    "xrdgen produce spool", "xrdtrain fit set.zarr --run run", "xrdtrain fit set.zarr --run cut",
    "xrdtrain evaluate cut", "xrdtrain predict run",
)  # fmt: skip
"""Commands that may tell what they do before they find what is wrong."""


@pytest.fixture(scope="session")
def world(real_rows: pd.DataFrame, cif_texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with good and bad files of every kind."""
    path = tmp_path_factory.mktemp("world")
    for name in ("empty", "thesis", "folder.cif", "parts"):
        (path / name).mkdir()
    (path / "thesis" / "chapter1.tex").write_text("years of work")
    for name in ("empty.cif", "empty.npz", "empty.parquet", "empty.xy"):
        (path / name).touch()
    texts = {"afile": "x", "junk.cif": "junk", "bad.npy": "no", "good.cif": cif_texts[0]}
    x = np.arange(5.0, 90.0, 0.05)
    texts["good.xy"] = "".join(f"{a:.2f} {1000 * np.exp(-(((a - 30) / 0.1) ** 2)):.3f}\n" for a in x)
    texts |= {"nan.xy": "1 2\n3 nan\n", "flat.xy": "5 1\n90 1\n", "back.xy": "9 1\n8 1\n7 2\n"}
    for name, text in texts.items():
        (path / name).write_text(text)
    write_table(path / "few.parquet", real_rows)
    shutil.copy(path / "few.parquet", path / "parts" / "train.parquet")
    real_rows.drop(columns=["sites"]).to_parquet(path / "nosites.parquet")
    real_rows.head(0).to_parquet(path / "norows.parquet")
    for name, group in (("nogroup", None), ("group231", 231)):
        wrong = real_rows.astype({"space_group": "Int64"})
        wrong.loc[wrong.index[2], "space_group"] = group
        wrong.to_parquet(path / f"{name}.parquet")

    build_statistics([path / "few.parquet"]).save(path / "few.npz")
    whole = Statistics.load("embedded:statistics")
    header = np.frombuffer(json.dumps({**whole.header, "format": 99}).encode(), dtype=np.uint8)
    np.savez(path / "format99.npz", **{name: getattr(whole, name) for name in ARRAYS}, header=header)

    for name, first in (("set.zarr", 5.0), ("other.zarr", 10.0)):
        freeze_table(path / "few.parquet", path / name, SimulationSettings(grid=Grid(first, 90.0, 0.05)))
    shutil.copytree(path / "set.zarr", path / "flipped.zarr")
    victim = max((path / "flipped.zarr" / "pattern" / "c").rglob("*"), key=lambda file: file.is_file())
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 0x10
    victim.write_bytes(content)

    spool = open_spool(path / "spool", Asked(seed=1, verification="exact", rows_per_shard=64, step=0.05))
    produce_into(spool, workers=0, samples=192)
    shutil.copytree(path / "spool", path / "newer")
    about = json.loads((path / "newer" / "spool.json").read_text())
    (path / "newer" / "spool.json").write_text(json.dumps({**about, "xrdstream_spool": 99}))

    request = {"source": path / "set.zarr", "run": path / "run", "model": "resnet-10-small", "tests": ("none",)}
    fit(FitRequest(**request, samples=64, batch=32))
    for name in ("cut", "nojson"):
        shutil.copytree(path / "run", path / name)
    (path / "nojson" / "config.json").write_text("{")
    checkpoint = max((path / "cut" / "checkpoints").glob("*.pt"))
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    return path


def snapshot(path: Path) -> dict[str, str]:
    """Return the hash of every file."""
    files = [file for file in path.rglob("*") if file.is_file()]
    return {str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def check(command: str, message: str, code: int, out: str, err: str) -> None:
    """One line, exit code 2, no traceback."""
    name, *_ = command.split()
    lines = err.splitlines()
    assert code == 2, err
    assert out == ""
    assert len(lines) == 1 or command.startswith(SAYS_MORE), err
    assert lines[-1].startswith(f"{name}: error: "), err
    assert sum("error" in line for line in lines) == 1
    assert re.search(message, lines[-1]), lines[-1]
    assert "Traceback" not in err


@pytest.mark.parametrize("command", CASES)
def test_one_line_and_nothing_lost(call: Any, world: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.chdir(world)
    before = snapshot(world)
    done = call(*shlex.split(command))
    check(command, CASES[command], done.code, done.out, done.err)
    after = snapshot(world)
    assert {name: after.get(name) for name in before} == before
    assert not any((world / name).exists() for name in ("o", "o.parquet", "o.npz", "o.zarr", "o.xy", "o.parquet.parts"))
    (world / "o.rejected.csv").unlink(missing_ok=True)


@pytest.mark.parametrize(
    "command",
    [
        "xrdgen structures import empty --out o.parquet",
        f"xrdgen produce thesis {PRODUCE}",
        f"xrdtrain fit spool --run o {FIT} --test a=other.zarr",
    ],
)
def test_the_installed_commands_do_the_same(run_command: Any, world: Path, command: str) -> None:
    done = run_command(*shlex.split(command), cwd=world)
    check(command, CASES[command], done.returncode, done.stdout, done.stderr)


def test_damaged_shards_are_put_aside(call: Any, world: Path, tmp_path: Path) -> None:
    """One shard is cut, one has a flipped bit: training goes on with the third; all is accounted for."""
    shutil.copytree(world / "spool", tmp_path / "spool")
    spool = Spool.open(tmp_path / "spool")
    cut, flipped, _ = sorted(spool.layout.ready.iterdir())
    cut.write_bytes(cut.read_bytes()[:-5000])
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 0x01
    flipped.write_bytes(content)
    command = ["fit", spool.path, "--run", tmp_path / "run", *FIT.split(), "--samples", 64, "--test", "none"]
    done = call("xrdtrain", *command)
    assert done.code == 0, done.err
    assert sum("quarantine" in line for line in done.err.splitlines()) == 2
    result = audit(spool)
    assert (result.ok, result.produced, result.used, result.quarantined) == (True, 192, 64, 128)
    assert (result.lost, result.used_twice, result.ready, result.claimed) == (0, 0, 0, 0)
    assert {cut.name, flipped.name} <= {path.name for path in spool.layout.quarantined("main").iterdir()}


def mounted(path: Path, options: str) -> Iterator[Path]:
    """A small file system; the test is skipped where none can be mounted."""
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(path)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a small tmpfs here (needs root)")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB."""
    yield from mounted(tmp_path / "disk", "size=64k")


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A file system that cannot be written."""
    yield from mounted(tmp_path / "disk", "ro")


WRITING = [
    "xrdgen structures import few.parquet --workers 1 --out {}/o.parquet",
    "xrdgen structures split few.parquet --by random --out {}/o",
    "xrdgen statistics build few.parquet --out {}/o.npz",
    "xrdgen simulate good.cif --out {}/o.xy",
    "xrdgen simulate good.cif --plot {}/o.png",
    "xrdgen freeze few.parquet --step 0.05 --out {}/o.zarr",
    f"xrdgen produce {{}}/o {PRODUCE}",
    f"xrdtrain fit set.zarr --run {{}}/o {FIT} --samples 64 --test none",
    "xrdtrain report run --out {}/o.html",
]


@pytest.mark.parametrize("command", WRITING, ids=lambda command: " ".join(command.split()[:3]))
def test_a_full_disk(call: Any, world: Path, full_disk: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.chdir(world)
    (full_disk / "ballast").write_bytes(bytes(60 * 1024))
    done = call(*shlex.split(command.format(full_disk)))
    assert done.code == 2, done.err
    last = done.err.splitlines()[-1]
    assert re.search(r"[Nn]o space left", last), last
    assert "free" in last
    assert str(full_disk) in last
    assert "Traceback" not in done.err
    assert not [path for path in full_disk.rglob("*") if path.name.endswith(".tmp")]


@pytest.mark.parametrize("command", WRITING, ids=lambda command: " ".join(command.split()[:3]))
def test_a_disk_that_is_read_only(
    call: Any, world: Path, read_only: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(world)
    done = call(*shlex.split(command.format(read_only)))
    assert done.code == 2, done.err
    assert "Read-only file system" in done.err.splitlines()[-1]
    assert str(read_only) in done.err.splitlines()[-1]
    assert "Traceback" not in done.err


@pytest.mark.parametrize("bad", ["empty", "nan.xy"])
def test_good_files_are_answered_beside_bad_ones(
    call: Any, world: Path, monkeypatch: pytest.MonkeyPatch, bad: str
) -> None:
    monkeypatch.chdir(world)
    done = call("xrdtrain", "predict", "run", bad, "good.xy")
    assert done.code == 2
    assert "good.xy" in done.out
    assert f"error: {bad}: " in done.err
    assert done.err.splitlines()[-1] == "xrdtrain: error: 1 of 2 files were not answered, for the reasons above"
    assert "Traceback" not in done.err
