"""The model's steps are the code's: the same records before, the same records after.

The states come from the explorations, so each is one that a race can lead to. `begin_attempt` runs
in bash with the queue of the state; `run_status` runs with a snapshot of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record
from clusterrun.run_status.current import run_status
from clusterrun.run_status.slurm_snapshot import SlurmSnapshot
from clusterrun.slurm.queue import QueuedJob
from tests.model.explore import explore
from tests.model.folder import begin_in_bash, begin_in_model, padded, write_folder
from tests.model.people import is_final
from tests.model.world import Rules, World

SUCCESSOR = Rules(by_successor=True)
SOURCES = [
    ({"requeue": 1, "resume": 1, "stop": 1}, Rules()),
    ({"requeue": 1, "resume": 1, "scancel": 1, "kill-client": 1}, Rules()),
    ({"clean": 1, "resume": 1, "requeue": 1, "preempt": 1}, Rules()),
    ({"preempt": 1, "crash": 2, "kill": 1}, SUCCESSOR),
    ({"requeue": 1, "kill": 1, "preempt": 1, "crash": 1}, SUCCESSOR),
]
Case = tuple[World, int]


def states(most: int) -> list[World]:
    """Return states of the explorations, evenly drawn from each."""
    chosen = []
    for events, rules in SOURCES:
        worlds = explore(events, rules).worlds
        chosen += worlds[:: max(1, len(worlds) // (most // len(SOURCES)))]
    return chosen


def starts(most: int) -> list[Case]:
    """Return states in which a script begins; each differs in what a script can read."""
    found: dict[object, Case] = {}
    for events, rules in SOURCES:
        for world in explore(events, rules).worlds:
            for number, job in world.numbered():
                if job.script and job.script.step == "begin" and not job.doom:
                    jobs = [(one.state, bool(one.doom), one.log) for one in world.jobs]
                    run = world.run._replace(crashes=0)
                    found.setdefault((run, number, job.from_script, *jobs), (world, number))
    every = list(found.values())
    return every[:: max(1, len(every) // most)]


def records(run: RunPaths) -> Iterator[tuple[str, str, str]]:
    """Yield each attempt, its job, and what its end decided."""
    for name in run.attempts():
        end = read_record(run.end(name))
        yield name, read_record(run.begin(name))["job_id"], end.get("next", "")


@pytest.mark.parametrize("most", [30, pytest.param(100_000, marks=pytest.mark.extended)])
def test_a_script_begins_as_in_the_model(tmp_path: Path, most: int) -> None:
    """Who trains, who exits, which claims stay, whose end is recorded, which jobs are cancelled."""
    cases = []
    for world, me in starts(most):
        if (after := begin_in_model(world, me)) is not None:
            cases.append((world, me, after, tmp_path / str(len(cases))))
            write_folder(world, cases[-1][-1], me)
    begin_in_bash(case for *_, case in cases)
    assert len(cases) > 15
    for world, me, after, case in cases:
        script = after.job(me).script
        trains = script is not None and script.step == "train"
        told = (world, (case / "messages").read_text())
        assert (case / "outcome").exists() == trains, told
        assert (case / "run").exists() == (world.run.folder == "here"), told
        stopped = script.attempt if script and script.step == "record" else 0
        expected = [
            (padded(number), str(one.job), "end" if number == stopped else one.next)
            for number, one in enumerate(after.run.attempts, 1)
            if one
        ]
        assert world.run.folder != "here" or [*records(RunPaths(case / "run"))] == expected, told
        cancelled = {str(one) for one in world.pending(but=me) if not after.job(one).active}
        file = case / "scancelled"
        assert set(file.read_text().split() if file.exists() else []) >= cancelled, told


def queue(world: World, script: str) -> dict[str, QueuedJob]:
    """Return the queue of a state, as squeue would show it."""
    names = {"pending": "PENDING", "held": "PENDING", "running": "RUNNING", "ended": "FAILED"}
    return {
        str(number): QueuedJob(*[str(number)] * 3, names[job.state], "None", "N/A N/A", "", script)
        for number, job in world.numbered()
    }


def test_a_status_is_final_as_in_the_model(tmp_path: Path) -> None:
    """`resume`, `stop`, `cancel` and `clean` act on what `run_status` finds."""
    checked = 0
    for world in states(300):
        if world.run.folder != "here":
            continue
        case = tmp_path / str(checked)
        write_folder(world, case, 1)
        run = RunRef("run", RunPaths(case / "run"), "1")
        status = run_status(run, SlurmSnapshot(queue(world, str(run.paths.script)), {}))
        assert status.state.final == is_final(world), (world, status)
        checked += 1
    assert checked > 150
