"""`clean` keeps every run that may still be active or that changed since the plan."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from clusterrun.errors import ClusterError
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.records import locked
from clusterrun.submission.resuming import resume
from clusterrun.upkeep.cleaning import carry_out
from clusterrun.upkeep.cleanup_plan import Criteria, plan_clean
from tests.upkeep.conftest import MONTH


@pytest.mark.parametrize(
    "state", ["RUNNING", "PENDING", "COMPLETING", "REQUEUE_HOLD", "A_NEW_STATE"]
)
def test_a_run_with_a_job_in_slurm_is_never_removed(disk, state):
    """This holds for running and pending runs, and finished ones that Slurm has restarted."""
    disk.run("lives", days=40, job="7", ends=False)
    disk.run("again", days=40, job="8")
    disk.queue(f"7 {state}", f"8 {state}")
    assert disk.clean(Criteria(older_than=0, keep=0)) == []
    assert disk.names() == ["again", "lives"]


def test_without_slurm_only_an_end_record_counts(disk):
    """A run that may be active is kept, with a report."""
    disk.run("ended", days=40, job="7")
    disk.run("unknown", days=40, job="8", ends=False)
    disk.command(
        "squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1"
    )
    plan = plan_clean(MONTH, disk.index)
    assert [one.path.name for one in plan.removals] == ["ended"]
    assert len(plan.notes) == 1
    assert plan.notes[0].startswith("unknown stays: Slurm is not responding (")


def test_a_run_that_was_resumed_since_the_plan_is_kept(disk):
    """Between the plan and the user's confirmation a run may have been resumed."""
    disk.run("one", days=40, job="7")
    plan = plan_clean(MONTH, disk.index)
    disk.queue("7 PENDING")
    assert carry_out(plan, disk.index) == []
    assert disk.names() == ["one"]


def test_a_run_that_squeue_hides_is_queried_by_its_id(disk):
    """A filter in the user's environment may hide a running job from squeue, which proves nothing."""
    disk.run("hidden", days=40, job="7", ends=False)
    disk.run("again", days=40, job="8")
    disk.queue()
    disk.known(("7", "RUNNING"), ("8", "PENDING"))
    notes: list[str] = []
    assert (
        carry_out(
            plan_clean(Criteria(older_than=0, keep=0), disk.index), disk.index, note=notes.append
        )
        == []
    )
    assert disk.names() == ["again", "hidden"]
    assert notes == ["again stays: job 8 is in the queue"]
    assert plan_clean(Criteria(keep=0), disk.index).notes == (
        "hidden stays: job 7 is in the queue",
    )


@pytest.mark.parametrize(("days", "stays"), [(0.5, True), (2, False)])
def test_a_run_with_an_unknown_end_must_be_idle_for_a_day(disk, days, stays):
    """Without an end record, and if neither squeue nor sacct knows the job, its files decide."""
    paths = disk.run("lost", job="7", ends=False)
    disk.age(paths, days)
    assert disk.clean(Criteria(keep=0)) == ([] if stays else ["lost"])
    notes = plan_clean(Criteria(keep=0), disk.index).notes
    assert notes == (
        ("lost stays: it left no end record, and its files changed 12.0 h ago, less than a day",)
        if stays
        else ()
    )


def test_a_job_that_sacct_reports_as_ended_needs_no_idle_time(disk):
    """A job that sacct reports as ended needs no idle time."""
    disk.run("limited", job="7", ends=False)
    disk.known(("7", "TIMEOUT"))
    assert disk.clean(Criteria(keep=0)) == ["limited"]


def test_a_run_that_is_written_to_after_its_end_is_kept(disk):
    """Whatever records and Slurm report, a recent log means an active run."""
    paths = disk.run("old", days=40)
    os.utime(paths.log("0001"))
    assert disk.clean(MONTH) == []
    assert disk.names() == ["old"]


def test_a_process_of_a_local_run_keeps_its_folder(disk):
    """After its supervisor was killed a training process may continue: the folder is in use."""
    paths = disk.run("here", days=40, job="12")
    paths.job.write_text("number=1\njob_id=12\nlocal=1\n")
    disk.age(paths, 40)
    with subprocess.Popen(["sleep", "60"], env={"run_dir": str(paths.folder)}) as orphan:
        assert disk.clean(MONTH) == []
        orphan.kill()
    assert disk.clean(MONTH) == ["here"]


def test_a_local_run_of_another_machine_is_kept(disk):
    """Its processes are invisible here: without an end record it stays."""
    paths = disk.run("there", days=40, job="12", ends=False)
    paths.job.write_text("number=1\njob_id=12\nlocal=1\n")
    paths.local.mkdir()
    (paths.local / "supervisor").write_text("job_id=12\nhost=elsewhere\n")
    disk.age(paths, 40)
    assert disk.clean(Criteria(keep=0)) == []
    assert plan_clean(Criteria(keep=0), disk.index).notes == (
        "there stays: it left no end record, and was started on elsewhere",
    )


def test_a_run_that_changed_since_the_plan_is_kept(disk):
    """A run resumed and ended since is recent; one taken up by a killed `resume` is pending."""
    again, interrupted = disk.run("again", days=40), disk.run("interrupted", days=40, job="2")
    plan = plan_clean(MONTH, disk.index)
    again.begin("0002").write_text("job_id=1\n")
    again.end("0002").write_text(f"cause=finished\nnext=end\nended={int(time.time())}\n")
    disk.index.make()
    disk.index.resumption(RunRef("interrupted", interrupted)).write_text("number=2\n")
    notes: list[str] = []
    assert carry_out(plan, disk.index, note=notes.append) == []
    hint = "a resume was interrupted; finish it with `clusterrun resume interrupted`"
    assert sorted(notes) == ["again stays: it has been resumed", f"interrupted stays: {hint}"]


def test_clean_and_resume_exclude_each_other(disk):
    """Both take the same lock: `clean` does not wait for it, and `resume` finds the folder removed."""
    paths = disk.run("one", days=40)
    plan, run = plan_clean(MONTH, disk.index), RunRef("one", paths, "1")
    notes: list[str] = []
    disk.index.make()
    with locked(disk.index.resumption(run).with_suffix(".lock")):
        assert carry_out(plan, disk.index, note=notes.append) == []
    assert notes == ["one stays: it is being resumed"]
    paths.folder.rename(paths.folder.with_name(".trash-one"))
    with pytest.raises(ClusterError, match="one is being removed by `clusterrun clean`"):
        resume("one", environment=disk.environment, index=disk.index)


def test_a_resume_while_clean_works(disk):
    """Between two removals, which may take minutes, the second run is resumed: it is kept."""
    disk.run("first", days=50)
    second = disk.run("second", days=40, job="2")
    plan = plan_clean(MONTH, disk.index)

    def resumed(*_: object) -> None:
        second.intent.write_text("number=2\nafter=0001\n")
        second.job.write_text("number=2\njob_id=9\nafter=0001\n")
        disk.queue("9 RUNNING")

    gone = carry_out(plan, disk.index, report_progress=resumed)
    assert [one.path.name for one in gone] == ["first"]
    assert disk.names() == ["second"]
