"""`report`: a run's numbers."""

from __future__ import annotations

import json
import re

import pytest

from clusterrun.cli import main
from clusterrun.errors import SpecError
from clusterrun.reporting.goodput import AttemptTimeline, TimeSplit
from clusterrun.reporting.page.drawing import render_page
from clusterrun.reporting.run_report import Hours, count_gpus, machine_hours, report
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import write_record
from tests.reporting.conftest import BEGUN


def test_the_numbers_of_a_run(run_report):
    """The parts add up, and the hours are those of the run's machines."""
    split = run_report.time_split
    assert split.wall == pytest.approx(1800 + 9000 + 2600 + 7000 + 900 + 1300 + 300 + 15000, abs=2)
    assert split.waiting == pytest.approx(
        1800 + 2600 + 900 + 300 + 60, abs=30
    )  # and the last minute of a silent end
    assert split.startup == pytest.approx(4 * 240, abs=4)
    assert 450 < split.lost < 2.2 * 520
    assert split.saving == pytest.approx(sum(measure.saving for measure in run_report.measures))
    assert run_report.gpu_hours.used == pytest.approx(16 * split.allocated / 3600)
    assert run_report.gpu_hours.wasted == pytest.approx(
        16 * (split.allocated - split.productive) / 3600
    )
    assert run_report.node_hours.used == pytest.approx(4 * split.allocated / 3600)
    assert [one.steps_lost for one in run_report.attempts] == [0, 370, 150, 0]
    assert run_report.samples_per_second == pytest.approx(250, abs=2)
    values = run_report.as_dict()
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
        match="each is a separate run with its own report\n  hint: name one of them: grid-0",
    ):
        report(str(paths.folder))


def test_the_output_of_report(run, capsys):
    """The text shows where the time went; --json has the numbers; --html writes the page."""
    assert main(["report", str(run.folder)]) == 0
    shown = capsys.readouterr().out
    assert re.search(
        r"^ETTR +\d\d\.\d% \(effective training time ratio: productive training / wall time\)$",
        shown,
        re.MULTILINE,
    )
    assert re.search(r"^in the queue +1 h 3\d min +1\d\.\d%", shown, re.MULTILINE)
    assert main(["report", str(run.folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ettr"] > 0.5
    assert main(["report", str(run.folder), "--html", str(run.folder / "no" / "page.html")]) == 1
    assert "cannot write" in capsys.readouterr().err
