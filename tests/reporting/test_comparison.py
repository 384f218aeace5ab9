"""Several runs side by side: their values, the charts, and the page in a real browser and on paper."""

from __future__ import annotations

import json
import math
import re
import subprocess
from pathlib import Path

import pypdfium2
import pytest

from clusterrun.cli import main
from clusterrun.errors import SpecError
from clusterrun.reporting.comparison import compare_runs
from clusterrun.reporting.page.comparison_charts import (
    choose_colours,
    lay_out_curves,
    lay_out_parallel,
)
from clusterrun.reporting.page.comparison_page import render_comparison
from clusterrun.run_folder.index import Index
from tests.reporting.test_page_in_browser import PROBE, browser
from tests.support.sweep_folders import make_sweep

__all__ = ["browser"]
HOSTILE = "<img src=x onerror=alert(1)>"
CURVES = [{"loss": [(step, 5.0 / step + number) for step in range(1, 60)],
           "eval_loss": [(10, 3.0 - number / 10), (50, 2.0 - number / 10)]} for number in range(40)]  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    return tmp_path


def sweep(home: Path, count: int = 4, text: str = "adamw", name: str = "gpt2") -> str:
    members = [({"args.lr": f"{number + 1}e-4", "args.optimizer": text if number else "muon"}, curves)
               for number, curves in enumerate(CURVES[:count])]  # fmt: skip
    return make_sweep(home, members, "min eval_loss", name).run_id


def test_the_members_of_a_sweep_are_compared_by_its_metric(home: Path) -> None:
    found = compare_runs([sweep(home)], curves=True, index=Index({"HOME": str(home)}))
    assert [one.run_id[-2:] for one in found.runs] == ["-3", "-2", "-1", "-0"]
    first = found.runs[0]
    assert first.values == {"args.lr": "4e-4", "args.optimizer": "adamw"}
    assert (first.best, first.best_step, first.last) == (1.7, 50, 1.7)
    curves = found.curves[first.run_id]
    assert curves.metric == ((10, 2.7), (50, 1.7))
    assert len(curves.loss) == 59


