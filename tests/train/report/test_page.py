"""The page as a whole: self-contained, well-formed, honest about what is missing, and working in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner
from xrdcommon.errors import FormatError, InputError
from xrdcommon.fixed_sets.fixed_set import FixedSet
from xrdcommon.unit_cells import UnitCell, write_unit_cells
from xrdtrain.report.page import render, write_report
from xrdtrain.report.run_folder import read_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
VOID = {"meta", "br", "hr", "img", "input", "link"}
FIGURES = (
    "accuracy", "accuracy-log", "error", "loss", "gap", "speed", "waiting", "backlog", "top-k", "calibration", "recall",
    "confusion", "system-matrix", "distribution", "histogram-density_factor", "histogram-crystallite_size",
    "histogram-volume", "histogram-n_sites", "error-volume", "error-n_sites", "families", "extinction",
    "subgroup-distance", "accuracy-systems", "recall-frequency", "loss-distribution", "hard-real-1", "hard-synthetic-6",
)  # fmt: skip


class Page(HTMLParser):
    """Collects tags, ids and addresses; checks that every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._see(attrs)
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._see(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag, f"</{tag}> at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.stack):
            self.text += data

    def _see(self, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src", "data", "action")]


def words(text: str) -> str:
    return " ".join(text.split())


def test_a_whole_run(run: Path) -> None:
    path = write_report(run)
    assert path == run / "report.html"
    text = path.read_text()
    page = Page(text)
    assert set(FIGURES) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    said = words(page.text)
    assert "resnet-10-small names the right space group of" in said
    assert "1,841,234" in said
    assert "261,000 unique diffractograms" in said
    assert "Enantiomorphs merged" in said
    assert "amcsd:0000" in said, "examples are drawn from the test set"
    assert "sure and wrong" in said
    assert "No evaluation" not in said
    assert len(text) < 3_000_000


def test_it_needs_no_network(run: Path) -> None:
    text = render(read_run(run))
    assert all(address.startswith("#") for address in Page(text).addresses)
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org)", text)


def test_the_same_run_gives_the_same_page(run: Path) -> None:
    assert render(read_run(run)) == render(read_run(run))


def test_the_numbers_are_those_of_evaluate(run: Path) -> None:
    from xrdtrain.report.analysis import measures

    content = read_run(run)
    result = measures(content.tests["amcsd"])
    said = Page(render(content)).text.replace("\N{NO-BREAK SPACE}", " ")
    for name in ("top1", "top5", "top1_all", "top1_enantiomorphs_merged", "top1_ceiling", "chance", "extinction_group"):
        assert f"{100 * result[name]:.1f} %" in said, name


def test_missing_parts_are_said(run: Path) -> None:
    shutil.rmtree(run / "evaluation")
    said = words(Page(render(read_run(run))).text)
    assert "No test set has been evaluated yet" in said
    assert "xrdtrain evaluate" in said
    (run / "metrics.jsonl").unlink()
    said = words(Page(render(read_run(run))).text)
    assert "nothing is trained or evaluated yet" in said
    assert "metrics.jsonl is empty or not there" in said


def test_without_synthetic_evaluation_or_test_set(run: Path) -> None:
    (run / "evaluation" / "synthetic.npz").unlink()
    shutil.rmtree(run.parent / "amcsd.zarr")
    said = words(Page(render(read_run(run))).text)
    assert "no evaluation of the data it was trained on yet" in said
    assert "No examples:" in said


def test_a_test_set_that_changed_gives_no_examples(run: Path) -> None:
    from xrdcommon.fixed_sets.fixed_set import FixedSet, write_fixed_set

    path = run.parent / "amcsd.zarr"
    old = FixedSet.open(path)
    ids = ["other:1", *old.ids[1:]]
    write_fixed_set(path, old.grid, [old.patterns()], old.samples, ids, {}, overwrite=True)
    assert "has changed since the evaluation" in render(read_run(run))


def test_a_training_on_a_fixed_set_does_not_speak_of_synthetic(run: Path) -> None:
    (run / "evaluation" / "synthetic.npz").rename(run / "evaluation" / "training.npz")
    said = words(Page(render(read_run(run))).text)
    assert "training set" in said
    assert "fresh synthetic" not in said
    assert "Training and test crystals" in said


def test_families_absences_and_the_way_of_errors_are_told(run: Path) -> None:
    import numpy as np
    from xrdtrain.report.analysis import measures

    result = measures(read_run(run).tests["amcsd"])
    said = words(Page(render(read_run(run))).text).replace("\N{NO-BREAK SPACE}", " ")
    for share in (result["families"]["top1"], result["families"]["top5"], result["extinction"]["within"]):
        assert f"{100 * share:.1f} %" in said
    assert f"each of {result['families']['n']} families counts once" in said
    assert f"Errors are {result['subgroup_distance']['mean_of_errors']:.2f} steps away on average" in said
    outside = result["outside_classes"]
    assert f"Outside the classes in amcsd: {outside['n']} diffractograms of {outside['n_groups']} space groups" in said
    path = run / "evaluation" / "amcsd.npz"
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays["samples"]["family"] = 0
    np.savez(path, **arrays)
    said = words(Page(render(read_run(run))).text)
    assert "Structure families: not known" in said
    assert "counts once" not in said.replace("every Wyckoff configuration counts once", "")


def test_the_hardest_crystals_stand_side_by_side(run: Path) -> None:
    """The loss is that of the logits; real ones are drawn, synthetic ones named by what draws them again."""
    import numpy as np

    with np.load(run / "evaluation" / "amcsd.npz") as archive:
        arrays = dict(archive)
    content = read_run(run)
    test = content.tests["amcsd"]
    probability = np.exp(arrays["logits"].astype(np.float64))
    probability /= probability.sum(axis=1, keepdims=True)
    column = np.searchsorted(arrays["classes"], arrays["labels"])
    expected = [
        -np.log(probability[row, column[row]]) if inside else np.nan for row, inside in enumerate(test.inside.tolist())
    ]
    assert test.loss is not None
    np.testing.assert_allclose(test.loss, expected, rtol=1e-9)
    worst = int(np.nanargmax(expected))
    page = render(content)
    card = page[page.index('id="hard-real-1"') :]
    card = card[: card.index("</figure>")]
    assert content.tests["amcsd"].ids is not None
    assert content.tests["amcsd"].ids[worst] in card
    assert f"loss {expected[worst]:.1f}" in card
    assert '<desc class="data">' in card
    assert 'data-save="csv"' in card
    other = page[page.index('id="hard-synthetic-1"') :]
    other = other[: other.index("</figure>")]
    assert "<svg viewBox" not in other
    assert "0000000000000000:0:0:" in other
    assert "gradient norm" not in card
    kept = {name: values for name, values in arrays.items() if name != "logits"}
    norm = np.arange(len(arrays["labels"]), dtype=np.float32)
    np.savez(run / "evaluation" / "amcsd.npz", **kept, loss=np.where(test.inside, norm, np.nan), gradient_norm=norm)
    last = int(np.flatnonzero(test.inside)[-1])
    card = render(read_run(run))
    card = card[card.index('id="hard-real-1"') :]
    assert f"gradient norm {last}" in card[: card.index("</figure>")]
    np.savez(run / "evaluation" / "amcsd.npz", **kept)
    assert "No loss of a single diffractogram is known" in render(read_run(run))


def hardest_cells(run: Path) -> None:
    """Write RUN/cells.json for the names in RUN/hardest.csv, as `xrdgen cells` does."""
    names = [line.split(",")[0] for line in (run / "hardest.csv").read_text().splitlines()[1:]]
    fixed_set = FixedSet.open(run.parent / "amcsd.zarr")
    cells = []
    for number, name in enumerate(names):
        atoms = [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.25, 0.5, 0.0]][: 1 + number % 3]
        made: dict[str, Any] = {"grid": fixed_set.grid, "pattern": fixed_set.patterns(number, number + 1)[0]}
        cells.append(
            UnitCell(
                name,
                225,
                np.array([[5.0, 0.0, 0.0], [-1.0, 6.0, 0.0], [0.0, 0.5, 7.0]]),
                np.array(atoms),
                ("Na", "Cl", "<b>")[: len(atoms)],
                np.array([1.66, 1.02, 1.5])[: len(atoms)],
                **(made if ":0:0:" in name else {}),
            )
        )
    write_unit_cells(run / "cells.json", cells)


