"""Commands and Slurm's own actions at once, on one run each; one attempt at a time trains.

All scenarios run side by side on the shared cluster. `tests/model` explores the same races
exhaustively. Budget: a minute. SLURM_GENERATION=26.05 runs them on another Slurm.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.slurm.desk import Desk, Submitted, until
from tests.slurm.light import counted, ends, jobs, light, put, trains
from tests.slurm.survival import begun, preempt, story

ASIDE: dict[str, Any] = {"nodes": 1, "partition": "main", "nodelist": "n1"}
HIT: dict[str, Any] = {"nodes": 1, "partition": "low0", "nodelist": "n2"}
RUNS: dict[str, dict[str, Any]] = {
    "resume-and-requeue": {"slurm": ASIDE, "requeue": {"crashes": 0}},
    "clean-and-resume": {"slurm": ASIDE},
    "stop-and-preemption": {"slurm": HIT},
    "held-and-resume": {"slurm": ASIDE},
    "released-after-the-end": {"slurm": ASIDE, "last": 40},
    "two-resumes": {"slurm": ASIDE},
    "an-old-job": {"slurm": ASIDE, "requeue": {"by": "successor", "crashes": 3}},
}


def at_once(*actions: Callable[[], Any]) -> list[Any]:
    """Do several things at the same time; return their results."""
    with ThreadPoolExecutor(len(actions)) as pool:
        return [one.result() for one in [pool.submit(action) for action in actions]]


def scontrol(desk: Desk, action: str, job_id: str) -> int:
    """Type scontrol; return its exit code."""
    return desk.cluster.run_as("alice", ["scontrol", action, job_id], check=False).returncode


def stop(desk: Desk, run: Submitted, state: str = "STOPPED") -> None:
    """Stop a run, and wait until it has ended and no job of it is left."""
    desk.cli("stop", run.run_id)
    assert desk.wait(run, 90) == state, story(run)
    until(lambda: jobs(desk, run) == set(), 60, f"no job of {run.run_id} is left")


def newest(run: Submitted) -> int:
    """Return the number of the newest attempt."""
    return len(begun(run))


def resume_and_requeue(desk: Desk, run: Submitted) -> None:
    """The run has given up; a person resumes it, and another one requeues its old job."""
    put(desk, run, "crash-0001", "0")
    assert desk.wait(run, 90) == "FAILED", story(run)
    desk.cluster.wait_state(run.job_id, "FAILED")
    answer, _ = at_once(
        lambda: desk.cli("resume", run.run_id, check=False, timeout=100),
        lambda: scontrol(desk, "requeue", run.job_id),
    )
    if answer.returncode:
        assert "started again" in answer.stderr or "still" in answer.stderr, answer
        until(lambda: jobs(desk, run) == set(), 60, "the old job has exited")
        desk.cli("resume", run.run_id, timeout=100)
    trains(run, 2)
    stop(desk, run)
    assert ends(run) == ["crash end", "stop end"], story(run)


def clean_and_resume(desk: Desk, run: Submitted) -> None:
    """Either the run is removed and has no job, or it trains and keeps its folder."""
    trains(run)
    desk.cli("cancel", run.run_id)
    assert desk.wait(run, 60) == "CANCELLED", story(run)
    answer, _ = at_once(
        lambda: desk.cli("resume", run.run_id, check=False, timeout=100),
        lambda: desk.cli("clean", "--state", "cancelled", "--yes", check=False, timeout=100),
    )
    if answer.returncode:
        assert not run.folder.exists(), answer
        assert jobs(desk, run) == set()
        return
    trains(run, 2)
    stop(desk, run)


def stop_and_preemption(desk: Desk, run: Submitted) -> None:
    """Slurm requeues the job; the run has stopped, and its next start exits."""
    trains(run)
    at_once(lambda: desk.cli("stop", run.run_id), lambda: preempt(desk, run))
    assert desk.wait(run, 90) == "STOPPED", story(run)
    until(lambda: jobs(desk, run) == set(), 90, "the requeued job has exited")
    assert {attempt for attempt, _ in counted(run)} == {1}


def held_and_resume(desk: Desk, run: Submitted) -> None:
    """A person has requeued and held the old job: `resume` takes it out of the queue."""
    trains(run)
    stop(desk, run)
    desk.cluster.wait_state(run.job_id, "FAILED", "COMPLETED")
    at_once(
        lambda: scontrol(desk, "requeuehold", run.job_id),
        lambda: desk.cli("resume", run.run_id, timeout=100),
    )
    trains(run, 2)
    scontrol(desk, "release", run.job_id)
    time.sleep(3)
    stop(desk, run)
    assert ends(run) == ["stop end", "stop end"], story(run)


def released_after_the_end(desk: Desk, run: Submitted) -> None:
    """A finished run does not train again."""
    assert desk.wait(run, 90) == "COMPLETED", story(run)
    desk.cluster.wait_state(run.job_id, "COMPLETED")
    scontrol(desk, "requeuehold", run.job_id)
    answer, _ = at_once(
        lambda: desk.cli("resume", run.run_id, check=False),
        lambda: scontrol(desk, "release", run.job_id),
    )
    assert "has already finished" in answer.stderr or "still" in answer.stderr, answer
    until(lambda: jobs(desk, run) == set(), 60, "the released job has exited")
    assert desk.status(run)["state"] == "COMPLETED"
    assert newest(run) == 1


def two_resumes(desk: Desk, run: Submitted) -> None:
    """One of them queues a job."""
    trains(run)
    stop(desk, run)
    resume = lambda: desk.cli("resume", run.run_id, check=False, timeout=100)  # noqa: E731
    answers = at_once(resume, resume)
    assert sorted(answer.returncode for answer in answers) == [0, 1], answers
    trains(run, 2)
    assert len(jobs(desk, run)) == 1
    stop(desk, run)
    assert newest(run) == 2


def an_old_job(desk: Desk, run: Submitted) -> None:
    """The run continues in its successor; the job of its first attempt, requeued by hand, exits."""
    put(desk, run, "crash-0001", "0")
    trains(run, 2)
    desk.cluster.run_as(
        "alice", ["scontrol", "update", f"jobid={run.job_id}", "requeue=1"], check=False
    )
    scontrol(desk, "requeue", run.job_id)
    time.sleep(8)  # it starts 5 s later
    assert jobs(desk, run) == {desk.status(run)["job_id"]}, story(run)
    stop(desk, run)
    assert ends(run) == ["crash continue", "stop end"], story(run)


SCENARIOS = {name: globals()[name.replace("-", "_")] for name in RUNS}


@pytest.fixture(scope="module")
def races(desk: Desk) -> Iterator[dict[str, tuple[Submitted, Future[None]]]]:
    """Submit every run, then let all races happen side by side."""
    runs = {
        name: light(desk, name, **{"last": 1_000_000, **values}) for name, values in RUNS.items()
    }
    with ThreadPoolExecutor(len(runs)) as pool:
        yield {name: (run, pool.submit(SCENARIOS[name], desk, run)) for name, run in runs.items()}


BACKGROUND = ("races",)


@pytest.mark.parametrize("name", RUNS)
def test_one_attempt_at_a_time(races: dict[str, tuple[Submitted, Future[None]]], name: str) -> None:
    """Each race ends right, and no step of an attempt comes after one of the next attempt."""
    run, race = races[name]
    race.result(timeout=240)
    attempts = [attempt for attempt, _ in counted(run)] if run.folder.exists() else []
    assert attempts == sorted(attempts), story(run)
