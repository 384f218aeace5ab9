"""The commands that take a run, over run folders on a machine without Slurm."""

from __future__ import annotations

import json
import os
import time

import pytest

from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.paths import RunPaths


@pytest.mark.parametrize(
    "command", ["status", "logs", "wait", "cancel", "stop", "checkpoints", "resume", "requeue"]
)
def test_an_unknown_run(desk, command):
    """A name that matches no run exits with 2, with a hint where to look."""
    done = desk.type(command, "tiny")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "no run named tiny found\n  hint: `clusterrun list` shows the runs\n"


@pytest.mark.parametrize("command", ["status", "logs", "wait", "cancel", "stop", "checkpoints"])
def test_an_empty_name_is_refused(desk, command):
    """An unset shell variable must not select the only run."""
    paths = desk.run("only", job_id="local")
    done = desk.type(command, "")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("RUN must not be empty\n")
    assert not paths.stop.exists()
    assert not paths.cancelled.exists()


@pytest.mark.parametrize("command", ["status", "logs", "wait", "cancel", "stop", "checkpoints"])
def test_a_prefix_of_two_runs(desk, command):
    """A prefix of several runs' names exits with 2 and lists them; a whole id is never ambiguous."""
    desk.run("tiny-1", cause="finished", next="end")
    desk.run("tiny-10", cause="crash", next="end", exit_code="7")
    done = desk.type(command, "tiny")
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        "2 runs match 'tiny'\n  hint: name one of them: tiny-10 (FAILED), tiny-1 (COMPLETED)\n",
    )
    assert desk.type(command, "tiny-1").returncode == 0


def test_commands_on_ended_runs(desk):
    """status, list, logs and wait work without Slurm; wait exits with the run's code."""
    desk.run("good", job_id="11", cause="finished", next="end", exit_code="0")
    desk.run("bad", job_id="12", cause="crash", next="end", exit_code="7")
    shown = desk.type("status", "11")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.splitlines()[:3] == [
        "run              good",
        "state            COMPLETED (finished)",
        "job              11",
    ]
    assert json.loads(desk.type("status", "last", "--json").stdout)["run_id"] == "bad"
    assert [run["state"] for run in json.loads(desk.type("list", "--json").stdout)] == [
        "FAILED",
        "COMPLETED",
    ]
    assert desk.type("logs", "good").stdout == "first line\nlast line\n"
    assert [desk.type("wait", name).returncode for name in ("good", "bad")] == [0, 1]
    for command in ("cancel", "stop"):
        done = desk.type(command, "bad")
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr == "bad: FAILED: crashed with exit code 7\n"


def test_a_run_is_cancelled_once_its_job_left_the_queue(desk):
    """While squeue still lists a cancelled job, the run is ending, not CANCELLED."""
    desk.run(
        "ending",
        job_id="12",
        cause="cancel",
        next="end",
        exit_code="143",
        ended=str(int(time.time())),
    )
    desk.command("squeue", 'echo "12|12|12|$(<state)|None|N/A|n1|/x"')
    state = desk.folder / "state"
    states = {}
    for word in ("RUNNING", "COMPLETING", "PENDING", "CANCELLED", "TIMEOUT"):
        state.write_text(word)
        states[word] = json.loads(desk.type("status", "ending", "--json").stdout)["state"]
        assert json.loads(desk.type("list", "--json").stdout)[0]["state"] == states[word]
    assert states == {"RUNNING": "RUNNING", "COMPLETING": "RUNNING", "PENDING": "PENDING", "CANCELLED": "CANCELLED",
                    "TIMEOUT": "CANCELLED"}  # fmt: skip
    desk.command("squeue", 'echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1')
    assert json.loads(desk.type("status", "ending", "--json").stdout)["state"] == "CANCELLED"


@pytest.mark.parametrize("state", ["PREEMPTED", "NODE_FAIL", "CANCELLED", "TIMEOUT"])
def test_why_never_prints_none(desk, state):
    """Slurm reports no reason as None, which is never shown."""
    desk.run("tiny", job_id="12")
    desk.command("squeue", f'echo "12|12|12|{state}|None|N/A|n1|/x"')
    for command in ("why", "status", "list"):
        assert "None" not in desk.type(command, *([] if command == "list" else ["tiny"])).stdout, (
            command
        )
    assert json.loads(desk.type("status", "tiny", "--json").stdout)["reason"] == ""


