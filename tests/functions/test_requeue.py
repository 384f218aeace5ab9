"""The end of a script, one function at a time: signals during the decision, and requests for a
requeue.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.bash_functions import bash, said

STRUCK = """
trap 'signal_seen=1' TERM
tries=0
find() { tries=$((tries + 1)); found=$([ "$tries" -gt 1 ] || kill -TERM $$ $BASHPID; echo found); }
retry_if_signalled find
echo "$tries $found"
"""


def test_a_signal_during_the_decision_repeats_it():
    """TERM ends the subshell that decides; it runs again, and answers."""
    assert said(STRUCK) == "2 found\n"


AWAY = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
ODD = "Unexpected message received for job 7"
OFF = "Requested operation is presently disabled for job 7"
PENDING = "Job is pending execution for job 7"
ANSWERS = [
    # scontrol's answers, one per try (ok: it is done); those not used; whether the script waits for its end
    (["ok"], 0, True),
    ([PENDING, "ok"], 1, True),  # a preemption was faster
    ([AWAY] * 9 + ["ok"], 0, True),  # slurmctld responds again
    ([ODD] * 9 + ["ok"], 0, True),  # and this is its answer while it is down
    ([OFF] * 2 + ["ok"], 0, True),
    ([OFF] * 7, 2, False),
]
ASK = """
continuation_requested= step_exit=1
pause_unless_cancelled() { :; }
exit_if_cancelled() { :; }
exit_for_good() { exit "$1"; }
wait_for_kill() { echo lingers; exit 0; }
scontrol() { local answer; read -r answer < "$answers"; sed -i 1d "$answers"; echo "$answer"; [ "$answer" = ok ]; }
request_requeue crash
"""


@pytest.mark.parametrize(("words", "left", "lingers"), ANSWERS)
def test_a_requeue_is_retried(tmp_path: Path, words, left, lingers):
    """A controller that is down is asked until it responds; a refusal counts, and the fifth one
    ends the run.
    """
    answers = tmp_path / "answers"
    answers.write_text("".join(f"{word}\n" for word in words))
    (tmp_path / "events").mkdir()
    done = bash(ASK, run_dir=tmp_path, attempt="0001", answers=answers, SLURM_JOB_ID=7)
    assert len(answers.read_text().splitlines()) == left
    assert (done.stdout == "lingers\n") is lingers
    end = tmp_path / "events" / "attempt-0001.end"
    assert end.exists() is not lingers
    if not lingers:
        assert end.read_text().splitlines()[:4] == [
            "cause=crash",
            "next=end",
            "exit_code=1",
            f"reason=requeue refused: {OFF}",
        ]


@pytest.mark.parametrize(
    ("lead", "longest", "seconds"), [(120, None, 120), (120, "0.40", 120), (30, "41.90", 112)]
)
def test_the_stop_is_earlier_if_saves_take_longer(tmp_path: Path, lead, longest, seconds):
    """The script's own timer uses the spec's lead time and twice the longest save of the run."""
    if longest:
        (tmp_path / "saves").write_text(f"longest={longest}\n")
    assert said("compute_stop_lead", run_dir=tmp_path, signal_lead=lead) == f"{seconds}\n"


@pytest.mark.parametrize(("record", "crashed"), [
    (None, False), ("exit_code=0\nstop_request=\n", False), ("exit_code=1\nstop_request=TERM\n", False), ("exit_code=1\nstop_request=\n", True),
])  # fmt: skip
def test_another_nodes_crash_is_distinguished_from_a_preemption(tmp_path: Path, record, crashed):
    """srun's TERM belongs to a crash only if a task failed before a stop was requested."""
    (tmp_path / "events").mkdir()
    if record:
        (tmp_path / "events" / "attempt-0001.node-1").write_text(record)
    assert (
        bash("another_node_crashed", run_dir=tmp_path, attempt="0001").returncode == 0
    ) is crashed


