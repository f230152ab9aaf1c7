"""The gap between synthetic and real crystals, small: four variants of the same crystals, and gains that add up."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from xrdcommon.fixed_sets.fixed_set import FixedSet

from tests.end_to_end.support.small_study import GROUPS, SHORT_GRID, Carry, with_arms, write_some

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

VARIANTS = ("reference", "coordinates", "lattice", "both")


def test_the_gap_is_taken_apart(carry_out: Carry, tmp_path: Path) -> None:
    few = write_some(tmp_path / "few.parquet", dict.fromkeys(GROUPS, 20))
    # a network that answers one and the same group after so few steps would show no gain at all
    file = with_arms("randomised-sets", ["resnet-101"], tmp_path)
    file.write_text(file.read_text().replace("--model resnet-101", "--model resnet-10-small"))
    study = carry_out(file, table=few, samples_resnet=640, min_structures=10, grid=SHORT_GRID)
    names = [f"{part}-{variant}" for part in ("test", "train") for variant in VARIANTS]
    assert study.columns("arm", "test") == [("resnet-101", test) for test in ("real", *names)]
    assert study.columns("published", "published_fresh")[:2] == [(0.799, 0.922), (None, 0.922)]

    sets = {name: FixedSet.open(study.folder / f"{name}.zarr") for name in names}
    for part in ("test", "train"):
        reference = sets[f"{part}-reference"]
        assert len(reference) > 5
        for variant in VARIANTS:
            data = sets[f"{part}-{variant}"]
            content = json.loads((study.folder / f"{part}-{variant}.zarr" / "zarr.json").read_text())
            assert content["attributes"]["xrdstream"]["randomised"]["variant"] == variant
            assert data.ids == reference.ids
            np.testing.assert_allclose(data.samples["volume"], reference.samples["volume"], rtol=1e-6)
            resized = variant in ("lattice", "both")
            same = np.isclose(data.samples["lattice"], reference.samples["lattice"], rtol=1e-6).all(axis=1)
            cubic = reference.samples["space_group"] == 225  # the volume says all of a cubic lattice
            assert (same | cubic).all() != resized
            if variant == "reference":
                continue
            assert not np.array_equal(data.patterns(0, len(data)), reference.patterns(0, len(data)))

    with (study.folder / "gap.csv").open(newline="") as stream:
        gaps = list(csv.DictReader(stream))
    assert [(row["training"], row["part"]) for row in gaps] == [("resnet-101-0", "test"), ("resnet-101-0", "train")]
    top1 = {row["test"]: 100.0 * row["top1"] for row in study.rows}
    for row in gaps:
        part, gain = row["part"], {name: float(row[name]) for name in (*VARIANTS, "rest", "fresh")}
        assert int(row["n"]) == len(sets[f"{part}-reference"])
        assert gain["reference"] == pytest.approx(top1[f"{part}-reference"])
        for variant in VARIANTS[1:]:
            assert gain["reference"] + gain[variant] == pytest.approx(top1[f"{part}-{variant}"])
        assert gain["fresh"] == pytest.approx(100.0 * study.rows[0]["fresh_top1"])
        assert gain["reference"] + gain["both"] + gain["rest"] == pytest.approx(gain["fresh"])
    assert any(float(row[variant]) for row in gaps for variant in VARIANTS[1:])
    lines = study.table.splitlines()
    assert "| paper, ResNet-101 on the ICSD | test | - | - | +4.89 | +0.79 | +5.70 | +6.60 | - |" in lines
    assert "| paper, ResNet-101 on the ICSD | train | - | - | +4.72 | +1.16 | +6.68 | +1.73 | - |" in lines
    page = (study.folder / "report.html").read_text()
    assert 'id="gap-parts-test"' in page
    assert 'id="gap-parts-train"' in page
