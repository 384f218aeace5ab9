"""The page of stops is what the results say."""

from __future__ import annotations

import json
from pathlib import Path

from tests.slurm import stop_matrix


def test_the_page_is_that_of_the_results() -> None:
    results = json.loads(stop_matrix.RESULTS.read_text())
    assert stop_matrix.PAGE.read_text() == stop_matrix.page(results)


def test_outcomes_are_merged_and_what_was_not_run_is_shown(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """A part of a cell keeps the other outcomes; a suite that is missing has its reason."""
    monkeypatch.setattr(stop_matrix, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(stop_matrix, "PAGE", tmp_path / "page.md")
    first, second = "test_scancel_of_a_training", "test_a_crash_on_one_node[1]"
    stop_matrix.keep({"24.11-cgroup": {"version": "24.11.5", "outcomes": {first: "failed"}}})
    stop_matrix.keep(
        {
            "24.11-cgroup": {"version": "24.11.5", "outcomes": {second: "passed in 9 s"}},
            "26.05-cgroup": {"reason": "no mirror"},
        }
    )
    rows = [line.split(" | ") for line in stop_matrix.PAGE.read_text().splitlines()]
    found = {row[0].lstrip("| "): row[4:7] for row in rows if len(row) > 1}
    assert found[""] == ["24.11.5, cgroup", "26.05, linuxproc", "26.05, cgroup |"]
    missing = ["not run", "not available: no mirror |"]
    assert found["scancel of a training"] == ["**failed**", *missing]
    assert found["a crash on one node (1)"] == ["passed in 9 s", *missing]
    assert found["a killed rank on the second node"] == ["not run", *missing]


def test_a_report_of_pytest(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        "<testsuites><testsuite><testcase name='a' time='1.6'/><testcase name='b'><failure/></testcase>"
        "<testcase name='c'><error/></testcase><testcase name='d'><skipped/></testcase></testsuite></testsuites>"
    )
    assert dict(stop_matrix.read_outcomes(report)) == {
        "a": "passed in 2 s",
        "b": "failed",
        "c": "failed",
    }