WAITING = """
continuation_requested= step_exit=1 job_end_time= slurm_log=$run_dir/slurm.out slurm_log_start=0 term_seen=
trap 'note_signal TERM' TERM
sleep() { kill -TERM $$; }  # so Slurm ends the wait
scontrol() { [ "$1" != requeue ] || : > "$run_dir/asked"; }
continue_run preemption by-slurm
"""
LAST_WORDS = [
    ("DUE TO TIME LIMIT ", True, "cause=preemption"),
    ("DUE TO PREEMPTION ", False, "cause=preemption"),
    ("", False, "cause=cancel"),
]


@pytest.mark.parametrize(("words", "requested", "end"), LAST_WORDS)
def test_slurms_final_cause_counts(tmp_path: Path, words, requested, end):
    """A script that waits for Slurm to requeue the job requests it after a time limit, and not
    after scancel.
    """
    for name in ("events", "logs"):
        (tmp_path / name).mkdir()
    line = f"slurmstepd-n1: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-02T03:04:05 {words}***\n"
    (tmp_path / "logs" / "attempt-0001.log").touch()
    (tmp_path / "slurm.out").write_text(line)
    bash(WAITING, run_dir=tmp_path, attempt="0001", SLURM_JOB_ID=7)
    assert (tmp_path / "asked").exists() is requested
    record = tmp_path / "events" / "attempt-0001.end"
    assert (record.read_text().splitlines()[0] if record.exists() else "") == end


CONFIG = "KillWait                = 30 sec\nSlurmdTimeout           = 300 sec\n{}"
LIMITS = [
    # the cause, slurm.conf, the partition, the QOS: the longest wait, and its setting
    ("preemption", CONFIG, "GraceTime=15", "", "60 KillWait is 30 s"),
    ("preemption", CONFIG, "GraceTime=0", "", "60 KillWait is 30 s"),
    ("preemption", CONFIG, "GraceTime=600", "", "630 GraceTime is 600 s"),
    ("preemption", CONFIG + "PreemptType = preempt/qos", "GraceTime=600", "00:20:00", "1230 GraceTime is 1200 s"),
    ("preemption", CONFIG + "PreemptType = preempt/qos", "GraceTime=600", "1-00:00:01", "86431 GraceTime is 86401 s"),
    ("preemption", CONFIG + "PreemptType = preempt/qos", "GraceTime=600", "", "60 KillWait is 30 s"),
    ("preemption", "", "", "", "60 KillWait is 30 s"),  # Slurm does not respond: its defaults
    ("node-failure", CONFIG, "GraceTime=600", "", "430 SlurmdTimeout is 300 s"),
    ("node-failure", "", "", "", "430 SlurmdTimeout is 300 s"),
    ("node-failure", "SlurmdTimeout = 10 sec", "", "", "43 SlurmdTimeout is 10 s"),
]  # fmt: skip
LIMIT = """
scontrol() { case $2 in config) printf %s "$config" ;; partition) printf %s "$partition" ;; esac; }
sacctmgr() { [ -z "$qos" ] || echo "$qos"; }
set_wait_limit "$cause"
echo "$limit_s $limit_source"
"""


@pytest.mark.parametrize(("cause", "config", "partition", "qos", "limit"), LIMITS)
def test_the_wait_for_slurm_is_as_long_as_its_own_settings(cause, config, partition, qos, limit):
    """A preempted job is killed after its grace time; a failed node is detected after
    SlurmdTimeout.
    """
    words = {"cause": cause, "config": config.format(""), "partition": partition, "qos": qos}
    assert said(LIMIT, **words) == f"{limit}\n"


NOBODY = """
continuation_requested= step_exit=0 job_end_time= slurm_log=/dev/null slurm_log_start=0 term_seen=
sleep() { echo "waits $1"; }
wait_for_kill() { echo killed; exit 1; }
scontrol() { case $1 in requeue) ;; --version) echo slurm 24.11.5 ;; esac; }
continue_run preemption by-slurm 2>&1
"""


