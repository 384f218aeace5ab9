"""`clusterrun why` over run folders, without Slurm.

tests/slurm/test_why.py has it on a real Slurm.
"""

from __future__ import annotations

import json
import shutil

import pytest

from clusterrun.run_folder.paths import RunPaths
from tests.run_logs.conftest import LOGS


def test_why_a_run_crashed(desk, run):
    """It shows the first failed rank, its node, its line and place in the log, and what comes next."""
    shutil.copy(LOGS / "one_rank_crashes.log", run.log("0002"))
    (run.folder / "ledger").write_text("attempt=0002\ncrashes=4\n")
    answer = json.loads(desk.type("why", "many", "--json").stdout)
    failure = answer["stopped"]["failure"]
    assert (failure["kind"], failure["rank"], failure["node"]) == ("exception", 1, "n1")
    line = run.log("0002").read_text().splitlines()[failure["line_number"] - 1]
    assert failure["line"] in line
    assert failure["line"] == "KeyError: 'labels'"
    assert answer["next"] == {
        "summary": "nothing by itself",
        "command": "clusterrun resume many", "crashes": 4, "crashes_left": 0,
    }  # fmt: skip
    text = desk.type("why", "many").stdout
    assert (
        f"first failure: rank 1 on n1: KeyError: 'labels'\n  {run.log('0002')}:{failure['line_number']}\n"
        in text
    )
    assert "to resume: clusterrun resume many" in text


def test_why_an_attempt_without_an_end_record(desk, run):
    """The end of an earlier attempt is not the answer; the newest log may be."""
    run.job.write_text("local=1\n")
    run.end("0002").unlink()
    run.log("0002").write_text("ValueError: the last word\n")
    answer = json.loads(desk.type("why", "many", "--json").stdout)
    assert (answer["state"], answer["stopped"]["attempt"], answer["stopped"]["cause"]) == (
        "LOST",
        2,
        "",
    )
    assert answer["stopped"]["failure"]["line"] == "ValueError: the last word"


def test_ranks_missing_from_a_collective_are_named(desk, run):
    """Two of four ranks report a collective timeout: the other two are named."""
    shutil.copy(LOGS / "published" / "nccl_watchdog.log", run.log("0002"))
    failure = json.loads(desk.type("why", "many", "--json").stdout)["stopped"]["failure"]
    assert failure["kind"] == "nccl-time-out"
    assert failure["fix"].endswith("; ranks that do not report it: 2-3")


def test_why_an_array_names_the_task_to_look_at(desk, run):
    """Each task is a run of its own; the first that did not end well is named."""
    run.intent.write_text("array=0-2\n")
    for number, cause in enumerate(("finished", "crash", "crash")):
        task = RunPaths(run.folder / f"task-{number}")
        task.events.mkdir(parents=True)
        task.begin("0001").write_text("nodes=n1\n")
        task.end("0001").write_text(f"cause={cause}\nnext=end\nexit_code=1\n")
    answer = json.loads(desk.type("why", "many", "--json").stdout)
    assert answer["state"] == "FAILED"
    assert "`clusterrun why many-1`" in answer["reason"]
    assert json.loads(desk.type("why", "many-1", "--json").stdout)["stopped"]["cause"] == "crash"


def test_a_kill_that_slurm_explains_in_its_own_file(desk, run):
    """The launcher names the rank, Slurm's file the reason; an unrelated file changes nothing."""
    shutil.copy(LOGS / "killed.log", run.log("0002"))
    run.begin("0002").write_text("nodes=n[1-2]\njob_id=7\n")
    slurm = run.logs / "slurm-7.out"
    slurm.write_text("clusterrun: attempt 0002\n")
    assert (
        json.loads(desk.type("why", "many", "--json").stdout)["stopped"]["failure"]["kind"]
        == "killed"
    )
    shutil.copy(LOGS / "published" / "oom_kill.log", slurm)
    failure = json.loads(desk.type("why", "many", "--json").stdout)["stopped"]["failure"]
    assert (failure["kind"], failure["rank"], failure["node"]) == ("host-out-of-memory", 1, "n1")
    assert failure["log"] == str(slurm)


def test_why_a_crash_without_an_error(desk, run):
    """Nothing is invented if the log has no error."""
    run.log("0002").write_text("step 1\n")
    answer = json.loads(desk.type("why", "many", "--json").stdout)
    assert answer["stopped"]["failure"] is None
    assert str(run.log("0002")) in answer["stopped"]["fix"]


@pytest.mark.parametrize(
    ("end", "means", "command"),
    [
        ({"cause": "finished", "next": "end", "exit_code": "0"}, "training is complete", ""),
        (
            {"cause": "time-limit", "next": "end", "exit_code": "1"},
            "reached its time limit",
            "clusterrun resume many",
        ),
        (
            {"cause": "stop", "next": "end", "exit_code": "0"},
            "a stop was requested",
            "clusterrun resume many",
        ),
        (
            {"cause": "no-restart", "next": "end", "exit_code": "1", "reason": "NaN"},
            "forbade",
            "clusterrun resume many",
        ),
    ],
)
def test_why_a_run_ended_without_a_crash(desk, run, end, means, command):
    """The recorded cause is the answer, and the log is not searched for errors."""
    run.end("0002").write_text("".join(f"{key}={value}\n" for key, value in end.items()))
    answer = json.loads(desk.type("why", "many", "--json").stdout)
    assert means in answer["stopped"]["meaning"]
    assert answer["stopped"]["failure"] is None
    assert answer["next"]["command"] == command


def test_why_a_hang(desk, run):
    """The ranks' stacks are shown in place of an error."""
    run.end("0002").write_text(
        "cause=hang\nnext=end\nexit_code=1\nreason=no sign of life for 40 s\n"
    )
    answer = desk.type("why", "many").stdout
    assert "no sign of life for 40 s" in answer
    assert "rank 3 on n2 was in train (train.py:3)" in answer
