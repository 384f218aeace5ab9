"""Hostile values and the real sbatch: each is refused with a reason, or arrives unchanged; nothing
else happens.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from clusterrun.errors import SpecError
from clusterrun.job_spec import load_spec
from tests.slurm.desk import SCRIPTS, Desk, until
from tests.support.hostile_values import VALUES

LATER = {"begin": "now+2hours"}


def refusal(spec: Path) -> str | None:
    """Return the message with which a spec is refused, or None."""
    try:
        load_spec(spec)
    except SpecError as error:
        return str(error)
    return None


@pytest.mark.extended
def test_a_hostile_comment(desk: Desk) -> None:
    """Each value as a --comment: the job has that comment and no further option, or the message
    explains the refusal.
    """
    arrived = 0
    for name, value in VALUES.items():
        spec = desk.spec("hostile", command="true", slurm={"comment": value, **LATER})
        answer = desk.cli("submit", "--json", str(spec), check=False)
        if answer.returncode == 2:
            assert "hostile.yaml:" in answer.stderr, name
            assert "slurm.comment: " in answer.stderr, name
            continue
        if answer.returncode == 1:
            assert len(value.encode()) > 1024, (
                f"{name}: {answer.stderr}"
            )  # sbatch's own limit for a comment
            assert answer.stderr.startswith("sbatch: "), name
            continue
        run = desk.submitted(answer)
        arrived += 1
        shown = desk.cluster.run_as(
            "alice", ["squeue", "--noheader", f"--jobs={run.job_id}", "--format=%j|%k"]
        ).stdout
        assert shown == f"hostile|{value}\n", name
        job = desk.cluster.run_as(
            "alice", ["scontrol", "--oneliner", "show", "job", run.job_id]
        ).stdout
        assert f"StdOut={run.folder}/logs/slurm-{run.job_id}.out" in job, name
        desk.cluster.run_as("alice", ["scancel", run.job_id])
    assert arrived > 40
    assert not list(desk.cluster.home("alice").rglob("canary"))
    until(lambda: not desk.jobs(), 60, "the queue is empty")


def test_hostile_variables_of_a_running_job(desk: Desk) -> None:
    """Every allowed value of a variable reaches the job unchanged, and none of them is executed."""
    variables = {}
    for number, (name, value) in enumerate(VALUES.items()):
        spec = desk.spec("one", command="true", environment={"variables": {"HOSTILE": value}})
        message = refusal(spec)
        if message is None:
            variables[f"HOSTILE_{number}"] = value
        else:
            assert "environment.variables.HOSTILE: " in message, name
    scratch = desk.cluster.scratch / "hostile"
    desk.cluster.run_as("alice", ["mkdir", "-p", scratch])
    run = desk.submit("all", command=f"{sys.prefix}/bin/python {SCRIPTS}/environment.py", slurm={"chdir": str(scratch)},
                      environment={"variables": variables})  # fmt: skip

    assert desk.wait(run) == "COMPLETED", run.log()
    assert json.loads((run.folder / "environment.json").read_text()) == variables
    assert len(variables) > 60
    assert not list(desk.cluster.scratch.rglob("canary"))


def test_hostile_arguments_and_folder_of_a_running_script(desk: Desk) -> None:
    """Every allowed argument reaches the script through accelerate, in a folder with a hostile
    name.
    """
    short = [value for value in VALUES.values() if len(value) < 1000]
    arguments = [
        value for value in short if refusal(desk.spec("one", script="x.py", args=[value])) is None
    ]
    folder = desk.cluster.scratch / 'it\'s $(touch canary); `x` "y" #z'
    desk.cluster.run_as("alice", ["mkdir", "-p", folder])
    run = desk.submit(
        "words",
        script=str(SCRIPTS / "arguments.py"),
        args=["--", *arguments],
        slurm={"chdir": str(folder)},
    )

    assert desk.wait(run) == "COMPLETED", run.log()
    assert json.loads((run.folder / "arguments.json").read_text())[-len(arguments) :] == arguments
    assert len(arguments) > 60
    assert not list(desk.cluster.scratch.rglob("canary"))
