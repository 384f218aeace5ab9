"""Notices of whole local runs, and the test message."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusterrun.errors import SpecError
from clusterrun.planning.preparation import Request
from clusterrun.run_folder.index import Index
from clusterrun.run_status.control import status, wait
from clusterrun.submission.submitting import submit
from clusterrun.upkeep.notification import notify
from tests.slurm.desk import until
from tests.support.web_hook import SECRET

HOOK = {"on": ["finished", "gave-up", "requeued"], "to": {"webhook": "HOOK"}}


def job(folder: Path, command: str, **values: Any) -> Request:
    spec = {"name": "tiny", "command": command, "environment": {"secrets": ["HOOK"]}, "notify": [HOOK], "node_check": False,
            "slurm": {"chdir": str(folder)}, **values}  # fmt: skip
    (folder / "job.yaml").write_text(yaml.safe_dump(spec))
    return Request(str(folder / "job.yaml"), profile="", cwd=folder, own_python=False)


def local(request: Request, folder: Path, hook: str) -> tuple[Request, Index]:
    environment = {
        "HOME": str(folder),
        "PATH": f"{sys.prefix}/bin:/usr/bin:/bin",
        "USER": "someone",
        "HOOK": hook,
    }
    return Request(
        request.source, profile="", environment=environment, cwd=folder, own_python=False
    ), Index(environment)


def test_whole_runs_report_how_they_ended(tmp_path, hooks):
    """A run that finished and one that gave up send one notice each; no file has the address."""
    hook = hooks()
    for number, (name, command) in enumerate((("well", "true"), ("ill", "exit 3"))):
        folder = tmp_path / name
        folder.mkdir()
        request, index = local(job(folder, command, requeue={"crashes": 0}), folder, hook.url)
        run = submit(request, local=True)
        ended = wait(run.run_id, 60, index)
        assert (
            status(run.run_id, index).state.value == {"well": "COMPLETED", "ill": "FAILED"}[name]
        ), ended
        until(lambda number=number: len(hook.received) > number, 30, "its end is received")
        listing = subprocess.run(
            ["grep", "-rl", SECRET, folder], text=True, capture_output=True, check=False
        ).stdout
        assert listing == ""
    assert [(one["event"], one["cause"], one["attempt"]) for one in hook.received] == [
        ("finished", "finished", 1),
        ("gave-up", "crash", 1),
    ]
    assert notify(run.run_id, request).failed == 0
    assert (hook.received[-1]["event"], hook.received[-1]["run_id"]) == ("test", run.run_id)


def test_a_test_message_from_here(tmp_path, hooks):
    """`notify --test` sends to every target with the script's functions, and counts failures."""
    hook = hooks()
    request, _ = local(job(tmp_path, "true"), tmp_path, hook.url)
    done = notify(request.source, request)
    assert (done.failed, done.messages) == (0, ("sent test to HOOK",))
    assert hook.received[0]["event"] == "test"
    assert hook.received[0]["text"].startswith("tiny: test: a test, sent from ")
    typed = [sys.executable, "-m", "clusterrun", "notify", "--test", "job.yaml", "--profile", ""]
    shown = subprocess.run(
        typed,
        cwd=tmp_path,
        env={**request.environment, "HOOK": ""},
        text=True,
        capture_output=True,
        check=False,
    )
    assert (shown.returncode, shown.stdout, shown.stderr) == (1, "", "HOOK is not set\n")
    shown = subprocess.run(
        [*typed, "--json"],
        cwd=tmp_path,
        env=dict(request.environment),
        text=True,
        capture_output=True,
        check=False,
    )
    assert json.loads(shown.stdout) == {"failed": 0, "messages": ["sent test to HOOK"]}
    silent = job(tmp_path, "true", notify=[])
    with pytest.raises(SpecError, match="no notification targets"):
        notify(silent.source, silent)