def test_a_cancelled_run_whose_end_looks_like_a_crash(desk):
    """The final kill can look like a crash to the script, but a cancelled run has not failed."""
    paths = desk.run(
        "tiny", job_id="12", cause="failed-start", next="end", exit_code="1", reason="no free port"
    )
    assert json.loads(desk.type("status", "tiny", "--json").stdout)["state"] == "FAILED"
    paths.cancelled.write_text("by=someone\n")
    assert json.loads(desk.type("status", "tiny", "--json").stdout)["state"] == "CANCELLED"


def test_status_lists_every_attempt(desk):
    """Each attempt is a line below the run's status; --json has the attempts in full."""
    paths = desk.run(
        "tiny", job_id="12", cause="preemption", next="continue", exit_code="0", step="57"
    )
    (paths.events / "attempt-0001.resume").write_text("checkpoint=\nstep=0\nstate=resumed\n")
    paths.begin("0002").write_text("job_id=12\n")
    (paths.events / "attempt-0002.resume").write_text(
        "checkpoint=step-00000050-0001\nstep=50\nstate=resumed\n"
    )
    paths.end("0002").write_text("cause=finished\nnext=end\nexit_code=0\nstep=90\n")
    shown = desk.type("status", "tiny").stdout.splitlines()
    assert shown[-3].split() == [
        "ATTEMPT",
        "STARTED",
        "ENDED",
        "BY",
        "STEPS",
        "STEPS",
        "LOST",
        "DURATION",
        "JOB",
        "NODES",
    ]
    assert shown[-2].split() == ["1", "preempted", "0", "to", "57", "7", "12"]
    assert shown[-1].split() == ["2", "finished", "50", "to", "90", "0", "12"]
    attempts = json.loads(desk.type("status", "tiny", "--json").stdout)["attempts"]
    assert [(one["number"], one["summary"], one["steps_lost"]) for one in attempts] == [
        (1, "preempted", 7),
        (2, "finished", 0),
    ]


def test_the_tasks_of_an_array(desk):
    """An array is one run with a line per task; a task has its own run id, job id and folder."""
    array = RunPaths(desk.folder / "runs" / "grid")
    array.events.mkdir(parents=True)
    array.intent.write_text("number=1\narray=0-6:2%2\n")
    array.job.write_text("number=1\njob_id=40\n")
    Index(desk.environment).add(RunRef("grid", array, "40"))
    for number, job, cause in ((0, 41, "finished"), (2, 42, "crash")):
        task = RunPaths(array.folder / f"task-{number}")
        task.events.mkdir(parents=True)
        task.logs.mkdir()
        task.begin("0001").write_text(f"job_id={job}\n")
        task.end("0001").write_text(f"cause={cause}\nnext=end\nexit_code=7\n")
        task.log("0001").write_text(f"task {number}\n")
    desk.command("squeue", 'for n in 4 6; do echo "40_$n|4$n|40|PENDING|Resources|N/A||/x"; done')
    desk.command("sbatch", "exit 1")
    shown = desk.type("status", "grid").stdout
    assert "state            PENDING (4 tasks: 2 PENDING, 1 FAILED, 1 COMPLETED)" in shown
    rows = [line.split()[:3] for line in shown.splitlines() if line.startswith("grid-")]
    assert rows == [["grid-0", "COMPLETED", "41"], ["grid-2", "FAILED", "42"], ["grid-4", "PENDING", "40_4"],
                    ["grid-6", "PENDING", "40_6"]]  # fmt: skip
    for name in ("grid-2", "40_2", "./runs/grid/task-2"):
        answer = json.loads(desk.type("status", name, "--json").stdout)
        assert (answer["run_id"], answer["state"]) == ("grid-2", "FAILED")
    assert json.loads(desk.type("list", "--json").stdout)[0]["state"] == "PENDING"
    assert desk.type("logs", "grid-0").stdout == "task 0\n"
    done = desk.type("logs", "grid")
    assert (done.returncode, done.stderr) == (
        1,
        "grid is a job array of 4 tasks; each is a separate run with its own output\n"
        "  hint: name one of them: grid-0, grid-2 (`clusterrun status grid` shows all)\n",
    )
    assert desk.type("status", "grid-3").returncode == 2


