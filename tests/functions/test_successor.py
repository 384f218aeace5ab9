"""How a job hands its run to a successor: when, with which options, and what it does if sbatch
refuses.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.bash_functions import bash, said

CANCELS = "PartitionName=low\n   PreemptMode=CANCEL\n"
REQUEUES = "PartitionName=low\n   PreemptMode=REQUEUE\n"
NEVER, AGAIN = "JobId=7\n   Requeue=0 Restarts=0\n", "JobId=7\n   Requeue=1 Restarts=0\n"
WAYS = [
    # requeue.by, cause, next, the job, its partition, a node newly excluded, an array; the continuation
    (("auto", "preemption", "continue", AGAIN, REQUEUES, "", ""), "requeue"),
    (("auto", "preemption", "by-slurm", AGAIN, REQUEUES, "", ""), "slurm"),
    (("auto", "preemption", "by-slurm", AGAIN, CANCELS, "", ""), "successor"),
    (("auto", "preemption", "continue", AGAIN, CANCELS, "", ""), "successor"),
    (("auto", "time-limit", "continue", AGAIN, CANCELS, "", ""), "requeue"),
    (("auto", "time-limit", "continue", NEVER, REQUEUES, "", ""), "successor"),
    (("auto", "node-failure", "by-slurm", AGAIN, REQUEUES, "", ""), "slurm"),
    (("auto", "node-failure", "by-slurm", NEVER, REQUEUES, "", ""), "successor"),
    (("auto", "crash", "continue", AGAIN, REQUEUES, "1", ""), "successor"),
    (("auto", "crash", "continue", NEVER, REQUEUES, "1", "7_3"), "requeue"),
    (("auto", "preemption", "by-slurm", "", "", "", ""), "slurm"),  # slurmctld is down
    (("requeue", "preemption", "by-slurm", AGAIN, REQUEUES, "1", ""), "slurm"),
    (("requeue", "preemption", "by-slurm", AGAIN, CANCELS, "1", ""), "successor"),
    (("requeue", "preemption", "continue", AGAIN, CANCELS, "1", ""), "requeue"),
    (("requeue", "node-failure", "by-slurm", NEVER, CANCELS, "1", ""), "successor"),
    (("auto", "preemption", "by-slurm", AGAIN, REQUEUES, "", "7_3"), "slurm"),
    (("auto", "preemption", "by-slurm", AGAIN, CANCELS, "", "7_3"), "successor"),
    (("auto", "preemption", "continue", AGAIN, CANCELS, "", "7_3"), "requeue"),
    (("requeue", "crash", "continue", NEVER, CANCELS, "1", ""), "requeue"),
    (("successor", "preemption", "by-slurm", AGAIN, REQUEUES, "", ""), "successor"),  # in the grace
    (("successor", "crash", "continue", AGAIN, REQUEUES, "", ""), "successor"),
    (("successor", "crash", "continue", AGAIN, REQUEUES, "", "7_3"), "requeue"),
]
TAKEN = [
    # The same after TERM to the batch shell: Slurm has requeued the job by then, unless it cancels the jobs it preempts.
    (("successor", "preemption", "by-slurm", AGAIN, REQUEUES, "", ""), "slurm"),
    (("successor", "preemption", "by-slurm", AGAIN, CANCELS, "", ""), "successor"),
    (("successor", "preemption", "by-slurm", NEVER, REQUEUES, "", ""), "successor"),
    (("successor", "requeue", "by-slurm", AGAIN, REQUEUES, "", ""), "slurm"),
    (("successor", "requeue", "by-slurm", NEVER, CANCELS, "", ""), "slurm"),
    (("successor", "node-failure", "by-slurm", AGAIN, REQUEUES, "", ""), "slurm"),
    (("successor", "node-failure", "by-slurm", NEVER, REQUEUES, "", ""), "successor"),
    (("successor", "time-limit", "continue", AGAIN, REQUEUES, "", ""), "successor"),
    (("successor", "crash", "continue", AGAIN, REQUEUES, "", ""), "successor"),
    (("auto", "preemption", "by-slurm", AGAIN, REQUEUES, "1", ""), "slurm"),
    (("auto", "preemption", "by-slurm", AGAIN, CANCELS, "", ""), "successor"),
    (("auto", "requeue", "by-slurm", AGAIN, CANCELS, "1", ""), "slurm"),
    (("auto", "node-failure", "by-slurm", AGAIN, CANCELS, "1", ""), "slurm"),
    (("requeue", "preemption", "by-slurm", AGAIN, REQUEUES, "", ""), "slurm"),
    (("requeue", "preemption", "by-slurm", AGAIN, CANCELS, "", ""), "successor"),
    (("requeue", "requeue", "by-slurm", AGAIN, CANCELS, "", ""), "slurm"),
    (("auto", "preemption", "by-slurm", AGAIN, REQUEUES, "", "7_3"), "slurm"),
    (("auto", "preemption", "by-slurm", AGAIN, CANCELS, "", "7_3"), "successor"),
    (("auto", "requeue", "by-slurm", AGAIN, CANCELS, "", "7_3"), "slurm"),
    (
        ("successor", "preemption", "by-slurm", "", "", "", ""),
        "slurm",
    ),  # slurmctld does not respond
]
SLURM = """
scontrol() { case $2 in job) printf %s "$job" ;; partition) printf %s "$partition" ;; esac; }
choose_continuation "$cause" "$next"
"""


NAMES = ("requeue_by", "cause", "next", "job", "partition", "new_exclusions", "array_job")


@pytest.mark.parametrize(("given", "way"), WAYS)
def test_how_a_run_continues(given, way):
    """By a successor if requested, if Slurm would not start the job again, and to exclude a node;
    arrays requeue.
    """
    variables = dict(zip(NAMES, given, strict=True))
    assert said(SLURM, SLURM_JOB_ID=7, SLURM_JOB_PARTITION="low", **variables) == f"{way}\n"


@pytest.mark.parametrize(("given", "way"), TAKEN)
def test_slurm_has_requeued_the_job_before_its_term(given, way):
    """Then Slurm continues the run, and a successor would be a second job of it, for every
    requeue.by.
    """
    variables = {**dict(zip(NAMES, given, strict=True)), "term_seen": "TERM"}
    assert said(SLURM, SLURM_JOB_ID=7, SLURM_JOB_PARTITION="low", **variables) == f"{way}\n"


MODES = [
    # the configuration, the partition, the QOS: what a preemption does
    ("PreemptMode = REQUEUE\nPreemptType = preempt/partition_prio", CANCELS, "", "CANCEL"),
    ("PreemptMode = CANCEL\nPreemptType = preempt/partition_prio", "", "", "CANCEL"),
    ("PreemptMode = REQUEUE\nPreemptType = preempt/qos", CANCELS, "requeue", "REQUEUE"),
    ("PreemptMode = REQUEUE\nPreemptType = preempt/qos", CANCELS, "cancel", "CANCEL"),
    ("PreemptMode = GANG,SUSPEND\nPreemptType = preempt/qos", REQUEUES, "cluster", "GANG,SUSPEND"),
    ("", "", "", ""),
]
MODE = """
scontrol() { case $2 in config) printf %s "$whole" ;; partition) printf %s "$partition" ;; esac; }
sacctmgr() { printf %s "$qos"; }
find_preempt_mode
"""


@pytest.mark.parametrize(("config", "partition", "qos", "mode"), MODES)
def test_what_a_preemption_does(config, partition, qos, mode):
    """The partition decides, the QOS if it preempts, else the whole cluster."""
    found = said(MODE, whole=config, partition=partition, qos=qos, SLURM_JOB_PARTITION="low")
    assert found.strip() == mode


CALL = """
step_exit=143 term_seen= continuation_requested=
squeue() { printf %s "$queue"; }
scontrol() { echo "scontrol $*" >> "$run_dir/asked"; [ "$1" != show ] || echo "AllocNodes=$allowed $shown $partition"; }
sbatch() { printf '%s\\n' "$@" "secret=$TOKEN" "job=${SLURM_JOB_ID-unset}" "$(pwd)" >> "$run_dir/asked"
  echo "$answer"; [ -z "$refused" ]; }