def test_unit_cells_are_drawn_where_they_are_known(run: Path) -> None:
    """Without the file the page says how to make it; with it cells of both kinds, and synthetic diffractograms."""
    page = write_report(run).read_text()
    assert "unit-cell" not in page[page.index("</style>") :]
    said = words(Page(page).text)
    assert f"xrdgen cells {run / 'hardest.csv'} --spool SPOOL --structures TABLE --out {run / 'cells.json'}" in said
    rows = (run / "hardest.csv").read_text().splitlines()
    assert rows[0] == "name,set,space_group,loss"
    assert [row.split(",")[1] for row in rows[1:]] == ["amcsd"] * 6 + ["fresh synthetic"] * 6
    (run / "hardest.csv").unlink()
    before = sorted(run.iterdir())
    write_report(run, run.parent / "elsewhere.html")
    assert sorted(run.iterdir()) == before
    write_report(run)
    hardest_cells(run)
    page = write_report(run).read_text()
    for card, pattern in (("hard-real-1", True), ("hard-synthetic-1", True), ("hard-synthetic-6", True)):
        text = page[page.index(f'id="{card}"') :]
        text = text[: text.index("</figure>")]
        assert text.count('<div class="unit-cell"><svg') == 1
        assert ('<div class="plot"><svg' in text) == pattern
    first = page[page.index('id="hard-real-1"') :]
    first = first[: first.index("</figure>")]
    assert first.count('<circle class="atom atom-0" cx') == 8 + 1  # an atom on every corner, and the key
    assert first.count('<path class="cell-edge') == 12
    assert first.count("behind") == 3
    third = page[page.index('id="hard-real-3"') :]
    assert "&lt;b&gt;" in third[: third.index("</figure>")]
    assert "xrdgen cells" not in words(Page(page).text)
    (run / "cells.json").write_text("{}")
    with pytest.raises(FormatError, match=r"cells\.json: not a file of unit cells"):
        write_report(run)


