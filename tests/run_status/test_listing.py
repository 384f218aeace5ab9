"""`list`: all runs at once, few queries to Slurm, a cache of ended runs."""

from __future__ import annotations

import json
import shutil
import stat
import time

import pytest

from clusterrun.errors import SpecError
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.records import write_record
from clusterrun.run_status import listing
from clusterrun.run_status.ended_runs import Summaries
from clusterrun.run_status.file_status import RunStatus, status_from_files
from clusterrun.run_status.listing import list_runs, parse_filter
from clusterrun.slurm.states import State


def now() -> int:
    return int(time.time())


def test_active_runs_come_first_and_newer_before_older(machine):
    """Active runs are on top, whenever they were submitted."""
    for number, end in enumerate([{}, {"cause": "finished"}, {}, {"cause": "crash"}]):
        machine.run(f"run-{number}", str(number + 1), **end)
    machine.queue("1 RUNNING", "3 PENDING")
    assert list(machine.states()) == ["run-2", "run-0", "run-3", "run-1"]
    assert machine.calls() == ["squeue"]


def test_a_closed_folder_hides_no_other_run(machine, monkeypatch):
    """That run's state is unknown, neither active nor ended; an invalid entry is not a run."""
    machine.run("open", "1", cause="finished")
    machine.run("shut", "2", cause="finished")
    (machine.index.runs / "a-folder").mkdir()

    def read_status(run: RunRef) -> RunStatus:
        if run.run_id == "shut":
            raise PermissionError(13, "Permission denied", "events")
        return status_from_files(run)

    monkeypatch.setattr(listing, "status_from_files", read_status)
    found = {one.run_id: one for one in list_runs(machine.index)}
    assert {name: one.state.value for name, one in found.items()} == {
        "open": "COMPLETED",
        "shut": "UNKNOWN",
    }
    assert found["shut"].reason == "its folder is not readable for you"
    monkeypatch.undo()
    assert machine.states()["shut"] == "COMPLETED"


def test_a_stopped_run_and_one_cancelled_while_stopping(machine):
    """Removed from the queue by `stop` is STOPPED; cancelled while it ran is CANCELLED."""
    for number, name in enumerate(("waited", "ran"), start=1):
        paths = machine.run(name, str(number))
        paths.stop.write_text("asked by ada\n")
        if name == "waited":
            paths.begin("0001").unlink()
    machine.queue("1 CANCELLED", "2 CANCELLED")
    assert machine.states() == {"waited": "STOPPED", "ran": "CANCELLED"}


def test_an_ended_run_is_read_once(machine):
    """Its result is cached in the index; the folder may even be removed."""
    paths = machine.run("done", "1", cause="finished")
    first = list_runs(machine.index)
    shutil.rmtree(paths.folder)
    assert list_runs(machine.index) == first
    assert first[0].state is State.COMPLETED
    assert stat.S_IMODE(Summaries(machine.index).path.stat().st_mode) == 0o600


def test_a_resumed_run_is_active_again(machine):
    """`resume` drops the cached result and rewrites the run's entry: either is enough."""
    paths = machine.run("again", "1", cause="stop")
    assert machine.states() == {"again": "STOPPED"}
    write_record(paths.intent, {"run_id": "again", "number": 2, "after": "0001"})
    assert machine.states() == {"again": "STOPPED"}  # only `resume` writes this, and it does more
    Summaries(machine.index).forget("again")
    assert machine.states() == {"again": "PENDING"}
    write_record(paths.intent, {"run_id": "again", "number": 1})
    assert machine.states() == {"again": "STOPPED"}
    write_record(paths.intent, {"run_id": "again", "number": 2, "after": "0001"})
    write_record(paths.job, {"job_id": "2", "number": 2})
    machine.index.add(RunRef("again", paths, "2"))
    machine.queue("2 RUNNING")
    assert machine.states() == {"again": "RUNNING"}


def test_a_run_requeued_by_hand_is_active_again(machine):
    """Slurm's own command does not inform clusterrun; the active job does."""
    paths = machine.run("given-up", "7", cause="crash")
    assert machine.states() == {"given-up": "FAILED"}
    write_record(paths.begin("0002"), {"job_id": "7", "began": now()})
    machine.queue("7 RUNNING")
    assert machine.states() == {"given-up": "RUNNING"}


def test_a_cancellation_that_may_be_corrected_is_not_cached(machine):
    """Slurm may report another cause within the first two minutes."""
    paths = machine.run("fresh", "1", cause="cancel")
    assert machine.states() == {"fresh": "CANCELLED"}
    write_record(paths.end("0001"), {"cause": "time-limit", "next": "end", "ended": now()})
    assert machine.states() == {"fresh": "TIMEOUT"}


