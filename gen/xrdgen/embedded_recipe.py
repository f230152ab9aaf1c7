"""How the embedded structures and statistics were made: `python -m xrdgen.embedded_recipe DATA WORK`.

DATA holds amcsd.parquet and materials_project.parquet (see `data/README.md` for where they come from). Entries of the
Materials Project stay in WORK; of them only statistics are shipped.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from xrdcommon.console import say
from xrdcommon.errors import InputError
from xrdcommon.files import sha256_file, write_json

from xrdgen import embedded
from xrdgen.splitting import SplitBy, split_tables
from xrdgen.statistics.build import build_statistics
from xrdgen.statistics.model import Statistics
from xrdgen.structures.importing import import_structures
from xrdgen.structures.table import read_table, write_table

SEED = 0
TEST_FRACTION = 0.3
COMMANDS = (
    "xrdgen structures import DATA/materials_project.parquet --out WORK/materials_project.parquet",
    "xrdgen structures import DATA/amcsd.parquet --out WORK/amcsd.parquet",
    "xrdgen structures split WORK/materials_project.parquet WORK/amcsd.parquet --by structure-type "
    f"--test-fraction {TEST_FRACTION} --seed {SEED} --out WORK/parts",
    "xrdgen statistics build WORK/parts/train.parquet --name xrdstream-default --out statistics.npz",
    "(WORK/train-mp.parquet, WORK/amcsd-test.parquet: rows of the training and test part by the column source)",
    "xrdgen statistics build WORK/train-mp.parquet --name materials-project --out statistics-materials-project.npz",
    "xrdgen statistics build WORK/amcsd.parquet WORK/materials_project.parquet --name whole --out statistics-whole.npz",
)
"""The same by hand."""


def run(data: Path, work: Path, out: Path) -> dict[str, Any]:
    """Make the embedded files.

    Args:
        data: folder of the two tables.
        work: folder for what is not shipped: imported tables, parts, amcsd-test.parquet.
        out: folder of the embedded files.

    Returns:
        the record that is written as embedded.json.

    """
    tables = {}
    for name in ("materials_project", "amcsd"):
        tables[name] = work / f"{name}.parquet"
        report = import_structures([data / f"{name}.parquet"], tables[name])
        say(f"{name}: {report.imported} of {report.read} imported, {report.rejected} rejected")
    parts = work / "parts"
    split = split_tables(tables.values(), parts, by=SplitBy.STRUCTURE_TYPE, test_fraction=TEST_FRACTION, seed=SEED)
    say(f"split: {split.train} training, {split.test} test, {split.test_units} of {split.units} families")
    train, test = read_table(parts / "train.parquet"), read_table(parts / "test.parquet")
    write_table(work / "train-mp.parquet", train[train["source"] == "MP"].reset_index(drop=True))
    write_table(work / "train-amcsd.parquet", train[train["source"] == "AMCSD"].reset_index(drop=True))
    amcsd_test = test[test["source"] == "AMCSD"].reset_index(drop=True)
    write_table(work / "amcsd-test.parquet", amcsd_test)
    made = {
        "statistics.npz": build_statistics([parts / "train.parquet"], name="xrdstream-default"),
        "statistics-materials-project.npz": build_statistics([work / "train-mp.parquet"], name="materials-project"),
        "statistics-whole.npz": build_statistics([tables["amcsd"], tables["materials_project"]], name="whole"),
    }
    originals = [
        {"file": f"{name}.parquet (original)", "sha256": sha256_file(data / f"{name}.parquet")} for name in tables
    ]
    for name, statistics in made.items():
        used = originals[:1] if name == "statistics-materials-project.npz" else originals
        statistics.header["inputs"] = used + statistics.header["inputs"]
        statistics.header["commands"] = list(COMMANDS)
        statistics.save(out / name)
    shutil.copyfile(tables["amcsd"], out / "amcsd.parquet")
    classes = made["statistics.npz"].classes()
    record = {
        "commands": list(COMMANDS),
        "inputs": originals,
        "citations": made["statistics.npz"].header["citations"],
        "split": split.to_dict(),
        "classes": len(classes),
        "whole_structures": int(made["statistics-whole.npz"].n_structures.sum()),
        "statistics_structures": int(made["statistics.npz"].n_structures.sum()),
        "amcsd_test": len(amcsd_test),
        "amcsd_test_outside_classes": int((~amcsd_test["space_group"].isin(classes)).sum()),
        "outputs": {name: sha256_file(out / name) for name in (*made, "amcsd.parquet")},
        "test_sha256": sha256_file(work / "amcsd-test.parquet"),
    }
    write_json(out / "embedded.json", record)
    return record


def main(arguments: list[str]) -> None:
    """Run from the command line: DATA WORK [OUT]."""
    if len(arguments) not in (2, 3):
        raise InputError("give the folder of the two tables and a folder to work in")
    out = Path(arguments[2]) if len(arguments) == 3 else embedded.statistics_path().parent
    record = run(Path(arguments[0]), Path(arguments[1]), out)
    test, outside = record["amcsd_test"], record["amcsd_test_outside_classes"]
    say(f"{record['classes']} groups with 50 or more structures; {test} test structures, {outside} outside the classes")
    Statistics.load(out / "statistics.npz")


if __name__ == "__main__":
    main(sys.argv[1:])
