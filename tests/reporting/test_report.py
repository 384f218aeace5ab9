"""`report`: a run's numbers, its page, and the page in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pypdfium2
import pytest

from clusterrun.cli import main
from clusterrun.errors import SpecError
from clusterrun.reporting.goodput import AttemptTimeline, TimeSplit
from clusterrun.reporting.page.charts import (
    WIDTH,
    Series,
    lay_out_chart,
    lay_out_timeline,
    thin_out,
)
from clusterrun.reporting.page.drawing import render_page
from clusterrun.reporting.page.scales import (
    Scale,
    choose_ticks,
    choose_time_ticks,
    format_time_tick,
)
from clusterrun.reporting.run_report import Hours, RunReport, count_gpus, machine_hours, report
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import write_record
from tests.support.run_story import StoryTeller

BEGUN = 1_795_000_000.0


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunPaths:
    """A run with four attempts: preempted, ended by a node failure, crashed, finished."""
    return StoryTeller(
        tmp_path_factory.mktemp("runs") / "gpt2-medium-20261121-060228-9786", BEGUN
    ).tell()


@pytest.fixture(scope="module")
def found(run) -> RunReport:
    return report(str(run.folder))


def test_the_numbers_of_a_run(found):
    """The parts add up, and the hours are those of the run's machines."""
    split = found.time_split
    assert split.wall == pytest.approx(1800 + 9000 + 2600 + 7000 + 900 + 1300 + 300 + 15000, abs=2)
    assert split.waiting == pytest.approx(
        1800 + 2600 + 900 + 300 + 60, abs=30
    )  # and the last minute of a silent end
    assert split.startup == pytest.approx(4 * 240, abs=4)
    assert 450 < split.lost < 2.2 * 520
    assert split.saving == pytest.approx(sum(measure.saving for measure in found.measures))
    assert found.gpu_hours.used == pytest.approx(16 * split.allocated / 3600)
    assert found.gpu_hours.wasted == pytest.approx(16 * (split.allocated - split.productive) / 3600)
    assert found.node_hours.used == pytest.approx(4 * split.allocated / 3600)
    assert [one.steps_lost for one in found.attempts] == [0, 370, 150, 0]
    assert found.samples_per_second == pytest.approx(250, abs=2)
    values = found.as_dict()
    json.dumps(values)
    assert set(values) == {
        "status",
        "ettr",
        "time_split",
        "node_hours",
        "gpu_hours",
        "samples_per_second",
        "attempts",
        "timeline",
    }


@pytest.mark.parametrize(("options", "nodes", "gpus"), [
    ({}, 4, 0), ({"gpus_per_node": "a100:4"}, 3, 12), ({"gpus-per-node": 4}, 2, 8), ({"gpus": 6}, 3, 6),
    ({"gpus_per_task": "2"}, 3, 6), ({"gres": "gpu:2,tmp:1"}, 2, 4), ({"gres": "tmp:1"}, 2, 0), ({"gpus": "some"}, 2, 0),
])  # fmt: skip
def test_gpus_of_a_job(options, nodes, gpus):
    """GPUs are counted from the options that request them; unreadable ones count as none."""
    assert count_gpus(options, nodes) == gpus


def test_hours_of_attempts_with_different_numbers_of_nodes():
    """Each attempt counts its own nodes; the waste of a script that reports nothing is unknown."""
    stories = [AttemptTimeline(1, None, 0, 0, None, 0, 0, TimeSplit(productive=1800, waiting=900, startup=1800)),
               AttemptTimeline(2, None, 0, 0, None, 0, 0, TimeSplit(productive=3600))]  # fmt: skip
    assert machine_hours(stories, {1: 2, 2: 4}) == Hours(2 + 4, 1)
    assert machine_hours(
        [AttemptTimeline(1, None, 0, 0, None, 0, 0, TimeSplit(unknown=3600))], {1: 2}
    ) == Hours(2, None)


def test_a_run_without_attempts(tmp_path):
    """Before the first attempt the report is short, without errors."""
    paths = RunPaths(tmp_path / "fresh")
    paths.events.mkdir(parents=True)
    empty = report(str(paths.folder))
    assert (empty.time_split.ettr, empty.gpu_hours, empty.samples_per_second, empty.curve) == (
        None,
        None,
        None,
        (),
    )
    assert "The run has not started." in render_page(empty)