def test_single_runs_show_only_the_values_that_differ(home: Path, capsys) -> None:
    run_id = sweep(home)
    assert main(["compare", f"{run_id}-1", f"{run_id}-2", "--metric", "loss"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == "RUN args.lr STATE STEP LOSS BEST AT STEP".split()
    assert [line.split()[0] for line in lines[1:]] == [f"{run_id}-1", f"{run_id}-2"]
    assert main(["compare", run_id, "--json"]) == 0
    assert [one["best"] for one in json.loads(capsys.readouterr().out)] == [1.7, 1.8, 1.9, 2.0]
    with pytest.raises(SpecError, match="needs 2 to 1000 runs"):
        compare_runs([f"{run_id}-1"])


def test_a_diverged_run_does_not_flatten_the_others() -> None:
    usual = [[(float(step), 1.0 + 1 / (step + 1)) for step in range(50)] for _ in range(5)]
    chart = lay_out_curves("loss", "Loss", [*usual[:3], [(0.0, 2.0), (50.0, 1e9)], *usual[3:], []])
    assert chart.cut
    assert max(float(tick.text) for tick in chart.y_ticks) < 3
    assert [line.number for line in chart.lines] == [0, 1, 2, 3, 4, 5]
    assert not lay_out_curves("loss", "Loss", usual).cut
    assert lay_out_curves("loss", "Loss", [[], []]).lines == ()


def test_axes_are_linear_logarithmic_or_categories() -> None:
    columns = [("lr", ["1e-5", "1e-4", "1e-3"]), ("seed", ["1", "2", "3"]), ("opt", ["a", "b", "1"]),
               ("loss", [2.0, None, math.nan])]  # fmt: skip
    laid = lay_out_parallel(columns)
    lr, seed, opt, _ = laid.axes
    assert [tick.text for tick in lr.ticks] == ["1e-05", "0.0001", "0.001"]
    places = [tick.at for tick in lr.ticks]
    assert places[0] - places[1] == pytest.approx(places[1] - places[2], abs=0.2)
    assert [tick.text for tick in seed.ticks] == ["1", "2", "3"]
    assert [tick.text for tick in opt.ticks] == ["a", "b", "1"]
    assert [line.number for line in laid.lines] == [0, 2]  # NaN has a line, up to the metric
    assert all("nan" not in line.points for line in laid.lines)
    assert lay_out_parallel([]).lines == ()


def test_equal_values_and_many_categories_have_axes() -> None:
    laid = lay_out_parallel(
        [("a", ["x"] * 30), ("b", [f"t{n}" for n in range(30)]), ("m", [1.0] * 30)]
    )
    assert [len(axis.ticks) for axis in laid.axes] == [1, 10, 1]
    assert len(laid.lines) == 30


def test_colours_are_distinct_for_a_few_and_ordered_for_many() -> None:
    assert len(set(choose_colours(8))) == 8
    many = choose_colours(200)
    assert (many[0], many[-1], len(many)) == ("#0072b2", "#e69f00", 200)


def test_report_writes_the_page_of_a_sweep(home: Path, tmp_path: Path, capsys) -> None:
    run_id = sweep(home, text=HOSTILE)
    place = tmp_path / "page.html"
    assert main(["report", run_id, "--html", str(place)]) == 0
    page = place.read_text()
    assert HOSTILE not in page
    assert "&lt;img src=x" in page
    assert not re.findall(r'(?:src|href)="(?!data:,)', page)
    assert main(["report", run_id]) == 2
    assert "--html FILE" in capsys.readouterr().err


@pytest.mark.parametrize(("scheme", "papers"), [
    (1, ["rgb(255, 255, 255)", "rgb(13, 17, 23)"]), (0, ["rgb(13, 17, 23)", "rgb(255, 255, 255)"]),
])  # fmt: skip
def test_the_page_in_a_browser(browser: str, home: Path, tmp_path: Path, scheme, papers) -> None:
    found = compare_runs([sweep(home, 40, HOSTILE)], curves=True)
    place = tmp_path / "page.html"
    place.write_text(render_comparison(found).replace("</head>", f"{PROBE}</head>"))
    words = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1280,900",
             f"--blink-settings=preferredColorScheme={scheme}", "--virtual-time-budget=2000", "--enable-logging=stderr"]  # fmt: skip
    done = subprocess.run([browser, *words, "--dump-dom", place.as_uri()], capture_output=True, text=True,
                          timeout=120, check=True)  # fmt: skip
    body = re.search(r"<body[^>]*>(.*)</body>", done.stdout, re.DOTALL)[1]
    seen = json.loads(body.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert [seen["before"], seen["after"]] == papers
    assert (seen["faults"], seen["requests"], seen["wide"]) == ([], [], False)
    for words in (
        "40 runs: 40 COMPLETED",
        "Best eval_loss",
        "args.optimizer",
        "Loss over steps",
        HOSTILE,
    ):
        assert words in seen["text"]
    assert len(seen["curves"]) == 120
    assert min(seen["curves"]) > 100


def test_the_page_on_paper(browser: str, home: Path, tmp_path: Path) -> None:
    """Black on white, and the table is on it."""
    found = compare_runs([sweep(home, 40)], curves=True)
    place, paper = tmp_path / "page.html", tmp_path / "page.pdf"
    place.write_text(render_comparison(found).replace("<html", '<html data-theme="dark"', 1))
    words = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--no-pdf-header-footer",
             f"--print-to-pdf={paper}"]  # fmt: skip
    subprocess.run([browser, *words, place.as_uri()], capture_output=True, timeout=120, check=True)
    sheets = [*pypdfium2.PdfDocument(paper)]
    text = "".join(sheet.get_textpage().get_text_range() for sheet in sheets)
    assert 2 <= len(sheets) <= 5
    words = re.sub(r"\s", "", text)
    assert all(one.run_id in words for one in found.runs)
    for sheet in sheets:
        assert sheet.render().to_numpy()[0, 0].tolist() == [255, 255, 255]
