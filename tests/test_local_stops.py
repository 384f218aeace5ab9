"""Real runs on this machine that are asked to stop, and cannot handle it, or not yet."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from clusterrun.local import preempt
from clusterrun.planning.preparation import Request
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.records import read_record
from clusterrun.run_status.control import stop, wait
from clusterrun.submission.submitting import submit

DEAF = "touch $CLUSTERRUN_RUN_DIR/trains; sleep 4; echo trained"
LATE = """
import os, signal, sys, time
from pathlib import Path
run = Path(os.environ["CLUSTERRUN_RUN_DIR"])
if (run / "saved").exists():
    sys.exit(0)
(run / "trains").touch()
time.sleep(3)  # imports
signal.signal(signal.SIGUSR1, lambda *_: ((run / "saved").touch(), sys.exit(0)))
time.sleep(60)
"""


def started(folder: Path, name: str, **values: object) -> tuple[RunRef, Index]:
    environment = {"HOME": str(folder), "PATH": f"{sys.prefix}/bin:/usr/bin:/bin", "USER": "x"}
    (folder / "site.yaml").write_text(f"run_root: {folder}/runs\n")
    spec = {"name": name, "slurm": {"chdir": str(folder)}, **values}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(spec))
    profile = str(folder / "site.yaml")
    request = Request(
        str(folder / f"{name}.yaml"), profile=profile, environment=environment, cwd=folder
    )
    run = submit(request, local=True)
    end = time.monotonic() + 60
    while not (run.paths.folder / "trains").exists():
        assert time.monotonic() < end
        time.sleep(0.1)
    return run, Index(environment)


REQUESTS: dict[str, Callable[[RunRef, Index], object]] = {
    "stop": lambda run, index: stop(run.run_id, index),
    "preemption": lambda run, _: preempt(run.paths),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())
def test_a_command_that_cannot_handle_a_stop_finishes(
    tmp_path: Path, request_: Callable[[RunRef, Index], object]
) -> None:
    """It was STOPPED before, or trained again: but it has trained to its end."""
    run, index = started(tmp_path, "deaf", command=DEAF)
    request_(run, index)
    assert wait(run.run_id, 60, index).state == "COMPLETED"
    assert [read_record(run.paths.end(name))["cause"] for name in run.paths.attempts()] == [
        "finished"
    ]


def test_the_stop_signal_reaches_a_script_that_is_still_importing(tmp_path: Path) -> None:
    """A signal that is sent once would be lost, and the run would train to its end."""
    (tmp_path / "late.py").write_text(LATE)
    checkpoint = {"path": "{run_dir}/saved*", "signal": "USR1"}
    command = f"{sys.executable} late.py"
    run, index = started(tmp_path, "late", command=command, checkpoint=checkpoint)
    stop(run.run_id, index)
    assert wait(run.run_id, 30, index).state == "STOPPED"
    assert (run.paths.folder / "saved").exists()
