"""The page of a report: complete, with charts within their frames."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

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


def test_the_page_is_complete_and_loads_nothing(run_report):
    """Every tag is closed, text from the spec stays text, and nothing is fetched."""
    text = render_page(run_report)
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


def test_the_timeline_matches_the_split(run_report):
    """Its segments are as long as the times in the report."""
    segments, numbers, ticks = lay_out_timeline(
        run_report.timeline, None, run_report.timeline[-1].ended_at
    )
    wide = {
        kind: sum(part.width for part in segments if part.kind == kind)
        for kind in vars(run_report.time_split)
    }
    scale = 1140 / run_report.time_split.wall
    assert wide["waiting"] == pytest.approx(run_report.time_split.waiting * scale, abs=2)
    assert wide["startup"] == pytest.approx(run_report.time_split.startup * scale, abs=2)
    assert wide["productive"] + wide["lost"] == pytest.approx(
        (
            run_report.time_split.productive
            + run_report.time_split.lost
            + run_report.time_split.saving
        )
        * scale,
        abs=2,
    )
    assert [number.text for number in numbers] == ["1", "2", "3", "4"]
    assert ticks[0].text == "0 h"
    assert lay_out_timeline([], 100.0, 160.0)[0][0].title == "in the queue, 60 s"
