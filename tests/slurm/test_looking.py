"""`status`, `list` and `report` agree with what a run did on a real cluster.

Budget: 60 seconds. One run is preempted, continues and finishes during all tests; two pipes and a
terminal watch it.
"""

from __future__ import annotations

import itertools
import json
import re
import stat
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.slurm.desk import CLUSTERRUN, Desk, Submitted
from tests.slurm.survival import STEPS, begins, completes, hurry, preempt, reaches, survive, trained

BACKGROUND = ("looked_at",)
SLOW = 30  # the step from which on the first attempt is slow
COUNT = """#!/bin/bash
date +%s.%N >> "$HOME/asked-{name}"
exec /usr/bin/{name} "$@"
"""


@dataclass(frozen=True)
class Seen:
    """The output about a run that was preempted once: during its first attempt, and by --watch."""

    run: Submitted
    status: str
    values: dict[str, object]
    watched: list[list[str]]
    terminal: str
    """Every byte that a terminal got whose user watched."""


@pytest.fixture(scope="module")
def looked_at(desk: Desk) -> Iterator[Future[Seen]]:
    """A run that is looked at while the other tests run."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(look, desk)


def look(desk: Desk) -> Seen:
    home = desk.cluster.home(desk.user)
    count(desk, "squeue", "sacct")
    run = survive(desk, "looked-at", ranks=1, args={"slow_at": [SLOW]})
    path = f"{home}/count:/usr/bin:/bin"
    watch = f"{CLUSTERRUN} status --watch {run.run_id}"
    words = [f"{watch} > {home}/watched-{number}" for number in (1, 2)]
    words.append(
        f"script -qec 'stty cols 120 rows 40; {watch}' {home}/typescript > {home}/terminal"
    )
    environment = {"PATH": path, "TERM": "xterm"}
    watching = [
        desk.cluster.popen_as(desk.user, ["bash", "-c", word], env=environment) for word in words
    ]
    reaches(run, 1, SLOW + 10)
    status = desk.cli("status", run.run_id).stdout
    values = desk.status(run)
    preempt(desk, run)
    begins(run, 2)
    hurry(run)
    completes(desk, run)
    for process in watching:
        with process:
            assert process.wait(30) == 0
    piped = [(home / f"watched-{number}").read_text().splitlines() for number in (1, 2)]
    return Seen(run, status, values, piped, (home / "terminal").read_text())


def count(desk: Desk, *names: str) -> None:
    """Put commands of Slurm on a PATH that record each call."""
    folder = desk.cluster.home(desk.user) / "count"
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(COUNT.format(name=name))
        (folder / name).chmod(0o755)


def asked(desk: Desk, name: str) -> list[float]:
    """Return when a recorded command was called."""
    path = desk.cluster.home(desk.user) / f"asked-{name}"
    return [float(line) for line in path.read_text().split()] if path.exists() else []


def states(desk: Desk, *words: str) -> dict[str, str]:
    answer = json.loads(desk.cli("list", "--json", *words).stdout)
    return {run["run_id"]: run["state"] for run in answer}


def test_an_ended_run_is_cached_until_it_is_resumed(desk: Desk) -> None:
    """`list` caches the state of an ended run; `resume` invalidates it, at once and for every later
    query.
    """
    run = desk.submit(
        "given-up", command="exit 3", requeue={"on": []}, slurm={"comment": "sweep, first"}
    )
    assert desk.wait(run) == "FAILED"
    held = desk.submit("held", command="true", slurm={"begin": "now+2hours"})
    assert states(desk)[run.run_id] == "FAILED"
    assert run.run_id in (desk.cluster.home("alice") / ".local/state/clusterrun/ended").read_text()
    listed = list(states(desk))
    assert listed.index(held.run_id) < listed.index(run.run_id)
    assert set(states(desk, "--tag", "first")) == {run.run_id}
    assert held.run_id in states(desk, "--state", "pending", "--since", "1h", "--name", "hel*")
    desk.cli("resume", run.run_id, "--set", "slurm.begin=now+2hours")
    assert states(desk)[run.run_id] == "PENDING"
    living = json.loads(desk.cli("status", "--json").stdout)["active_runs"]
    assert {run.run_id, held.run_id} <= {one["run_id"] for one in living}
    for one in (run, held):
        desk.cli("cancel", one.run_id)
        assert desk.wait(one, 30) == "CANCELLED"


def test_a_running_run_on_one_screen(looked_at: Future[Seen]) -> None:
    """Step, loss, speed, remaining time, checkpoints and what comes next; the same in JSON."""
    seen = looked_at.result()
    facts = {line[:17].strip(): line[17:] for line in seen.status.splitlines() if len(line) > 17}
    step, _, total = facts["step"].split()
    assert SLOW < int(step) < STEPS == int(total)
    assert facts["state"].split()[0] == "RUNNING"  # or while it saves
    assert facts["speed"].endswith(" s per step")
    assert facts["remaining"].endswith(" to the job's time limit")
    assert facts["checkpoint"].startswith("step-000000")
    assert facts["checkpoint"].endswith(", complete")
    assert facts["next checkpoint"].startswith("at step ")
    values = seen.values
    assert values["seconds_left"] > 0
    assert values["time_limit_at"] > values["submitted_at"]
    assert values["next_checkpoint_step"] % 20 == 0
    assert values["last_checkpoint"]["fault"] == ""
    losses = {done.step: done.loss for done in trained(seen.run.folder).steps}
    assert len(values["losses"]) > 2
    assert all(loss == pytest.approx(losses[step], abs=1e-5) for step, loss in values["losses"])


def test_all_watchers_together_query_slurm_once_a_minute(
    desk: Desk, looked_at: Future[Seen]
) -> None:
    """Two pipes and a terminal: a line per change, until the end; at least a minute between any two
    queries.
    """
    seen = looked_at.result()
    for lines in seen.watched:
        assert "RUNNING" in " ".join(lines)
        assert any("attempt 2" in line for line in lines)
        assert "COMPLETED (finished)" in lines[-1]
        assert len(lines) < 60
    calls = asked(desk, "squeue")
    assert len(calls) >= 1
    assert all(after - before > 59 for before, after in itertools.pairwise(calls))
    assert asked(desk, "sacct") == []


def test_a_terminal_shows_the_active_run_in_place(looked_at: Future[Seen]) -> None:
    """The screen is redrawn from the first attempt to the end, and the last one stays."""
    shown = looked_at.result().terminal
    assert shown.count("\x1b[1A") > 20, "the cursor goes up again before each screen"
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    screens = [
        screen
        for screen in re.split(r"(?=^run +looked-at)", plain, flags=re.MULTILINE)
        if "looked-at" in screen
    ]
    states = [re.search(r"^state +(\w+)", screen, re.MULTILINE) for screen in screens]
    shown_states = [state[1] for state in states if state]
    assert "RUNNING" in shown_states
    assert shown_states[-1] == "COMPLETED"
    steps = [int(step) for step in re.findall(r"^step +.*?(\d+) of", plain, re.MULTILINE)]
    assert len(set(steps)) > 2
    assert steps[-1] == STEPS
    assert "preempted" in screens[-1]


def test_the_report_agrees_with_the_scripts_records(desk: Desk, looked_at: Future[Seen]) -> None:
    """First steps, training time and saves are those of the script's own clock; the parts add up to
    the whole time.
    """
    run = looked_at.result().run
    report = json.loads(desk.cli("report", run.run_id, "--json").stdout)
    seconds = report["time_split"]
    parts = [
        seconds[name]
        for name in ("productive", "lost", "saving", "startup", "shutdown", "waiting", "unknown")
    ]
    assert sum(parts) == pytest.approx(seconds["wall"])
    assert min(parts) >= 0
    assert report["ettr"] == pytest.approx(seconds["productive"] / seconds["wall"])
    assert [attempt["cause"] for attempt in report["attempts"]] == ["preemption", "finished"]
    assert (seconds["lost"], seconds["unknown"]) == (0, 0)
    assert seconds["waiting"] >= 5  # the cluster's delay before a requeued job may start
    for story, steps in zip(
        report["timeline"], trained(run.folder).by_attempt().values(), strict=True
    ):
        assert story["first_step_at"] == pytest.approx(steps[0].time, abs=2)
        assert story["trained_until"] >= steps[-1].time - 1
        own = story["time_split"]["productive"] + story["time_split"]["saving"]
        assert own == pytest.approx(story["trained_until"] - story["first_step_at"], abs=0.01)
    assert report["gpu_hours"]["used"] == pytest.approx(seconds["allocated"] / 3600)
    text = desk.cli("report", run.run_id).stdout
    assert f"ETTR        {report['ettr']:.1%} (effective" in text


def test_the_page_of_a_real_run(desk: Desk, looked_at: Future[Seen]) -> None:
    """It is written to the requested path, with both attempts, the curves, and the spec."""
    run = looked_at.result().run
    desk.cli("report", run.run_id, "--html", "page.html")
    page = (desk.cluster.home("alice") / "page.html").read_text()
    assert page.count("<polyline") >= 4
    assert "preempted" in page
    assert "attempt 2: in the queue" in page
    assert "script: " in page


def test_measurements_are_private_and_bounded(looked_at: Future[Seen]) -> None:
    """One file and one record per attempt, closed to others, within the limit of lines."""
    folder = looked_at.result().run.folder / "metrics"
    names = sorted(path.name for path in folder.iterdir())
    attempts = ("attempt-0001", "attempt-0002")
    assert names == [f"{attempt}.{kind}" for attempt in attempts for kind in ("jsonl", "times")]
    modes: dict[Path, int] = {
        path: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())
    }
    assert modes.pop(folder) == 0o700
    assert set(modes.values()) == {0o600}
