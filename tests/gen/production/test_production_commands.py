"""`xrdgen produce`, `status`, `drain`, `audit` as a user calls them, with real crystals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from xrdcommon.files import canonical_hash
from xrdcommon.identity import SampleIdentity
from xrdcommon.shards import read_shard
from xrdcommon.spool.consumer import start_consumer
from xrdcommon.spool.producer import Stream
from xrdcommon.spool.spool import Spool
from xrdgen.cli import main

Command = Callable[..., "subprocess.CompletedProcess[str]"]

SMALL = ("--rows-per-shard", 16, "--step", 0.05, "--verification", "exact", "--seed", 3)
XRDGEN = Path(sys.executable).parent / "xrdgen"


@pytest.fixture(scope="module")
def produced(tmp_path_factory: pytest.TempPathFactory, run_command: Command) -> Path:
    """A small spool of real crystals, made by this process alone."""
    path = tmp_path_factory.mktemp("produced") / "spool"
    result = run_command("xrdgen", "produce", path, "--workers", 0, "--samples", 56, *SMALL, timeout=300)
    assert result.returncode == 0, result.stderr
    assert "56 samples made now, 56 ready in 4 shards" in result.stderr
    return path


@pytest.fixture
def spool(tmp_path: Path, produced: Path) -> Path:
    return shutil.copytree(produced, tmp_path / "spool")


@pytest.mark.slow
def test_workers_make_the_same_bytes(produced: Path, tmp_path: Path, run_command: Command) -> None:
    path = tmp_path / "spool"
    result = run_command("xrdgen", "produce", path, "--workers", 2, "--samples", 56, *SMALL, timeout=300)
    assert result.returncode == 0, result.stderr
    shards, expected = ({f.name: f.read_bytes() for f in (p / "ready" / "main").iterdir()} for p in (path, produced))
    assert shards == expected


def test_every_sample_can_be_drawn_again(produced: Path) -> None:
    """By `redraw`, and step by step from generator and simulator."""
    from xrdgen.crystals.generator import CrystalGenerator
    from xrdgen.diffraction.simulator import Simulator
    from xrdgen.samples.config import ProductionConfig
    from xrdgen.samples.engines import redraw
    from xrdgen.statistics.model import Statistics

    opened = Spool.open(produced)
    configuration = ProductionConfig.from_dict(opened.configuration)
    assert configuration.to_dict() == opened.configuration
    generator = CrystalGenerator(Statistics.load(produced / "statistics.npz"), configuration.generator)
    simulator = Simulator(configuration.simulation)
    shard = read_shard(sorted((produced / "ready" / "main").iterdir())[2])
    assert set(shard.samples["space_group"].tolist()) <= set(opened.classes)
    for row in (9, 2, 15):
        sample = shard.samples[row]
        identity = SampleIdentity(*(int(sample[name]) for name in ("run", "producer", "shard", "index")))
        assert (identity.run, identity.shard, identity.index) == (3, 2, row)
        crystal = generator.draw(identity)
        size = simulator.crystallite_size(identity)
        assert sample["space_group"] == crystal.space_group
        assert sample["crystallite_size"] == np.float32(size)
        np.testing.assert_array_equal(sample["lattice"], crystal.cell.astype(np.float32))
        assert sample["composition"].sum() == pytest.approx(sample["n_atoms"])
        pattern = simulator.pattern(crystal, size)
        np.testing.assert_array_equal(shard.patterns[row], pattern.astype(np.float16))
        again = redraw(opened, identity)
        assert again.record.tobytes() == sample.tobytes()
        np.testing.assert_array_equal(again.pattern, pattern)
        np.testing.assert_array_equal(again.crystal.positions, crystal.positions)
    assert shard.patterns.max() == 1.0
    assert shard.patterns.min() >= 0.0


def test_only_samples_of_the_spool_are_drawn_again(produced: Path) -> None:
    from xrdcommon.errors import InputError
    from xrdgen.samples.engines import redraw

    opened = Spool.open(produced)
    with pytest.raises(InputError, match="has run 0000000000000003; name the spool"):
        redraw(opened, SampleIdentity(4, 0, 0, 0))
    with pytest.raises(InputError, match="index must be 0 to 15"):
        redraw(opened, SampleIdentity(3, 0, 0, 16))


@pytest.mark.slow
def test_a_sample_is_drawn_again_by_command(produced: Path, tmp_path: Path, run_command: Command) -> None:
    shard = read_shard(sorted((produced / "ready" / "main").iterdir())[1])
    cif = tmp_path / "again.cif"
    identity = "0000000000000003:0:1:4"
    result = run_command("xrdgen", "sample", "--spool", produced, "--identity", identity, "--out", cif, "--json")
    assert result.returncode == 0, result.stderr
    (crystal,) = json.loads(result.stdout)
    sample = shard.samples[4]
    assert (crystal["identity"], crystal["space_group"]) == (identity, sample["space_group"])
    assert np.float32(crystal["crystallite_size"]) == sample["crystallite_size"]
    np.testing.assert_array_equal(np.float32(crystal["cell"]), sample["lattice"])
    assert cif.exists()
    for wrong in (["--identity", identity], ["--spool", produced, "--identity", "3:0:1"]):
        result = run_command("xrdgen", "sample", *wrong)
        assert result.returncode == 2
        assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_status_and_audit_report(spool: Path, run_command: Command) -> None:
    with start_consumer(Spool.open(spool), "run") as consumer:
        first, second = consumer.claim(2)
        consumer.cover({str(first): first.rows, str(second): 5}, step=1)
    status = json.loads(run_command("xrdgen", "status", spool, "--json").stdout)
    expected = {"samples_produced": 56, "samples_used": 21, "shards_ready": 2, "producers": 0, "samples_quarantined": 0}
    assert {key: status[key] for key in expected} == expected
    assert status["bytes_ready"] == sum(path.stat().st_size for path in (spool / "ready" / "main").iterdir())
    assert sum(counts["accepted"] for counts in status["crystals"].values()) == 56
    assert (status["rechecked"], status["refuted"]) == (
        sum(counts.get("rechecked", 0) for counts in status["crystals"].values()),
        0,
    )
    text = run_command("xrdgen", "status", spool).stdout
    assert "used         21" in text
    assert "stream 0: stopped" in text
    audit = run_command("xrdgen", "audit", spool, "--json")
    expected = {"produced": 56, "used": 21, "used_twice": 0, "ready": 24, "claimed": 11, "quarantined": 0, "lost": 0}
    report = json.loads(audit.stdout)
    assert (audit.returncode, report["ok"]) == (0, True)
    assert {key: report[key] for key in expected} == expected
    next((spool / "ready" / "main").iterdir()).unlink()
    audit = run_command("xrdgen", "audit", spool)
    assert audit.returncode == 1
    assert "NOT OK" in audit.stdout


def test_the_spool_is_continued_with_its_own_configuration(spool: Path, run_command: Command) -> None:
    assert run_command("xrdgen", "drain", spool).returncode == 0
    result = run_command("xrdgen", "produce", spool, "--workers", 0, "--samples", 70)
    assert result.returncode == 0, result.stderr
    assert "going on with the spool made there (seed 3)" in result.stderr
    assert "request to drain is cleared" in result.stderr
    names = sorted(path.name[:14] for path in (spool / "ready" / "main").iterdir())
    assert names == [f"p000000-{shard:06d}"[:14] for shard in range(5)]


def test_a_later_version_with_one_more_setting_goes_on(spool: Path, run_command: Command) -> None:
    file = spool / "spool.json"
    content = json.loads(file.read_text())
    del content["configuration"]["generator"]["recheck"]  # as if made before there was such a setting
    content["configuration_hash"] = canonical_hash(content["configuration"])
    file.write_text(json.dumps(content))
    result = run_command("xrdgen", "produce", spool, "--workers", 0, "--samples", 60)
    assert result.returncode == 0, result.stderr
    content["configuration"]["sample_version"] = 0
    content["configuration_hash"] = canonical_hash(content["configuration"])
    file.write_text(json.dumps(content))
    result = run_command("xrdgen", "produce", spool, "--workers", 0, "--samples", 70)
    assert result.returncode == 2
    assert "samples of kind 0" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--seed", 4), "seed is 3 there, 4 asked for"),
        (("--step", 0.01), "grid.step is 0.05 there, 0.01 asked for"),
        (("--space-groups", "uniform"), "generator.space_groups is natural there, uniform asked for"),
        (("--rows-per-shard", 32), "rows_per_shard is 16 there, 32 asked for"),
        (("--samples", -1), "samples -1: must be at least 1"),
        (("--workers", -2), "workers -2"),
        (("--high-watermark", "-1GB"), "size '-1GB'"),
        (("--high-watermark", "1kB"), "high watermark 1 kB: a shard of 16 samples needs"),
        (("--low-watermark", "30GB"), "need 0 <= low <= high"),
        (("--high-shards", -3), "shards"),
        (("--preset", "spicy"), "preset 'spicy'"),
        (("--wavelength", -1), "wavelength -1.0"),
        (("--statistics", "nowhere.npz"), "nowhere.npz: no such file"),
        (("--scheduler-file", "nowhere.json"), "nowhere.json: no such scheduler file"),
    ],
)
def test_wrong_input_gets_one_line(
    spool: Path,
    options: tuple[object, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(spool.parent)
    monkeypatch.setattr(sys, "argv", ["xrdgen", "produce", str(spool), *map(str, options)])
    before = sorted(path.name for path in spool.rglob("*.tar"))
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "going on with" not in line]
    assert len(lines) == 1, lines
    assert lines[0].startswith("xrdgen: error: ")
    assert message in lines[0]
    assert sorted(path.name for path in spool.rglob("*.tar")) == before


@pytest.mark.parametrize("command", ["produce", "status", "drain", "audit", "worker"])
def test_folders_that_are_no_spools_are_left_alone(tmp_path: Path, run_command: Command, command: str) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"holiday")
    result = run_command("xrdgen", command, tmp_path)
    assert result.returncode == 2
    assert "not a spool" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


def test_damaged_or_missing_statistics(spool: Path, tmp_path: Path, run_command: Command) -> None:
    (spool / "statistics.npz").write_bytes(b"not what it was")
    result = run_command("xrdgen", "produce", spool, "--workers", 0, "--samples", 100)
    assert result.returncode == 2
    assert "the copy was changed" in result.stderr
    text = tmp_path / "statistics.txt"
    text.write_text("no statistics")
    result = run_command("xrdgen", "produce", tmp_path / "new", "--statistics", text)
    assert result.returncode == 2
    assert not (tmp_path / "new").exists()


@pytest.fixture
def read_only(tmp_path: Path, spool: Path) -> Iterator[Path]:
    """The spool on a read-only file system; skipped where none can be mounted."""
    path = tmp_path / "read-only"
    path.mkdir()
    mount = ["mount", "--bind", str(spool), str(path)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount here (needs root)")
    remount = subprocess.run(["mount", "-o", "remount,ro,bind", str(path)], capture_output=True, check=False)
    yield path if remount.returncode == 0 else pytest.skip("cannot mount read-only here")
    subprocess.run(["umount", "-l", str(path)], check=True)


def test_a_read_only_spool(read_only: Path, run_command: Command) -> None:
    for command in ("produce", "drain"):
        result = run_command("xrdgen", command, read_only)
        assert result.returncode == 2
        assert "cannot be written (Read-only file system)" in result.stderr
    assert run_command("xrdgen", "audit", read_only).returncode == 0
    result = run_command("xrdgen", "produce", read_only / "new", "--workers", 0)
    assert result.returncode == 2
    assert "cannot be written" in result.stderr


def test_the_bare_command_with_more_workers_than_cores(tmp_path: Path, run_command: Command) -> None:
    """`xrdgen produce --workers 256` as it stands; a worker of another process joins and leaves."""
    environment = {key: value for key, value in os.environ.items() if key != "XRD_SPOOL"}
    command = [str(XRDGEN), "produce", "--workers", "256"]
    producer = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    joined = None
    try:
        end = time.monotonic() + 60
        while not list(tmp_path.glob("spool/tmp/p*")):
            assert producer.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        joined = subprocess.Popen(
            [str(XRDGEN), "worker", "--workers", "1"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
        )
        assert joined.stderr is not None
        assert "1 workers join" in joined.stderr.readline()
        status = json.loads(run_command("xrdgen", "status", tmp_path / "spool", "--json").stdout)
        assert status["producers"] == 1
        producer.send_signal(signal.SIGINT)
        time.sleep(1.3)  # what comes earlier is the same request
        producer.send_signal(signal.SIGINT)
        _, text = producer.communicate(timeout=30)
        _, farewell = joined.communicate(timeout=150)  # cold kernels compile first
    finally:
        for process in (producer, joined):
            if process is not None and process.poll() is None:
                process.kill()
    cores = len(os.sched_getaffinity(0))
    assert f"256 workers asked for, {cores} cores here: {cores} local processes are started" in text
    assert "xrdgen worker" in text
    assert producer.returncode == 75, text
    assert "Traceback" not in text + farewell
    assert json.loads(run_command("xrdgen", "audit", tmp_path / "spool", "--json").stdout)["ok"]


def test_a_stream_in_use_is_not_shared(spool: Path, run_command: Command) -> None:
    stream = Stream.open(Spool.open(spool))
    result = run_command("xrdgen", "produce", spool, "--workers", 0, "--samples", 60)
    stream.close()
    assert result.returncode == 0, result.stderr
    assert len(list((spool / "ready" / "main").glob("p000001-*"))) == 1