def test_requests_to_an_array_reach_its_tasks(desk):
    """`stop` signals running tasks and cancels pending ones; `cancel` cancels the array's job."""
    array = RunPaths(desk.folder / "runs" / "grid")
    array.events.mkdir(parents=True)
    array.intent.write_text("number=1\narray=0-2\n")
    array.job.write_text("number=1\njob_id=40\n")
    Index(desk.environment).add(RunRef("grid", array, "40"))
    tasks = [RunPaths(array.folder / f"task-{number}") for number in (0, 1)]
    for number, task in enumerate(tasks):
        task.events.mkdir(parents=True)
        task.begin("0001").write_text(f"job_id=4{number}\n")
        task.stop.touch()
    tasks[0].end("0001").write_text("cause=finished\nnext=end\n")
    desk.command(
        "squeue",
        'echo "40_1|41|40|RUNNING|None|N/A|n1|/x"; echo "40_2|42|40|PENDING|Resources|N/A||/x"',
    )
    desk.command("sbatch", "exit 1")
    desk.command("scancel", 'echo "$@" >> scancelled')
    fields = f"JobName=x UserId=me({os.getuid()}) JobState=RUNNING Requeue=1 Restarts=0 Command={array.script} WorkDir=/"
    desk.command("scontrol", f"echo 'JobId=41 ArrayJobId=40 ArrayTaskId=1 {fields}'")
    assert desk.type("stop", "grid").returncode == 0
    assert [task.stop.read_text()[:12] for task in tasks] == ["", "requested by"]
    assert desk.type("cancel", "grid").returncode == 0
    assert [task.cancelled.exists() for task in tasks] == [False, True]
    assert (desk.folder / "scancelled").read_text() == "--state=PENDING -- 40\n-- 40\n"
    assert desk.type("requeue", "grid").returncode == 0
    assert [task.requeue.exists() for task in tasks] == [False, True]
    assert (desk.folder / "scancelled").read_text().endswith("\n--signal=USR1 -- 40_1\n")


def test_a_job_that_cannot_be_requeued(desk):
    """`requeue` of such a run does nothing, and suggests another way."""
    paths = desk.run("tiny", job_id="12")
    desk.command("squeue", 'echo "12|12|12|RUNNING|None|N/A|n1|/x"')
    desk.command("scontrol", 'echo "JobId=12 Requeue=0 Restarts=0"')
    done = desk.type("requeue", "tiny")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "job 12 may not be requeued: requeue.on is empty, or the site forbids it\n"
        "  hint: use `clusterrun stop`, and `clusterrun resume` after it has stopped\n"
    )
    assert not paths.requeue.exists()


def test_a_run_is_found_by_its_folder(desk):
    """A path to a run folder selects its run, even if the user's index does not have it."""
    paths = desk.run("good", cause="finished", next="end")
    Index(desk.environment).remove("good")
    assert json.loads(desk.type("status", "--json", "./runs/good").stdout)["folder"] == str(
        paths.folder
    )


def test_logs_of_an_attempt_that_does_not_exist(desk):
    """A request for an attempt that does not exist exits with 1 and lists those that do."""
    desk.run("good", cause="finished", next="end")
    done = desk.type("logs", "good", "--attempt", "3")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "good has no attempt 3\n  hint: its attempts: 1 to 1\n"


def test_a_timeout_has_its_own_exit_code(desk):
    """wait --timeout exits with 124, as timeout(1) does, while the run continues."""
    desk.run("lives", job_id="12")
    done = desk.type("wait", "lives", "--timeout", "0")
    assert (done.returncode, done.stdout) == (124, "")
    assert done.stderr.startswith("lives is still ")
