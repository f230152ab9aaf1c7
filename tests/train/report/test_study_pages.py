"""Pages of a study."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from xrdtrain.experiments.commands import carry_out
from xrdtrain.report.comparison import MOST


def test_the_runs_of_a_study_that_one_page_cannot_show_are_on_further_pages(run: Path, tmp_path: Path) -> None:
    """A study of ten arms."""
    lines = "".join(
        f'[[arm]]\nname = "arm-{number}"\nsource = "x.zarr"\nfit = ""\ntests = []\n' for number in range(MOST + 2)
    )
    (tmp_path / "ten.toml").write_text(f'title = "Ten"\nabout = "."\n{lines}')
    out = tmp_path / "study"
    options: dict[str, Any] = {"seeds": None, "workers": 1, "dry_run": False, "submit": False, "sbatch_options": ""}
    (out / "runs").mkdir(parents=True)
    content = {"experiment": "ten", "values": {}, "scale": 1.0}
    (out / "study.json").write_text(json.dumps(content))
    for number in range(MOST + 2):
        copy = shutil.copytree(run, out / "runs" / f"arm-{number}-0")
        (copy / "evaluation.json").write_text("{}")
    said, _ = carry_out(str(tmp_path / "ten.toml"), out, 1.0, {}, **options)
    assert said[-1].endswith("curve.csv, report.html, report-2.html")
    pages = [(out / name).read_text() for name in ("report.html", "report-2.html")]
    assert [f"arm-{number}-0" in pages[0] for number in (0, MOST - 1, MOST)] == [True, True, False]
    assert [f"arm-{number}-0" in pages[1] for number in (0, MOST, MOST + 1)] == [False, True, True]
