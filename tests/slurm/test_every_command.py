"""Every command on a real cluster, with accounting on, off and broken: the answers are the same and
match their schemas.

Budget: 60 s. Four runs, one in each relevant state, are queried with all commands, then changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.desk import Desk, Submitted, until
from tests.support.answers import fits

STATES = {"well": "COMPLETED", "ill": "FAILED", "waits": "PENDING", "runs": "RUNNING"}


@contextmanager
def accounting(request: pytest.FixtureRequest, how: str) -> Iterator[Desk]:
    """A desk on a cluster whose accounting is on, off, or broken for now."""
    name = "cluster_without_accounting" if how == "off" else "cluster"
    cluster: Cluster = request.getfixturevalue(name)
    if how == "broken":
        cluster.kill_daemon("slurmdbd")
    try:
        yield Desk(cluster, "alice")
    finally:
        if how == "broken":
            cluster.start_daemon("slurmdbd")


def runs_of(desk: Desk, how: str) -> dict[str, Submitted]:
    """One run that finishes, one that fails, one that is pending, one that runs."""
    runs = {
        "well": desk.submit("well", command="true"),
        "ill": desk.submit("ill", command="echo a word; exit 3", requeue={"crashes": 0}),
        "waits": desk.submit("waits", command="true", slurm={"begin": "now+2hours"}),
        "runs": desk.submit("runs", command="sleep 300", slurm={"comment": f"sweep-{how}"}),
    }
    for name in ("well", "ill"):
        assert desk.wait(runs[name]) == STATES[name]
    until(lambda: desk.status(runs["runs"])["state"] == "RUNNING", 30, "it runs")
    return runs


def ask(desk: Desk, command: str, *words: str, code: int = 0) -> Any:
    """Type a command with `--json`, and check its answer against the schema."""
    done = desk.cli(command, *words, "--json", check=False, real_start=True)
    assert done.returncode == code, (command, words, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return (
        fits(command, done.stdout)
        if command != "logs"
        else [fits(command, line) for line in done.stdout.splitlines()]
    )


@pytest.mark.parametrize("how", [pytest.param("on", marks=pytest.mark.extended), "off", "broken"])
def test_every_command_answers_without_accounting(request: pytest.FixtureRequest, how: str) -> None:
    """Commands that need no accounting work without it."""
    with accounting(request, how) as desk:
        runs = runs_of(desk, how)
        _look(desk, runs, f"sweep-{how}")
        _look_at_specs(desk)
        _act(desk, runs)


def _look(desk: Desk, runs: dict[str, Submitted], tag: str) -> None:
    mine = {run.run_id: STATES[name] for name, run in runs.items()}
    listed = {run["run_id"]: run["state"] for run in ask(desk, "list")}
    assert {run: listed[run] for run in mine} == mine
    assert [run["run_id"] for run in ask(desk, "list", "--tag", tag, "--state", "running")] == [
        runs["runs"].run_id
    ]
    assert {run["run_id"] for run in ask(desk, "status")["active_runs"]} >= {
        runs["runs"].run_id,
        runs["waits"].run_id,
    }
    for name, run in runs.items():
        assert ask(desk, "status", run.run_id)["state"] == STATES[name]
        assert ask(desk, "why", run.run_id)["state"] == STATES[name]
        assert ask(desk, "report", run.run_id)["status"]["state"] == STATES[name]
        assert ask(desk, "checkpoints", run.run_id) == []
    assert [line["text"] for line in ask(desk, "logs", runs["ill"].run_id)].count("a word") == 1
    assert ask(desk, "why", runs["waits"].run_id)["waiting"]["reason"] == "BeginTime"
    assert ask(desk, "wait", runs["well"].run_id)["state"] == "COMPLETED"
    assert (
        ask(desk, "wait", runs["waits"].run_id, "--timeout", "1", code=124)["problems"][0]["where"]
        == "--timeout"
    )
    removals = ask(desk, "clean", "--keep", "0", "--dry-run")["removals"]
    assert {runs["well"].run_id, runs["ill"].run_id} <= {one["run_id"] for one in removals}
    assert not {runs["waits"].run_id, runs["runs"].run_id} & {one["run_id"] for one in removals}


def _look_at_specs(desk: Desk) -> None:
    notify = [{"on": ["finished"], "to": {"webhook": "HOOK"}}]
    spec = str(desk.spec("spec", command="true", notify=notify, environment={"secrets": ["HOOK"]}))
    assert ask(desk, "validate", spec)["nodes"] == 1
    assert "name" in {one["key"] for one in ask(desk, "render", spec, "--explain")}
    assert "main" in ask(desk, "submit", spec, "--dry-run")["script"]
    assert ask(desk, "estimate", "--parameters", "7B", "--gpus", "8")["gpus"] == 8
    hook = desk.cli(
        "notify", "--test", spec, "--json", check=False, env={"HOOK": "http://127.0.0.1:9/"}
    )
    assert (hook.returncode, fits("notify", hook.stdout)["failed"]) == (1, 1)
    desk.write("train.py", "print()\n")
    home = desk.cluster.home("alice")
    assert ask(
        desk, "init", "--script", str(home / "train.py"), "-o", str(home / "new.yaml"), "--force"
    )["file"]
    answer = json.loads(desk.cli("doctor", "--json", check=False).stdout)
    assert fits("doctor", json.dumps(answer))["findings"]
    assert ask(desk, "status", "nobody", code=2)["problems"]


def _act(desk: Desk, runs: dict[str, Submitted]) -> None:
    assert (
        ask(desk, "resume", runs["ill"].run_id, "--set", "slurm.begin=now+2hours")["run_id"]
        == runs["ill"].run_id
    )
    assert ask(desk, "status", runs["ill"].run_id)["state"] == "PENDING"
    assert ask(desk, "requeue", runs["runs"].run_id)["run_id"] == runs["runs"].run_id
    assert ask(desk, "stop", runs["waits"].run_id)["run_id"] == runs["waits"].run_id
    assert desk.wait(runs["waits"], 30) == "STOPPED"
    for name in ("ill", "runs"):
        assert ask(desk, "cancel", runs[name].run_id)["run_id"] == runs[name].run_id
        assert desk.wait(runs[name], 60) == "CANCELLED"