def test_a_script_that_reports_nothing(tmp_path, capsys):
    """The queue time and the attempts are shown, without a ratio."""
    paths = RunPaths(tmp_path / "quiet")
    paths.events.mkdir(parents=True)
    write_record(paths.begin("0001"), {"job_id": 7, "nodes": "n1", "began": int(BEGUN)})
    write_record(
        paths.end("0001"),
        {"cause": "finished", "next": "end", "exit_code": 0, "ended": int(BEGUN) + 100},
    )
    assert main(["report", str(paths.folder)]) == 0
    shown = capsys.readouterr().out
    assert "unknown: the script does not use clusterrun.training" in shown
    assert "unknown" in render_page(report(str(paths.folder)))


def test_an_array_has_no_report(tmp_path):
    """Each of its tasks is a run with its own report."""
    paths = RunPaths(tmp_path / "grid")
    paths.events.mkdir(parents=True)
    write_record(paths.intent, {"run_id": "grid", "number": 1, "array": "0-1"})
    with pytest.raises(
        SpecError,
        match="each task is a separate run\n  hint: name one of its tasks, such as grid-0",
    ):
        report(str(paths.folder))


def test_what_is_printed(run, capsys):
    """The text shows where the time went; --json has the numbers; --html writes the page."""
    assert main(["report", str(run.folder)]) == 0
    shown = capsys.readouterr().out
    assert re.search(
        r"^ETTR +\d\d\.\d% of the wall time was productive training$", shown, re.MULTILINE
    )
    assert re.search(r"^in the queue +1 h 3\d min +1\d\.\d%", shown, re.MULTILINE)
    assert main(["report", str(run.folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ettr"] > 0.5
    assert main(["report", str(run.folder), "--html", str(run.folder / "no" / "page.html")]) == 1
    assert "cannot write" in capsys.readouterr().err


class Tags(HTMLParser):
    """The tags of a page, and the URLs that a browser would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.seen: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.loads += [
            value or ""
            for key, value in attrs
            if key in ("src", "href", "action", "poster", "srcset")
        ]
        if tag not in ("meta", "link", "br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_loads_nothing(found):
    """Every tag is closed, text from the spec stays text, and nothing is fetched."""
    text = render_page(found)
    tags = Tags(text)
    assert tags.open == []
    assert tags.loads == ["data:,"]
    assert "img" not in tags.seen
    assert tags.seen.count("script") == 1
    assert "&lt;script&gt;document.title" in text
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text
    assert len(text) < 200_000


def test_the_page_of_the_longest_run(tmp_path):
    """The page's size is bounded, however much the run measured."""
    points = [(float(step), float(step % 7)) for step in range(100_000)]
    assert len(thin_out(points)) == 600
    assert (thin_out(points)[0], thin_out(points)[-1]) == (points[0], points[-1])
    drawn = lay_out_chart(
        "loss", ("Loss", "steps"), Series({1: points}, {}), [(5.0, 2)], times=False
    )
    assert len(drawn.lines[0].points) < 10_000


def test_a_chart_is_within_its_frame():
    """This also holds for a single point and for equal values."""
    for points in ([(3.0, 2.0)], [(0.0, 1.0), (9.0, 1.0)], [(0.0, -5.0), (1.0, 1e9)]):
        drawn = lay_out_chart(
            "loss", ("Loss", "steps"), Series({1: points}, {1: []}), [], times=True
        )
        (line,) = drawn.lines
        places = [tuple(map(float, place.split(","))) for place in line.points.split()]
        assert all(0 <= x <= WIDTH and 0 <= y <= 230 for x, y in places)
        assert all(0 <= tick.at <= 230 for tick in drawn.y_ticks)


@pytest.mark.parametrize(("low", "high", "numbers"), [
    (0, 10, [0, 2, 4, 6, 8, 10]), (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (3.3, 3.9, [3.4, 3.6, 3.8]), (5, 5, [5]),
])  # fmt: skip
def test_round_numbers_of_an_axis(low, high, numbers):
    """About as many as requested, none of them outside the range."""
    assert choose_ticks(low, high) == pytest.approx(numbers)


def test_times_of_an_axis():
    """Times have the unit that fits."""
    assert choose_time_ticks(100) == [0, 30, 60, 90]
    assert [format_time_tick(one, choose_time_ticks(20_000)) for one in choose_time_ticks(20_000)][
        :3
    ] == [
        "0 h",
        "1 h",
        "2 h",
    ]
    assert choose_time_ticks(86400 * 30)[1] == 86400 * 5
    assert [format_time_tick(one, [0, 15, 30]) for one in (0, 15, 90)] == ["0 s", "15 s", "90 s"]
    assert format_time_tick(5400, [0, 1800]) == "1.5 h"
    assert choose_time_ticks(0) == [0]
    assert Scale(2, 2, 0, 10)(2) == 5


def test_the_timeline_matches_the_split(found):
    """Its segments are as long as the times in the report."""
    segments, numbers, ticks = lay_out_timeline(found.timeline, None, found.timeline[-1].ended_at)
    wide = {
        kind: sum(part.width for part in segments if part.kind == kind)
        for kind in vars(found.time_split)
    }
    scale = 1140 / found.time_split.wall
    assert wide["waiting"] == pytest.approx(found.time_split.waiting * scale, abs=2)
    assert wide["startup"] == pytest.approx(found.time_split.startup * scale, abs=2)
    assert wide["productive"] + wide["lost"] == pytest.approx(
        (found.time_split.productive + found.time_split.lost + found.time_split.saving) * scale,
        abs=2,
    )
    assert [number.text for number in numbers] == ["1", "2", "3", "4"]
    assert ticks[0].text == "0 h"
    assert lay_out_timeline([], 100.0, 160.0)[0][0].title == "in the queue, 60 s"


PROBE = """
<script>
const faults = [];
addEventListener("error", (event) => faults.push(event.message));
addEventListener("securitypolicyviolation", (event) => faults.push(event.blockedURI));
addEventListener("load", () => {
  const paper = () => getComputedStyle(document.body).backgroundColor;
  const before = paper();
  document.getElementById("theme").click();
  const wide = document.documentElement.scrollWidth > innerWidth;
  const seen = {before, after: paper(), faults, wide, title: document.title, text: document.body.innerText,
                requests: performance.getEntriesByType("resource").map((entry) => entry.name),
                curves: [...document.querySelectorAll("polyline")].map((line) => line.getBBox().width)};
  document.body.textContent = JSON.stringify(seen);
});
</script>
"""


@pytest.fixture(scope="module")
def browser() -> str:
    where = shutil.which("chromium")
    if where is None:
        pytest.skip(
            "Chromium is not installed: `make cluster-packages` does it, with Debian's package chromium"
        )
    return where


@pytest.mark.parametrize(("scheme", "papers"), [
    (1, ["rgb(255, 255, 255)", "rgb(13, 17, 23)"]), (0, ["rgb(13, 17, 23)", "rgb(255, 255, 255)"]),
])  # fmt: skip
def test_the_page_in_a_browser(browser, found, tmp_path, scheme, papers):
    """Dark follows the browser, the button switches; no error, no request, no code from the spec."""
    place = tmp_path / "page.html"
    place.write_text(render_page(found).replace("</head>", f"{PROBE}</head>"))
    words = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1280,900",
             f"--blink-settings=preferredColorScheme={scheme}", "--virtual-time-budget=2000", "--enable-logging=stderr"]  # fmt: skip
    done = subprocess.run(
        [browser, *words, "--dump-dom", place.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    seen = json.loads(
        re.search(r"<body>(.*)</body>", done.stdout, re.DOTALL)[1]
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
    )
    assert [seen["before"], seen["after"]] == papers
    assert (seen["faults"], seen["requests"], seen["wide"]) == ([], [], False)
    assert seen["title"] == "gpt2-medium-20261121-060228-9786: COMPLETED"
    for words in (
        "ETTR",
        "GPU hours",
        "steps that were trained again",
        "Loss over steps",
        "preempted",
        "document.title",
    ):
        assert words in seen["text"]
    assert len(seen["curves"]) >= 16
    assert max(seen["curves"]) > 100
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []


def test_the_page_on_paper(browser, found, tmp_path):
    """It is black on white, on few sheets, and no heading is alone at the end of a page."""
    place, paper = tmp_path / "page.html", tmp_path / "page.pdf"
    place.write_text(render_page(found).replace("<html", '<html data-theme="dark"', 1))
    words = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--no-pdf-header-footer",
             f"--print-to-pdf={paper}"]  # fmt: skip
    subprocess.run([browser, *words, place.as_uri()], capture_output=True, timeout=120, check=True)
    sheets = [*pypdfium2.PdfDocument(paper)]
    texts = [sheet.get_textpage().get_text_range().splitlines() for sheet in sheets]
    assert 2 <= len(sheets) <= 4
    assert not {"When", "Training", "Attempts", "Job spec"} & {text[-1] for text in texts}
    assert "Loss over steps" in {line for text in texts for line in text}
    assert "Job script" not in {line for text in texts for line in text}, (
        "what is folded up is not printed"
    )
    for sheet in sheets:
        assert sheet.render().to_numpy()[0, 0].tolist() == [255, 255, 255]
