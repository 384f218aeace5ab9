"""Which job continues a run: traces that the model of `tests/model` has found, in the script."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.bash_functions import bash

SLURM = """
array_job=${array_job:-} requeue_by=auto SLURM_JOB_NODELIST=n1 run_id=r slurm_log=$run_dir/slurm.log
scontrol() { :; }; scancel() { echo "scancel $*"; }; sleep_until_signal() { :; }; job_is_expedited() { return 1; }
squeue() {
  local id state
  while read -r id state; do
    case $* in *--jobs=$id\\ *) echo "$id $state" ;; *"%A %T %o") echo "$id $state $run_dir/job.sbatch" ;;
      *PENDING*%o) [ "$state" != PENDING ] || echo "$id $run_dir/job.sbatch" ;; esac
  done <<< "$queue"
}
trap give_up_claim EXIT
"""
GIVES_WAY = "run r continues in job {}; this job is not needed"


def record(folder: Path, name: str, *lines: str) -> None:
    """Write a record of the run."""
    (folder / "events").mkdir(exist_ok=True)
    path = folder / "events" / name if name.startswith(("attempt", "submit")) else folder / name
    path.write_text("".join(f"{line}\n" for line in lines))


def begin(folder: Path, job: int, queue: str = "", **variables: object) -> tuple[str, int, str]:
    """Begin in a job; return the claimed attempt, the exit code and the messages."""
    text = SLURM + 'claim_next_attempt; echo "$attempt"'
    done = bash(text, run_dir=folder, SLURM_JOB_ID=job, queue=queue, **variables)
    return done.stdout.strip(), done.returncode, done.stderr


def claims(folder: Path) -> list[str]:
    """List the attempts of the run."""
    return sorted(path.stem for path in (folder / "events").glob("*.begin"))


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "COMPLETING", "SUSPENDED"])
def test_an_old_job_gives_way_to_the_one_that_continues(run_dir: Path, state: str) -> None:
    """Job 7 was followed by its successor 8, and a person has requeued 7."""
    record(run_dir, "attempt-0001.begin", "job_id=7")
    record(run_dir, "attempt-0001.end", "cause=crash", "next=continue")
    record(run_dir, "attempt-0002.begin", "job_id=8")
    record(run_dir, "attempt-0002.end", "cause=crash", "next=continue")
    assert begin(run_dir, 7, f"8 {state}") == (
        "",
        75,
        f"clusterrun: {GIVES_WAY.format(f'8 ({state})')}\n",
    )
    assert claims(run_dir) == ["attempt-0001", "attempt-0002"]


def test_an_old_job_continues_if_no_other_does(run_dir: Path) -> None:
    """The job that was to continue is gone: whoever requeues the old one wants it to train."""
    record(run_dir, "attempt-0001.begin", "job_id=7")
    record(run_dir, "attempt-0002.begin", "job_id=8")
    record(run_dir, "attempt-0002.end", "cause=crash", "next=continue")
    assert begin(run_dir, 7) == ("0003", 0, "")


@pytest.mark.parametrize(("state", "claimed"), [("PENDING", "0002"), ("RUNNING", "")])
def test_a_requeued_job_and_its_successor(run_dir: Path, state: str, claimed: str) -> None:
    """Slurm has requeued job 7 in spite of its successor: it gives way once that is running."""
    record(run_dir, "attempt-0001.begin", "job_id=7")
    record(run_dir, "attempt-0001.end", "cause=preemption", "next=by-slurm")
    record(run_dir, "attempt-0001.successor", "requested_at=1")
    assert begin(run_dir, 7, f"8 {state}")[0] == claimed
    assert begin(run_dir, 8, "7 RUNNING", CLUSTERRUN_FIRST_JOB=7)[0] == ("" if claimed else "0002")


@pytest.mark.parametrize(("job", "claimed"), [(7, ""), (8, ""), (9, "0003")])
def test_only_the_new_job_starts_while_a_resume_queues_it(
    run_dir: Path, job: int, claimed: str
) -> None:
    """The intent of the resume names the attempt that it follows; the id of its job comes later."""
    record(run_dir, "attempt-0001.begin", "job_id=7")
    record(run_dir, "attempt-0002.begin", "job_id=8")
    record(run_dir, "attempt-0002.end", "cause=crash", "next=continue")
    record(run_dir, "submit.intent", "number=2", "after=0002")
    record(run_dir, "submit.job", "job_id=7", "number=1")
    attempt, code, messages = begin(run_dir, job)
    assert (attempt, code) == (claimed, 0 if claimed else 75)
    assert ("a resume of run r has started" in messages) is not bool(claimed)


def test_a_resumed_job_that_was_killed_before_it_began_starts_again(run_dir: Path) -> None:
    """It has claimed attempt 2, and Slurm requeued it before the record `current`."""
    record(run_dir, "attempt-0001.begin", "job_id=7")
    record(run_dir, "attempt-0001.end", "cause=stop", "next=end")
    record(run_dir, "attempt-0002.begin", "job_id=9")
    record(run_dir, "current", "attempt=0001")
    record(run_dir, "submit.intent", "number=2", "after=0001")
    record(run_dir, "submit.job", "job_id=9", "number=2", "earlier=7")
    assert begin(run_dir, 9) == ("0003", 0, "")
    assert begin(run_dir, 7)[:2] == ("", 75)


def test_a_claim_without_a_training_decides_nothing(run_dir: Path) -> None:
    """Job 8 was killed between its claim and `current`; the run has ended with attempt 1."""
    record(run_dir, "attempt-0001.begin", "job_id=7")
    record(run_dir, "attempt-0001.end", "cause=crash", "next=end")
    record(run_dir, "attempt-0002.begin", "job_id=8")
    record(run_dir, "current", "attempt=0001")
    record(run_dir, "submit.intent", "number=1", "after=")
    attempt, code, messages = begin(run_dir, 7)
    assert (attempt, code) == ("", 1)
    assert "run r has ended (crash)" in messages


@pytest.mark.parametrize(("line", "trains"), [
    ("CANCELLED AT 2026-12-01T00:00:00 ***", False),  # scancel, then `scontrol requeue` by hand
    ("CANCELLED AT 2026-12-01T00:00:00 DUE TO PREEMPTION ***", True),  # the line came too late
    ("", True),
])  # fmt: skip
def test_a_cancelled_job_that_is_requeued_by_hand(run_dir: Path, line: str, trains: bool) -> None:
    """The job's log distinguishes it from a job whose cause could not be read in time."""
    record(run_dir, "attempt-0001.begin", "job_id=7")
    record(run_dir, "attempt-0001.end", "cause=cancel", "next=end")
    record(run_dir, "submit.intent", "number=1", "after=")
    text = f"slurmstepd: error: *** JOB 7 ON n1 {line}\n" if line else ""
    (run_dir / "slurm.log").write_text(text)
    assert (begin(run_dir, 7)[0] == "0002") is trains


