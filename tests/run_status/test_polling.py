"""`status --watch` queries Slurm rarely."""

from __future__ import annotations

import os
import stat

import pytest

from clusterrun.errors import ClusterError
from clusterrun.run_folder.records import write_record
from clusterrun.run_status.ended_runs import Summaries
from clusterrun.run_status.polling import poll_active_runs, poll_run
from clusterrun.run_status.shared_queue import jobs_or_error, shared_answer
from clusterrun.slurm.states import State
from tests.run_status.test_listing import now


def test_watching_queries_slurm_once_a_minute(machine):
    """This holds for any number of watchers and runs, and after a failed query."""
    machine.run("one", "1")
    machine.run("two", "2")
    machine.queue("1 RUNNING", "2 PENDING")
    for name in ("one", "two"):  # as if nothing had happened for a while
        os.utime(machine.folder / "runs" / name / "events", (1, 1))
    runs = [machine.index.find(name) for name in ("one", "two")]
    for _ in range(5):
        assert [poll_run(run, machine.index).state for run in runs] == [
            State.RUNNING,
            State.PENDING,
        ]
        assert len(poll_active_runs(machine.index)) == 2
    assert machine.calls() == ["squeue"]
    kept = machine.index.folder / "squeue"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert len(jobs_or_error(shared_answer(machine.index.folder, seconds=0.0))) == 2
    machine.command("squeue", "echo 'slurm_load_jobs error: down' >&2; exit 1")
    shared_answer(machine.index.folder, seconds=0.0)
    assert [poll_run(run, machine.index).state for run in runs] == [State.UNKNOWN] * 2
    assert machine.calls() == ["squeue"] * 3
    kept.write_text("[1, ")
    assert shared_answer(machine.index.folder).fault


def test_a_run_newer_than_the_answer_is_not_lost(machine):
    """It has the state of its files until the next query; an older run is lost, and queried once."""
    machine.index.make()
    shared_answer(machine.index.folder)
    paths = machine.run("young", "1")
    status = poll_run(machine.index.find("young"), machine.index)
    assert (status.state, status.reason) == (State.RUNNING, "")
    write_record(paths.end("0001"), {"cause": "preemption", "next": "continue", "ended": now()})
    status = poll_run(machine.index.find("young"), machine.index)
    assert (status.state, status.reason) == (State.PENDING, "between two attempts")
    paths.end("0001").unlink()
    assert [one.run_id for one in poll_active_runs(machine.index)] == ["young"]
    assert machine.calls() == ["squeue"]
    os.utime(paths.events, (1, 1))
    assert poll_active_runs(machine.index) == []
    assert machine.calls() == ["squeue"]
    assert poll_run(machine.index.find("young"), machine.index).state is State.LOST
    assert machine.calls() == ["squeue", "squeue", "sacct"]


def test_an_ended_run_is_watched_without_slurm(machine):
    """Its files are enough."""
    machine.run("done", "1", cause="finished")
    (machine.folder / "bin" / "sbatch").unlink()
    assert poll_run(machine.index.find("done"), machine.index).state is State.COMPLETED


def test_a_full_home(machine, monkeypatch):
    """A list works without its cache; a command that would query Slurm too often reports why not."""
    machine.run("done", "1", cause="finished")
    Summaries(machine.index).path.mkdir()
    assert machine.states() == {"done": "COMPLETED"}
    (machine.index.folder / "squeue.lock").mkdir()
    with pytest.raises(
        ClusterError,
        match="is a directory\n  hint: make it writable: squeue's answer is cached there",
    ):
        shared_answer(machine.index.folder)