request_requeue() { echo "requeue asked: $refusal"; exit 1; }
pause_unless_cancelled() { echo pauses; refused= answer=12; }
requeue_by=${requeue_by:-successor}
continue_run "$cause" "${next:-continue}"
"""
GIVEN = {"attempt": "0001", "SLURM_JOB_ID": 7, "SLURM_CONF": "/etc/slurm.conf", "cause": "preemption", "answer": "12",
         "allowed": "ALL", "SLURM_JOB_PARTITION": "low", "secrets": "TOKEN", "TOKEN": "abc"}  # fmt: skip


def hand_over(folder: Path, **variables: object) -> tuple[str, list[str]]:
    """Let an attempt hand its run over; return its output and the requests to Slurm."""
    (folder / "events").mkdir(exist_ok=True)
    (folder / "job.sbatch").touch()
    (folder / "asked").write_text("")
    done = bash(CALL, run_dir=folder, SLURM_SUBMIT_DIR=folder, **{**GIVEN, **variables})
    return done.stdout, (folder / "asked").read_text().splitlines()


def test_the_options_of_the_successor(tmp_path: Path):
    """It waits for this job, has its secrets by name and nothing else, and excludes the bad nodes."""
    (tmp_path / "nodes").mkdir()
    (tmp_path / "nodes" / "n2").write_text("until=99999999999\n")
    (tmp_path / "nodes" / "n3").write_text("until=1\n")
    (tmp_path / "job.sbatch").write_text("#SBATCH --dependency=singleton\n")
    _, requests = hand_over(tmp_path, exclude="n9", cause="crash")
    assert requests[0] == "scontrol show job 7"
    assert requests[1:10] == [
        "--parsable", "--begin=now+5", "--dependency=afterany:7,singleton", "--export=TOKEN,CLUSTERRUN_FIRST_JOB=7",
        "--exclude=n9,n2", f"{tmp_path}/job.sbatch", "secret=abc", "job=unset", str(tmp_path),
    ]  # fmt: skip
    assert "scontrol update JobId=7 Requeue=0" in requests
    assert (tmp_path / "events" / "attempt-0001.successor").read_text().startswith("job_id=12\n")


def test_a_task_continues_as_an_array_of_this_task(tmp_path: Path):
    """It keeps its number, its run and its dependents; the other tasks are left alone."""
    variables = {"array_job": "7_3", "SLURM_ARRAY_JOB_ID": 7, "SLURM_ARRAY_TASK_ID": 3, "term_seen": "TERM",
                 "SLURM_JOB_ID": 10, "requeue_by": "auto", "partition": CANCELS, "next": "by-slurm"}  # fmt: skip
    _, requests = hand_over(tmp_path, queue="20|afterok:7_3(unfulfilled)\n", **variables)
    call = requests[requests.index("--parsable") :]
    assert call[1:6] == [
        "--begin=now+0", "--dependency=afterany:7_3", "--export=TOKEN,CLUSTERRUN_FIRST_JOB=7", "--array=3",
        f"{tmp_path}/job.sbatch",
    ]  # fmt: skip
    assert "scontrol update JobId=7_3 Requeue=0" in requests
    assert "scontrol update JobId=20 Dependency=afterok:12_3" in requests


def test_the_successor_of_an_expedited_job_is_expedited(tmp_path: Path):
    """If the cluster allowed it for this job, it allows it for the next one."""
    assert "--requeue=expedite" in hand_over(tmp_path, shown="ExpeditedRequeue=Yes")[1]
    assert "--requeue=expedite" not in hand_over(tmp_path, shown="Requeue=1")[1]


@pytest.mark.parametrize(("shown", "code", "requests"), [
    ("ExpeditedRequeue=Yes", 3, ["scontrol show job 7", "scontrol update JobId=7 Requeue=0", "scontrol show config"]),
    ("ExpeditedRequeue=Yes", 0, []),
    ("Requeue=1", 3, ["scontrol show job 7", "scontrol show config"]),
])  # fmt: skip
def test_an_expedited_job_that_gave_up_is_not_held(tmp_path: Path, shown, code, requests):
    """Slurm would hold it in the queue, unless it may no longer be requeued."""
    text = """scontrol() { echo "scontrol $*" >> "$run_dir/asked"; echo "$shown"; }; exit_for_good "$code" """
    (tmp_path / "asked").touch()
    done = bash(text, run_dir=tmp_path, shown=shown, code=code, SLURM_JOB_ID=7)
    assert (done.returncode, (tmp_path / "asked").read_text().splitlines()) == (code, requests)


def test_a_run_without_an_id_is_named_by_its_first_job(tmp_path: Path):
    """The successor of a successor continues the run of the first job."""
    assert (
        "--export=CLUSTERRUN_FIRST_JOB=3"
        in hand_over(tmp_path, secrets="", CLUSTERRUN_FIRST_JOB=3)[1]
    )


def test_a_job_that_is_already_queued_is_not_queued_again(tmp_path: Path):
    """If the script was ended between sbatch and its answer, it finds the job by its script."""
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "attempt-0001.successor").write_text("requested_at=1\n")
    _, requests = hand_over(tmp_path, queue=f"7 {tmp_path}/job.sbatch\n11 {tmp_path}/job.sbatch\n")
    assert not [line for line in requests if line.startswith("--")]
    assert (tmp_path / "events" / "attempt-0001.successor").read_text().startswith("job_id=11\n")


def test_a_warning_of_sbatch_is_not_a_job_id(tmp_path: Path):
    """If sbatch prints anything after its answer, the job is found by its script."""
    words = {"answer": "12\nsbatch: warning: maintenance", "queue": f"12 {tmp_path}/job.sbatch\n"}
    hand_over(tmp_path, **words)
    assert (tmp_path / "events" / "attempt-0001.successor").read_text().startswith("job_id=12\n")


def test_after_a_refusal_the_job_is_requeued(tmp_path: Path):
    """If the partition accepts no job from its nodes, the log says so; changes for the successor
    are undone.
    """
    words = {
        "refused": "1",
        "answer": "sbatch: error: Access/permission denied",
        "allowed": "login",
    }
    printed, requests = hand_over(tmp_path, **words)
    assert printed == (
        "requeue asked: Access/permission denied (partition low accepts jobs only from login: AllocNodes)\n"
    )
    assert requests[-1] == "scontrol update JobId=7 Requeue=1"
    assert not (tmp_path / "events" / "attempt-0001.successor").exists()


def test_a_controller_that_does_not_respond_is_asked_again(tmp_path: Path):
    """No answer is not a refusal."""
    away = "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)"
    printed, _ = hand_over(tmp_path, refused="1", answer=away)
    assert printed == "pauses\n"
    assert (tmp_path / "events" / "attempt-0001.successor").read_text().startswith("job_id=12\n")


DEPENDENTS = [
    ("afterok:7(unfulfilled)", "afterok:12"),
    ("afterok:5(unfulfilled),afterany:7(unfulfilled)", "afterok:5,afterany:12"),
    ("afterok:7+10(unfulfilled)?afterany:71(unfulfilled)", "afterok:12+10?afterany:71"),
    ("afterok:71(unfulfilled)", None),
    ("(null)", None),
]


@pytest.mark.parametrize(("waits", "instead"), DEPENDENTS)
def test_dependents_wait_for_the_successor(tmp_path: Path, waits, instead):
    """Only this job's id is replaced; the successor, which waits for this job too, is left alone."""
    _, requests = hand_over(tmp_path, queue=f"9|{waits}\n12|afterany:7(unfulfilled)\n")
    updates = [line for line in requests if "Dependency" in line]
    assert updates == ([f"scontrol update JobId=9 Dependency={instead}"] if instead else [])
