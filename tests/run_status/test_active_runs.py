"""`status` of active runs, and names that several runs share."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from clusterrun.errors import SpecError
from clusterrun.run_folder.records import write_record
from clusterrun.run_status.control import status
from clusterrun.run_status.forecast import outlook
from clusterrun.run_status.named_run import find_run

FIRST, SECOND, THIRD = (f"tiny-2026112{day}-060228-97ab" for day in (1, 2, 3))


def test_a_requested_stop_is_the_reason(machine):
    """Until the run has stopped, `status` says that a stop was requested."""
    paths = machine.run("tiny", "1")
    machine.queue("1 RUNNING")
    assert status("tiny", machine.index).reason == ""
    write_record(paths.requeue, {"by": "ada"})
    assert status("tiny", machine.index).reason == "requeue requested"
    paths.stop.write_text("requested by ada\n")
    assert status("tiny", machine.index).reason == "stop requested"


@pytest.mark.parametrize("state", ["RUNNING", "PENDING"])
def test_an_active_run_has_no_exit_code(machine, state):
    """The exit code of an earlier attempt belongs to that attempt."""
    paths = machine.run("tiny", "1", cause="preemption", next="continue", exit_code=143, ended=1)
    machine.queue(f"1 {state}")
    found = status("tiny", machine.index)
    assert (found.state.value, found.exit_code, found.reason) == (state, None, "")
    write_record(paths.end("0001"), {"cause": "crash", "next": "end", "exit_code": 3, "ended": 1})
    assert status("tiny", machine.index).exit_code == 3


def test_an_old_progress_record_is_not_the_activity(machine):
    """A new attempt is starting until it reports progress itself."""
    paths = machine.run("tiny", "1")
    machine.queue("1 RUNNING")
    began = int(time.time()) - 10
    write_record(paths.begin("0001"), {"job_id": "1", "began": began})
    paths.progress.write_text(f"time={began - 5}\ndoing=epoch\nrate=8\nstep=3\n")
    ahead = outlook(status("tiny", machine.index))
    assert (ahead.activity, ahead.samples_per_second) == ("start", None)
    paths.progress.write_text(f"time={began + 5}\ndoing=step\nrate=8\nstep=4\n")
    ahead = outlook(status("tiny", machine.index))
    assert (ahead.activity, ahead.samples_per_second) == ("step", 8.0)


def test_the_only_active_run_of_a_name_is_selected(machine):
    """If no run of this name or several are active, the error lists them with state and age."""
    machine.run(FIRST, "1", cause="crash", submitted=1)
    machine.run(SECOND, "2")
    machine.queue("2 RUNNING")
    assert find_run("tiny", machine.index).run_id == SECOND
    machine.run(THIRD, "3")
    machine.queue("2 RUNNING", "3 PENDING")
    with pytest.raises(SpecError) as refused:
        find_run("tiny", machine.index)
    (problem,) = refused.value.problems
    assert problem.message == "3 runs match 'tiny'"
    assert f"{SECOND} (RUNNING, " in problem.hint
    assert f"{FIRST} (FAILED, " in problem.hint


def test_a_prefix_of_several_names_is_ambiguous(machine):
    """A prefix of several names must not cancel or stop the active one."""
    machine.run(FIRST, "1", cause="finished")
    machine.run("tiny-bert-20261122-060228-97ab", "2")
    machine.queue("2 RUNNING")
    with pytest.raises(SpecError, match="2 runs match 'tin'"):
        find_run("tin", machine.index)


def test_without_any_run_status_shows_how_to_submit_one(machine):
    """A new user's first `status` has a hint."""
    words = [sys.executable, "-m", "clusterrun", "status"]
    environment = {**os.environ, "HOME": str(machine.folder), "XDG_STATE_HOME": ""}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "no runs yet\n  hint: submit one with `clusterrun submit JOB.yaml`\n"