def test_any_number_of_lost_runs_takes_two_queries(machine):
    """squeue and sacct are called once each; final results of sacct are not queried again."""
    for number in range(1, 6):
        machine.run(f"gone-{number}", str(number))
    answers = "".join(f"echo '{number}|{number}|FAILED|n1'\n" for number in range(1, 5))
    machine.command("sacct", f"echo 'JobID|JobIDRaw|State|NodeList'\n{answers}")
    states = machine.states()
    assert [states[f"gone-{number}"] for number in range(1, 6)] == ["FAILED"] * 4 + ["LOST"]
    assert machine.calls() == ["squeue", "sacct"]
    machine.command("sacct", "exit 1")
    assert machine.states() == states


def test_slurm_is_not_responding(machine):
    """Ended runs are known anyway, cached or not."""
    machine.run("done", "1", cause="finished")
    machine.run("lives", "2")
    machine.command("squeue", "echo 'slurm_load_jobs error' >&2; exit 1")
    for _ in range(2):
        assert machine.states() == {"lives": "UNKNOWN", "done": "COMPLETED"}


def test_an_unreadable_cache_is_rebuilt(machine):
    """A partial line, or one of another version, is ignored."""
    machine.run("done", "1", cause="finished")
    path = Summaries(machine.index).path
    path.write_text('["done", 1, {"state": "COM')
    assert machine.states() == {"done": "COMPLETED"}
    changed = machine.index.names()["done"]
    path.write_text(json.dumps(["done", changed, {"state": "DANCING"}]) + "\n")
    assert machine.states() == {"done": "COMPLETED"}


def test_the_cache_of_ended_runs_does_not_grow_for_ever(machine):
    """Obsolete lines are dropped when there are many."""
    machine.run("done", "1", cause="finished")
    summaries, names = Summaries(machine.index), machine.index.names()
    (status,) = list_runs(machine.index)
    for _ in range(30):
        summaries.add(
            {f"done-{number}": status for number in range(50)},
            dict.fromkeys(map("done-{}".format, range(50)), 1),
        )
    summaries.add({"done": status}, names)
    assert len(summaries.path.read_text().splitlines()) < 1500 < 30 * 50 + 1
    assert summaries.read(names) == {"done": status}


@pytest.mark.parametrize(("only", "runs"), [
    ({}, {"tiny-20261121-060228-97ab", "tiny-7", "big-20261121-060228-97ab"}),
    ({"state": "completed"}, {"tiny-20261121-060228-97ab", "big-20261121-060228-97ab"}),
    ({"state": "COMPLETED, failed"}, {"tiny-20261121-060228-97ab", "tiny-7", "big-20261121-060228-97ab"}),
    ({"name": "tiny"}, {"tiny-20261121-060228-97ab", "tiny-7"}),
    ({"name": "*-7"}, {"tiny-7"}),
    ({"since": "2d"}, {"tiny-20261121-060228-97ab", "tiny-7"}),
    ({"since": "2001-09-09"}, {"tiny-20261121-060228-97ab", "tiny-7", "big-20261121-060228-97ab"}),
    ({"tag": "sweep"}, {"tiny-20261121-060228-97ab", "big-20261121-060228-97ab"}),
    ({"tag": "swee"}, set()),
    ({"tag": "sweep", "name": "big"}, {"big-20261121-060228-97ab"}),
])  # fmt: skip
def test_filters_select_runs(machine, only, runs):
    """By state, age, name, id or a word of slurm.comment, for cached runs too."""
    machine.run("tiny-20261121-060228-97ab", "1", "sweep,lr", cause="finished")
    machine.run("tiny-7", "2", cause="crash")
    machine.run(
        "big-20261121-060228-97ab",
        "3",
        "old sweep",
        cause="finished",
        submitted=1e9,
        ended=1_000_000_100,
    )
    assert set(machine.states(**only)) == runs
    assert set(machine.states(**only)) == runs


@pytest.mark.parametrize(("only", "expected"), [
    ({"state": "RUNING"}, "--state: unknown state 'RUNING'"),
    ({"since": "yesterday"}, "--since: 'yesterday' is not a time"),
])  # fmt: skip
def test_invalid_filters(only, expected):
    """An error suggests what could have been meant."""
    with pytest.raises(SpecError, match="hint: ") as error:
        parse_filter(**only)
    assert str(error.value).startswith(expected)