def test_atoms_in_front_are_drawn_last() -> None:
    """The viewer is where a points to: of two atoms along a the nearer one comes later, and its circle covers."""
    from xrdtrain.report.cell_drawing import draw_cell

    cell = UnitCell(
        "two", 1, np.diag([6.0, 6.0, 6.0]), np.array([[0.9, 0.5, 0.5], [0.1, 0.5, 0.5]]), ("Na", "Cl"), np.ones(2)
    )
    drawn = str(draw_cell(cell))
    assert drawn.index(">Cl</text>") < drawn.index(">Na</text>")
    heights = re.findall(r'<circle class="atom atom-\d" cx="([-.\d]+)" cy="([-.\d]+)"', drawn)
    assert float(heights[1][1]) > float(heights[0][1])  # seen from above, the nearer one is lower


def test_another_test_set_can_be_shown(run: Path) -> None:
    shutil.copy(run / "evaluation" / "amcsd.npz", run / "evaluation" / "mine.npz")
    assert "<h2>Answers on amcsd</h2>" in render(read_run(run))
    assert "<h2>Answers on mine</h2>" in render(read_run(run), "mine")
    with pytest.raises(InputError, match="no evaluation of a test set 'icsd'; there are: amcsd, mine"):
        render(read_run(run), "icsd")


def test_a_test_set_without_any_class(run: Path) -> None:
    import numpy as np

    path = run / "evaluation" / "amcsd.npz"
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays["labels"] = np.full_like(arrays["labels"], 3)
    np.savez(path, **arrays)
    said = words(Page(render(read_run(run))).text)
    assert "300 diffractograms in amcsd; no space group among them is one of its classes" in said
    assert "nan" not in said.lower().split()


def test_names_from_outside_are_escaped(run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    config["model"] = "<script>alert(1)</script>"
    config["grid"] = {"two_theta_min": 5}
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(FormatError, match="unreadable grid"):
        render(read_run(run))
    del config["grid"]
    (run / "config.json").write_text(json.dumps(config))
    assert "<script>alert" not in render(read_run(run))


def test_command(run: Path, tmp_path: Path) -> None:
    from xrdtrain.cli.report import report

    app = typer.Typer()
    app.command()(report)
    out = tmp_path / "deep" / "page.html"
    result = CliRunner().invoke(app, [str(run), "--out", str(out), "--json"], catch_exceptions=False)
    assert json.loads(result.stdout) == {"report": str(out)}
    assert out.read_text().startswith("<!doctype html>")
    with pytest.raises(InputError, match="not a run folder"):
        CliRunner().invoke(app, [str(tmp_path)], catch_exceptions=False)
    with pytest.raises(InputError, match="is a folder"):
        CliRunner().invoke(app, [str(run), "--out", str(tmp_path)], catch_exceptions=False)


def test_reading_a_run_does_not_need_torch(run: Path) -> None:
    code = f"import sys; from xrdtrain.report.page import write_report; from pathlib import Path; \
write_report(Path({str(run)!r})); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


SORT = """<script>
const table = document.querySelector("#confusions table.sortable");
const button = table.tHead.rows[0].cells[0].querySelector("button");
const read = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent).join(",");
button.click(); document.body.dataset.down = read();
button.click(); document.body.dataset.up = read();
document.body.dataset.wide = document.documentElement.scrollWidth > window.innerWidth;
const cells = [...document.querySelectorAll(".unit-cell svg")];
document.body.dataset.cells = cells.filter((svg) => {
  const frame = svg.closest("figure").getBoundingClientRect(), atoms = [...svg.querySelectorAll("circle.atom")];
  return atoms.length && atoms.every((atom) => {
    const box = atom.getBoundingClientRect(), fill = getComputedStyle(atom).fill;
    return box.width > 3 && box.left >= frame.left && box.right <= frame.right && fill !== "rgb(0, 0, 0)";
  });
}).length;
</script></body>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_in_a_browser_tables_sort_and_nothing_overflows(run: Path, tmp_path: Path) -> None:
    write_report(run)
    hardest_cells(run)
    page = tmp_path / "page.html"
    page.write_text(render(read_run(run)).replace("</body>", SORT))
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1200,900", "--dump-dom", f"file://{page}",
    ]  # fmt: skip
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("chromium does not start here")
    if "<body" not in result.stdout:
        pytest.skip(f"chromium does not start here: {result.stderr[-200:]}")
    found = dict(re.findall(r'data-(down|up|wide|cells)="([^"]*)"', result.stdout))
    down = [int(number) for number in found["down"].split(",")]
    assert down == sorted(down, reverse=True)
    assert [int(number) for number in found["up"].split(",")] == sorted(down)
    assert found["wide"] == "false"
    assert found["cells"] == "12"
