"""Unit cells of named crystals: drawn again from identities, found in tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xrdcommon.errors import InputError
from xrdcommon.grid import Grid
from xrdcommon.identity import SampleIdentity
from xrdcommon.spool.spool import Spool
from xrdcommon.unit_cells import read_unit_cells
from xrdgen.crystals.settings import GeneratorSettings
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.embedded import resolve
from xrdgen.samples.cells import read_names, unit_cells
from xrdgen.samples.config import STATISTICS_FILE, ProductionConfig
from xrdgen.samples.engines import redraw
from xrdgen.structures.table import crystal_of, read_table

RUN = 21


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Spool:
    statistics = Path(resolve("embedded:statistics"))
    configuration = ProductionConfig.build(
        statistics, SimulationSettings(grid=Grid(10.0, 60.0, 0.05)), GeneratorSettings(space_groups=(14, 225))
    )
    path = tmp_path_factory.mktemp("cells") / "spool"
    return Spool.create(path, configuration.to_dict(), RUN, {STATISTICS_FILE: statistics})


def test_cells_are_those_of_samples_and_of_structures(spool: Spool) -> None:
    """A synthetic crystal with its diffractogram, a real one with mixed sites; all atoms of the conventional cell."""
    table = read_table("embedded:amcsd")
    mixed = table[table["mixed_occupancy"]].iloc[7]
    names = [f"{mixed['source']}:{mixed['id']}", "0000000000000015:0:3:9", "AMCSD:nowhere", "0000000000000015:0:3:2"]
    found, missing = unit_cells(names, spool.path, ["embedded:amcsd"])
    assert missing == ["AMCSD:nowhere"]
    assert [cell.name for cell in found] == [names[0], names[1], names[3]]
    real = crystal_of(mixed)
    assert (found[0].space_group, len(found[0].positions), found[0].pattern) == (real.space_group, real.n_atoms, None)
    assert abs(np.linalg.det(found[0].vectors)) == pytest.approx(real.volume, rel=1e-6)
    assert set(found[0].elements) <= {str(species) for species in real.to_pymatgen().elements} | {"D"}
    for cell, index in ((found[1], 9), (found[2], 2)):
        drawn = redraw(spool, SampleIdentity(RUN, 0, 3, index))
        assert cell.space_group == drawn.crystal.space_group
        assert len(cell.positions) == drawn.crystal.n_atoms
        assert cell.pattern is not None
        np.testing.assert_allclose(cell.pattern, drawn.pattern)
        assert cell.grid == spool.grid


def test_samples_of_another_spool_are_refused(spool: Spool) -> None:
    with pytest.raises(InputError, match="has run 0000000000000015; name the spool it is from"):
        unit_cells(["0000000000000016:0:3:9"], spool.path, [])
    with pytest.raises(InputError, match="index must be 0 to"):
        unit_cells(["0000000000000015:0:3:999999"], spool.path, [])
    assert unit_cells(["0000000000000015:0:3:9"], None, ["embedded:amcsd"]) == ([], ["0000000000000015:0:3:9"])


def test_command(spool: Spool, run_command: Any, tmp_path: Path) -> None:
    names = tmp_path / "hardest.csv"
    names.write_text(
        "name,set,space_group,loss\n0000000000000015:0:0:1,fresh synthetic,14,9.5\nAMCSD:none,amcsd,1,9.4\n"
    )
    assert read_names(names) == ["0000000000000015:0:0:1", "AMCSD:none"]
    quoted = tmp_path / "quoted.csv"
    quoted.write_text('name,set\n"mine:a, b",x\n\nmine:c\n')
    assert read_names(quoted) == ["mine:a, b", "mine:c"]
    out = tmp_path / "cells.json"
    words = ("xrdgen", "cells", names, "--out", out)
    done = run_command(*words, "--spool", spool.path, "--structures", "embedded:amcsd")
    assert done.returncode == 0, done.stderr
    assert "1 not found, such as AMCSD:none" in done.stderr
    assert list(read_unit_cells(out)) == ["0000000000000015:0:0:1"]
    for more, message in (
        ((), "give --structures TABLE"),
        (("--structures", "embedded:amcsd"), "none of its 2 crystals"),
    ):
        done = run_command(*words, *more)
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    done = run_command("xrdgen", "cells", tmp_path / "none.csv", "--out", out, "--spool", spool.path)
    assert (done.returncode, "none.csv: no such file" in done.stderr) == (2, True)
