"""`clusterrun rehearse` on the real cluster: jobs that survive, jobs that do not, and nothing left
in the queue.

Budget: 1 1/2 minutes. All rehearsals run at once.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record
from tests.slurm.desk import CHECKOUT, CLUSTERRUN, SCRIPTS, Desk, until
from tests.slurm.survival import SURVIVOR, WIDTH

BACKGROUND = ("rehearsals",)
REHEARSED = SCRIPTS / "rehearsed.py"
PATIENCE = 240
# The script queries Slurm's version to decide whether Slurm requeues a preempted job by itself. A stand-in reports
# such a version; what the script then does, waiting for Slurm, is real.
LATER_SLURM = """\
{% extends "clusterrun/base.sbatch.j2" %}
{% block functions %}
{{ super() }}
scontrol() { if [ "$1" = --version ]; then echo slurm 24.11.5; else command scontrol "$@"; fi; }
{% endblock %}
"""
# A script that keeps its own checkpoints, and ignores the one that it receives.
FORGETFUL = f"""\
import pathlib, sys, time
folder = pathlib.Path(sys.argv[1]); folder.mkdir(exist_ok=True)
for step in range(1, {10_000}):
    time.sleep(0.05)
    if step % 20 == 0:
        (folder / f"checkpoint-{{step:06d}}").write_text(str(step))
"""
JOBS: dict[str, dict[str, Any]] = {
    "survivor": {
        "script": str(SURVIVOR),
        "args": {"width": WIDTH, "pace": 0.1, "slow_at": [1, 1]},
        "accelerate": {"use_cpu": True, "num_processes": 1, "gradient_accumulation_steps": 2},
    },
    "later-slurm": {"how": "survives", "words": ["--templates", "later"]},
    "slow-to-leave": {"how": "slow-to-leave", "slurm": {"partition": "low0"}},
    "takes-it-for-the-end": {"how": "takes-it-for-the-end"},
    "forgetful": {
        "command": f"{sys.executable} -c '{FORGETFUL}' \"$CLUSTERRUN_RUN_DIR/output\"",
        "checkpoint": {"path": "{run_dir}/output/checkpoint-*"},
    },
    "never-starts": {
        "how": "survives",
        "slurm": {"begin": "now+1hour"},
        "words": ["--timeout", "3"],
    },
}


def spec(desk: Desk, name: str, **values: Any) -> Path:
    how = values.pop("how", None)
    command = (
        {"command": f"PYTHONPATH={CHECKOUT} {sys.executable} {REHEARSED} {how}"} if how else {}
    )
    return desk.spec(name, **command, **values)


@pytest.fixture(scope="module")
def rehearsals(desk: Desk) -> Iterator[dict[str, Future[subprocess.CompletedProcess[str]]]]:
    """All rehearsals, each typed by alice."""
    typed = {}
    desk.cluster.run_as(desk.user, ["mkdir", desk.cluster.home(desk.user) / "later"])
    desk.write("later/base.sbatch.j2", LATER_SLURM)
    with ThreadPoolExecutor(len(JOBS)) as pool:
        for name, values in JOBS.items():
            words = list(values.get("words", []))
            path = spec(
                desk, name, **{key: value for key, value in values.items() if key != "words"}
            )
            typed[name] = pool.submit(
                desk.cli, "rehearse", str(path), "--json", *words, check=False, timeout=PATIENCE
            )
        yield typed


def outcome(
    rehearsals: dict[str, Future[subprocess.CompletedProcess[str]]], name: str
) -> tuple[dict[str, Any], int, str]:
    """A rehearsal's JSON, its exit code, and its messages."""
    done = rehearsals[name].result()
    assert done.stdout, done.stderr
    return json.loads(done.stdout), done.returncode, done.stderr


def causes(folder: str) -> list[str]:
    paths = RunPaths(Path(folder))
    return [read_record(paths.end(attempt)).get("cause", "") for attempt in paths.attempts()]