def test_a_signal_without_a_preemption_holds_no_nodes(tmp_path: Path):
    """`scancel -s TERM` looks like a preemption, but nothing follows it: the job requests its
    requeue after the wait.
    """
    (tmp_path / "events").mkdir()
    done = bash(NOBODY, run_dir=tmp_path, attempt="0001", SLURM_JOB_ID=7)
    reason = "Slurm did not end the job within 60 s (KillWait is 30 s)"
    assert done.stdout.splitlines() == [
        "waits 60",
        f"clusterrun: {reason}; requesting a requeue",
        "killed",
    ]
    record = (tmp_path / "events" / "attempt-0001.end").read_text().splitlines()
    assert record[:2] == ["cause=preemption", "next=continue"]
    assert f"reason={reason}" in record


def test_a_fenced_attempt_requests_nothing(tmp_path: Path):
    """On a node whose slurmd is dead nobody ends the batch shell; the job may run elsewhere by
    then.
    """
    (tmp_path / "events").mkdir()
    (tmp_path / "current").write_text("attempt=0002\n")
    text = NOBODY.replace("case $1 in requeue) ;;", "case $1 in requeue) echo asked ;;")
    done = bash(text, run_dir=tmp_path, attempt="0001", SLURM_JOB_ID=7)
    assert done.stdout.splitlines() == ["waits 60"]
    record = (tmp_path / "events" / "attempt-0001.end").read_text().splitlines()
    assert record[:2] == ["cause=preemption", "next=by-slurm"]


def test_a_quota_leaves_no_attempt_behind(tmp_path: Path):
    """If a file can be created and not filled, no number is claimed, and the next attempt continues
    from the last.
    """
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "attempt-0001.begin").write_text("job_id=7\n")
    full = "trap '' XFSZ; ulimit -f 0; squeue() { :; }; claim_attempt; echo claimed"
    done = bash(full, run_dir=tmp_path, SLURM_JOB_ID=7, SLURM_JOB_NODELIST="n1")
    assert done.returncode == 1
    assert (
        f"no space left in {tmp_path}/events: the disk is full or a quota is exceeded"
        in done.stderr
    )
    assert [path.name for path in (tmp_path / "events").glob("*.begin")] == ["attempt-0001.begin"]
    assert (
        said(
            'claim_attempt; echo "$attempt"',
            run_dir=tmp_path,
            SLURM_JOB_ID=7,
            SLURM_JOB_NODELIST="n1",
        )
        == "0002\n"
    )


@pytest.mark.parametrize(("config", "reaches"), [
    ("ProctrackType           = proctrack/cgroup", False), ("ProctrackType = proctrack/linuxproc", True), ("", True),
    ("ProctrackType = proctrack/cgroup\nSignalChildrenProcesses = yes", True),
    ("ProctrackType = proctrack/cgroup\nSignalChildrenProcesses = no", False),
])  # fmt: skip
def test_which_processes_slurms_signals_reach(config, reaches):
    """With cgroups only the task, unless the site configures otherwise; if Slurm does not respond,
    perhaps all.
    """
    text = 'slurm_signals_all_processes "$answer" && echo all; true'
    assert said(text, answer=config) == ("all\n" if reaches else "")


@pytest.mark.parametrize("change", ['rm -r "$run_dir"', 'mv "$run_dir" "$run_dir.old"'])
def test_a_run_without_its_folder_ends(tmp_path: Path, change):
    """Nobody could count its attempts: it reports that in the attempt's log, and requests nothing."""
    run_dir = tmp_path / "run"
    for name in ("events", "logs"):
        (run_dir / name).mkdir(parents=True)
    text = f"""
    exec 3>&1
    {change}
    sleep() {{ :; }}; scontrol() {{ echo "scontrol $1" >&3; }}; sbatch() {{ echo submitted >&3; }}
    step_exit=1 term_seen= continuation_requested= requeue_by=auto requeue_on=crash max_crashes=3
    end_attempt
    """
    done = bash(text, run_dir=run_dir, attempt="0001", SLURM_JOB_ID=7, SLURM_JOB_NUM_NODES=1)
    reason = "the run folder was renamed or removed, or is read-only; the run ends here"
    assert done.stderr == f"clusterrun: cannot write to {run_dir}/events: {reason}\n"
    assert set(done.stdout.splitlines()) <= {"scontrol show"}
    assert done.returncode == 1