def test_a_run_that_ends_between_the_two_looks(run_dir: Path) -> None:
    """Attempt 2 begins and ends after the first look; the second one finds it, and no claim stays."""
    record(run_dir, "attempt-0001.begin", "job_id=7")
    record(run_dir, "attempt-0001.end", "cause=crash", "next=continue")
    between = (
        'exit_if_another_job_continues() { [ -n "${tried:-}" ] || { tried=1; '
        'echo job_id=8 > "$run_dir/events/attempt-0002.begin"; '
        'printf "cause=crash\\nnext=end\\n" > "$run_dir/events/attempt-0002.end"; }; }; '
    )
    text = SLURM + between + "claim_next_attempt; echo trains"
    done = bash(text, run_dir=run_dir, SLURM_JOB_ID=7, queue="")
    assert (done.stdout, done.returncode) == ("", 1), done.stderr
    assert claims(run_dir) == ["attempt-0001", "attempt-0002"]


def test_a_folder_that_clean_has_removed_is_not_created(tmp_path: Path) -> None:
    """A finished run that a person requeues after `clean` would train again from step 0."""
    folder = tmp_path / "run"
    text = SLURM + "was_submitted=yes; make_run_folder; echo trains"
    done = bash(text, run_dir=folder, SLURM_JOB_ID=7, queue="")
    assert (done.stdout, done.returncode, folder.exists()) == ("", 1, False)
    assert f"the run folder {folder} was removed" in done.stderr


def test_a_task_does_not_cancel_its_array(run_dir: Path) -> None:
    """The SLURM_JOB_ID of an array's last task is the array's id, whose other tasks may wait."""
    record(run_dir, "attempt-0001.begin", "job_id=5")
    record(run_dir, "attempt-0001.successor", "job_id=6")
    text = SLURM + "cancel_other_jobs 0001"
    words = {"SLURM_JOB_ID": 6, "array_job": "6_3", "queue": "5 PENDING"}
    assert bash(text, run_dir=run_dir, **words).stdout == ""


def test_a_pending_job_of_the_run_is_cancelled_though_no_record_names_it(run_dir: Path) -> None:
    """The script that queued it was killed before it recorded the id."""
    record(run_dir, "attempt-0001.begin", "job_id=7")
    record(run_dir, "attempt-0001.successor", "requested_at=1")
    text = SLURM + "repoint_dependents() { :; }; cancel_other_jobs 0001"
    done = bash(text, run_dir=run_dir, SLURM_JOB_ID=7, queue="8 PENDING\n9 RUNNING")
    assert done.stdout == "scancel --state=PENDING 8\n"


def test_a_preemption_by_cancel_in_the_pause_after_a_crash(run_dir: Path) -> None:
    """Slurm refuses a requeue of a job that it is cancelling: the run continues as another job."""
    text = (
        SLURM
        + """
    continuation_requested= term_seen=TERM step_exit=1 attempt=0001
    find_kill_cause() { echo preemption; }; choose_continuation() { echo successor; }
    queue_successor() { echo "successor after $1"; }
    exit_if_cancelled; echo continues
    """
    )
    done = bash(text, run_dir=run_dir, SLURM_JOB_ID=7, queue="")
    assert (done.stdout, done.returncode) == ("successor after preemption\n", 1), done.stderr