def test_a_real_training_survives(rehearsals: dict[str, Any]) -> None:
    """It resumes after its last saved step, with the reference's losses and weights, bit for bit."""
    result, code, messages = outcome(rehearsals, "survivor")
    assert (result["outcome"], code) == ("survived", 0), (result, messages)
    assert result["stopped_at_step"] == result["saved_step"]
    assert result["saved_step"] == result["resumed_from_step"] == result["first_step_after"] - 1
    assert result["losses"]["largest_difference"] == 0.0
    assert result["losses"]["compared_after"] > 10
    assert (result["losses"]["compared_before"], result["losses"]["largest_difference_before"]) == (
        result["stopped_at_step"],
        0.0,
    )
    assert result["weights"]["weight_files"] == ["model.safetensors"]
    assert result["weights"]["differing_weight_files"] == []
    assert causes(result["folder"]) == ["preemption", "stop"]
    assert causes(result["reference_folder"]) == ["stop"]
    assert [
        path
        for path in (result["folder"], result["reference_folder"])
        if list(Path(path).glob("checkpoints/*"))
    ] == []
    pending = next(phase for phase in result["phases"] if phase["name"] == "pending to restarted")
    assert pending["seconds"] > 0
    assert "Slurm delays a requeued job, by 120 s by default" in pending["note"]


def test_a_rehearsal_waits_for_slurms_own_requeue(rehearsals: dict[str, Any]) -> None:
    """If the script waits for Slurm to requeue the job, so does the rehearsal, and the run is not
    delayed.
    """
    result, code, messages = outcome(rehearsals, "later-slurm")
    assert (result["outcome"], code) == ("survived", 0), (result, messages)
    end = read_record(RunPaths(Path(result["folder"])).end("0001"))
    assert (end["cause"], end["next"]) == ("preemption", "by-slurm"), (end, messages)


def test_a_script_that_does_not_exit_is_killed(rehearsals: dict[str, Any]) -> None:
    """After Slurm's grace it is killed, and its unsaved steps are lost; it continues anyway."""
    result, code, messages = outcome(rehearsals, "slow-to-leave")
    assert (result["outcome"], code) == ("survived", 0), (result, messages)
    assert (
        "the run did not exit within 5 s (KillWait, as the partition has no GraceTime), and was killed"
        in result["notes"]
    )
    assert result["stopped_at_step"] > result["saved_step"]
    assert result["saved_step"] == result["resumed_from_step"] == result["first_step_after"] - 1
    assert any(re.match(r"lost \d+ steps", note) for note in result["notes"])


def test_a_script_that_takes_the_stop_for_its_end(rehearsals: dict[str, Any]) -> None:
    """A script that reports it has finished when a stop is requested does not survive."""
    result, code, messages = outcome(rehearsals, "takes-it-for-the-end")
    assert (result["outcome"], code) == ("did not survive", 1), (result, messages)
    assert re.search(
        r"when asked to stop, it reported that training was finished, at step \d+ of 2000",
        result["reasons"][0],
    )


def test_a_script_that_ignores_its_checkpoint(rehearsals: dict[str, Any]) -> None:
    """A plain script that starts from the beginning is detected by what it saves next."""
    result, code, messages = outcome(rehearsals, "forgetful")
    assert (result["outcome"], code) == ("did not survive", 1), (result, messages)
    assert (
        "but the next one saved is checkpoint-000020: the script restarted from the beginning"
        in result["reasons"][0]
    )
    assert re.match(r"it was given checkpoint-000\d+,", result["reasons"][0])


def test_a_job_that_never_starts(rehearsals: dict[str, Any]) -> None:
    """After the timeout it reports why the job is pending, and that it is cancelled."""
    result, code, messages = outcome(rehearsals, "never-starts")
    assert (result["outcome"], code) == ("out of time", 124), (result, messages)
    assert result["reasons"] == [
        f"timed out after 3 s; still waiting for the run to start; {result['run_id']} is PENDING (BeginTime)"
    ]
    assert f"cancelled: {result['run_id']}" in messages


def test_ctrl_c_cancels_what_was_started(desk: Desk) -> None:
    """An interrupted rehearsal leaves nothing in the queue, and reports that."""
    path = spec(desk, "interrupted", how="survives", slurm={"begin": "now+1hour"})
    argv = [CLUSTERRUN, "rehearse", path]
    with desk.cluster.popen_as(
        "alice", argv, env={"CLUSTERRUN_PROFILE": str(desk.cluster.home("alice") / "site.yaml")}
    ) as typed:
        until(lambda: any("interrupted" in job for job in desk.jobs()), 60, "it is queued")
        typed.send_signal(signal.SIGINT)
        _, messages = typed.communicate(timeout=60)
        assert typed.returncode == 130
    assert re.search(r"cancelled: interrupted-rehearsal-", messages)
    assert not any("interrupted" in job for job in desk.jobs())


def test_nothing_is_left_in_the_queue(desk: Desk, rehearsals: dict[str, Any]) -> None:
    """After any outcome, no job of a rehearsal is active."""
    for name in JOBS:
        outcome(rehearsals, name)
    until(lambda: desk.jobs() == [], 30, "all jobs have ended")
