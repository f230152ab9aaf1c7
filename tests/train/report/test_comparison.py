"""Several runs on one page, and what can be saved from a figure."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from xrdcommon.errors import InputError, MissingFileError
from xrdtrain.report.analysis import confusion
from xrdtrain.report.comparison import run_row, write_comparison
from xrdtrain.report.page import page_parts, render
from xrdtrain.report.run_folder import read_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
def two(run: Path, tmp_path: Path) -> list[Path]:
    """Two runs of the same name in different folders; the second has fewer lines and another model."""
    other = tmp_path / "other" / run.name
    shutil.copytree(run, other)
    lines = (other / "metrics.jsonl").read_text().splitlines(keepends=True)
    (other / "metrics.jsonl").write_text("".join(lines[:7]))
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "model": "resnet-50", "n_parameters": 41362385}))
    return [run, other]


def test_the_numbers_are_those_of_the_runs(two: list[Path], tmp_path: Path) -> None:
    page = write_comparison(two, tmp_path / "both.html").read_text()
    for path in two:
        row = run_row(read_run(path), "x")
        n, top1, top5 = row.tests["amcsd"]
        assert f"{100 * top1:.1f}" in page
        assert f"{100 * top5:.1f}" in page
        assert f"<td>{n:,}</td>" in page
        assert f"{row.samples:,}" in page
    assert "41,362,385" in page
    assert f"other/{two[1].name}" in page  # the shortest end of the path that tells them apart
    assert page.count('class="line run-0"') >= 3
    assert page.count('class="line run-1"') >= 3
    assert "different lists of classes" not in page


def test_runs_of_different_classes_are_told(two: list[Path], tmp_path: Path) -> None:
    config = json.loads((two[1] / "config.json").read_text())
    (two[1] / "config.json").write_text(json.dumps({**config, "classes": config["classes"][:-1]}))
    page = write_comparison(two, tmp_path / "both.html").read_text()
    assert "the runs have 2 different lists of classes" in page


def test_the_rows_of_the_paper() -> None:
    """Tables 1 and S2: ResNet-101 reaches 79.9 %, direct training 56.1 % and 55.9 %, with a random split 83.2 %."""
    rows = page_parts()["paper_rows"]
    assert [row["test"] for row in rows] == ["83.2 %", "56.1 %", "55.9 %", "57.7 %", "73.4 %", "79.3 %", "79.9 %"]
    assert [row["parameters"] for row in rows if row["model"] == "ResNet-101"] == ["60,354,513"]


def test_what_cannot_be_compared_is_named(two: list[Path], tmp_path: Path, run_command: Any) -> None:
    with pytest.raises(InputError, match="named twice"):
        write_comparison([two[0], two[0]], tmp_path / "x.html")
    with pytest.raises(MissingFileError, match="no such run folder"):
        write_comparison([two[0], tmp_path / "none"], tmp_path / "x.html")
    with pytest.raises(InputError, match="at most 8"):
        write_comparison([two[0]] * 9, tmp_path / "x.html")
    done = run_command("xrdtrain", "report", *two, "--test", "amcsd")
    assert done.returncode == 2
    assert "--test" in done.stderr
    done = run_command("xrdtrain", "report", *two, "--json", cwd=tmp_path)
    assert json.loads(done.stdout) == {"report": "comparison.html"}
    assert (tmp_path / "comparison.html").stat().st_size > 20_000


def test_every_curve_carries_its_numbers(run: Path) -> None:
    """The table in a drawing holds the values of the metrics file."""
    page = render(read_run(run))
    tables = [unescape(text) for text in re.findall(r'<desc class="data">(.*?)</desc>', page, re.DOTALL)]
    assert len(tables) > 8
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rows = list(csv.reader(io.StringIO(tables[0])))
    found = {float(x): float(y) for series, x, y in rows[1:] if series == "synthetic"}
    assert found == pytest.approx({float(row["samples"]): row["top1"] for row in metrics}, rel=1e-6)


def test_confusions_carry_their_numbers(run: Path) -> None:
    content = read_run(run)
    matrix = confusion(content.tests["amcsd"])
    page = render(content)
    for name, expected in (("confusion", matrix.sum()), ("system-matrix", matrix.sum())):
        card = page[page.index(f'<figure id="{name}"') :]
        assert 'data-save="csv"' in card[: card.index("<svg viewBox")]
        table = re.search(r'<desc class="data">(.*?)</desc>', card, re.DOTALL)
        assert table is not None
        rows = list(csv.reader(io.StringIO(unescape(table[1]))))
        assert rows[0] == ["series", "first candidate", "times"]
        assert sum(int(times) for _, _, times in rows[1:]) == expected
        assert all(true.startswith("true ") for true, _, _ in rows[1:])


SAVE = """<script>
const saved = {};
URL.createObjectURL = (blob) => { blob.text().then((text) => { saved[blob.type] = text; show(); }); return "blob:x"; };
HTMLAnchorElement.prototype.click = function () {};
const show = () => {
  if (!saved["text/csv"] || !saved["image/svg+xml"]) return;
  document.body.dataset.csv = saved["text/csv"].split("\\n").slice(0, 3).join("|");
  const svg = saved["image/svg+xml"];
  document.body.dataset.svg = /^<svg[^>]*xmlns=/.test(svg) && svg.includes("<style");
};
const figure = document.querySelector("figure button[data-save=csv]").closest("figure");
for (const button of figure.querySelectorAll("button")) button.click();
document.body.dataset.wide = document.documentElement.scrollWidth > window.innerWidth;
</script></body>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
@pytest.mark.parametrize("width", [400, 1200])
def test_in_a_browser_figures_are_saved(two: list[Path], tmp_path: Path, width: int) -> None:
    page = write_comparison(two, tmp_path / "both.html")
    page.write_text(page.read_text().replace("</body>", SAVE))
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--virtual-time-budget=3000",
        f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900", "--dump-dom", f"file://{page}",
    ]  # fmt: skip
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("chromium does not start here")
    if "<body" not in result.stdout:
        pytest.skip(f"chromium does not start here: {result.stderr[-200:]}")
    found = dict(
        re.findall(r'data-(csv|svg|wide)="([^"]*)"(?= data-|>)', result.stdout[result.stdout.index("<body") :])
    )
    head, first, _ = unescape(found["csv"]).split("|")
    assert head.startswith('"series",diffractograms trained on')
    assert first.startswith(f'"{two[0].parent.name}/{two[0].name}",')
    assert found["svg"] == "true"
    assert found["wide"] == "false"
