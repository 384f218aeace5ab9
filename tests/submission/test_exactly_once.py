"""However an earlier try ended, a submission has one job: in its files, in Slurm, or queued now.

On real clusters, with clients that are killed: tests/slurm/test_submit.py and test_recover.py.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from clusterrun.errors import ClusterError
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.records import read_record, write_record
from clusterrun.submission import exactly_once
from clusterrun.submission.exactly_once import Handover


def marked(what: Handover, cluster: str = "east") -> Handover:
    """The client was killed after it recorded that it was about to call sbatch."""
    write_record(what.marker, {"time": 1, "number": what.number, "cluster": cluster})
    return what


def start_attempt(run: RunRef, *attempts: str, job_id: str = "7") -> None:
    for attempt in attempts:
        write_record(run.paths.begin(attempt), {"job_id": job_id})


def line(job: str, path: Path) -> str:
    """A line of squeue for a job of a script."""
    return f"{job}|{job}|{job}|PENDING|Priority|N/A N/A||{path}\n"


def test_a_submission_is_the_first_on_a_cluster_by_default(run):
    """A submission is immutable."""
    what = Handover(run, "tiny")
    assert (what.number, what.after, what.local) == (1, "", False)
    with pytest.raises(AttributeError):
        what.number = 2  # type: ignore[misc]


def test_a_submission_that_was_recorded_is_known(run, cluster):
    """Its job is the recorded one, even if an attempt has another by now; Slurm is not queried."""
    what = marked(Handover(run, "tiny"))
    write_record(run.paths.job, {"number": 1, "job_id": "12"})
    start_attempt(run, "0001", job_id="13")
    assert exactly_once.find_known_job(what) == "12"
    write_record(run.paths.job, {"number": 1, "job_id": ""})
    assert exactly_once.find_known_job(what) is None
    assert cluster.calls("squeue") == []


def test_an_attempt_that_began_is_this_submissions(run, cluster):
    """Of the attempts after the earlier submission, the first has the submitted job."""
    what = marked(Handover(run, "tiny", number=2, after="0002"))
    write_record(run.paths.job, {"number": 1, "job_id": "12"})
    start_attempt(run, "0001", "0002", job_id="12")
    assert exactly_once.find_known_job(what) is None
    assert len(cluster.calls("squeue")) == 2
    start_attempt(run, "0003", job_id="20")
    start_attempt(run, "0004", job_id="21")
    assert exactly_once.find_known_job(what) == "20"
    start_attempt(run, "0003", job_id="")
    assert exactly_once.find_known_job(what) is None
    assert len(cluster.calls("squeue")) == 2


def test_without_a_call_of_sbatch_no_job_is_found(run, cluster):
    """Another submission's marker does not count: Slurm is not queried."""
    cluster.answer("squeue", line("9", run.paths.script))
    assert exactly_once.find_known_job(Handover(run, "tiny")) is None
    marked(Handover(run, "tiny", number=1))
    assert exactly_once.find_known_job(Handover(run, "tiny", number=2)) is None
    assert cluster.calls("squeue") == []
    assert exactly_once.find_known_job(Handover(run, "tiny", number=1)) == "9"


@pytest.mark.parametrize("known_by", ["squeue", "sacct"])
def test_a_queued_job_is_found_by_its_script(run, cluster, known_by):
    """It is found in the queue, or in accounting once it ended, by the path of its script."""
    what = marked(Handover(run, "tiny"))
    script, other = run.paths.script, run.paths.folder / "other.sbatch"
    if known_by == "squeue":
        cluster.answer("squeue", line("8", other) + line("9", script))
    else:
        cluster.answer("sacct", f"8|sbatch {other}\n9|sbatch {script}\n")
    assert exactly_once.find_known_job(what) == "9"
    assert len(cluster.calls("squeue")) == 1


def test_a_job_that_slurm_shows_late_is_found(run, cluster, tmp_path, monkeypatch):
    """slurmctld may list a job some time after its client was killed, so the query is repeated."""
    monkeypatch.setattr(exactly_once, "SETTLE_SECONDS", 0.5)
    first = tmp_path / "first"
    passed = f"$(( $(date +%s%N) - $(cat {first}) ))"
    cluster.answer(
        "squeue",
        line("9", run.paths.script),
        commands=f"if [ ! -e {first} ]; then date +%s%N > {first}\n"
        f"elif [ {passed} -ge 400000000 ]; then cat {cluster.folder}/squeue.out; fi\n",
    )
    assert exactly_once.find_known_job(marked(Handover(run, "tiny"))) == "9"
    assert len(cluster.calls("squeue")) == 2


def test_the_jobs_of_earlier_submissions_are_ignored(run, cluster):
    """Recorded jobs, those of attempts, and their successors share the script's path."""
    write_record(run.paths.job, {"number": 1, "job_id": "12", "earlier": "10 11"})
    start_attempt(run, "0001", job_id="13")
    write_record(run.paths.successor("0001"), {"job_id": "14"})
    before = "".join(line(str(job), run.paths.script) for job in range(10, 15))
    cluster.answer("squeue", before)
    what = marked(Handover(run, "tiny", number=2, after="0001"))
    assert exactly_once.find_known_job(what) is None
    cluster.answer("squeue", before + line("15", run.paths.script))
    assert exactly_once.find_known_job(what) == "15"


def test_a_job_of_another_cluster_is_not_searched_here(run, cluster):
    """Here no job would be found, and the run would be queued twice."""
    what = marked(Handover(run, "tiny"), cluster="west")
    with pytest.raises(ClusterError, match="west") as raised:
        exactly_once.find_known_job(what)
    assert "SLURM_CLUSTERS=west" in str(raised.value)
    assert cluster.calls("squeue") == []


def test_a_local_run_is_not_searched_on_a_cluster(run, cluster):
    """An unrelated process is not taken for a supervisor, whichever cluster is reached."""
    what = marked(Handover(run, "tiny", local=True), cluster="west")
    run.paths.local.mkdir()
    write_record(run.paths.local / "supervisor", {"job_id": os.getpid()})
    assert exactly_once.find_known_job(what) is None
    assert cluster.calls("squeue") == []


def test_the_end_of_a_submission_is_its_jobs_id(run, cluster):
    """The record has the cluster, the submission's number, and the earlier jobs, each once."""
    write_record(run.paths.job, {"number": 1, "job_id": "12", "earlier": "9 10"})
    start_attempt(run, "0001", job_id="12")
    write_record(run.paths.successor("0001"), {"job_id": "13"})
    what = marked(Handover(run, "tiny", number=2, after="0001"))
    for _ in range(2):  # as after a client that was killed right after it
        recorded = exactly_once.record_job(what, "14")
        assert recorded == RunRef(run.run_id, run.paths, "14")
        record = read_record(run.paths.job)
        assert abs(int(record.pop("submitted")) - time.time()) < 60
        assert record == {
            "job_id": "14", "cluster": "east", "local": "0", "number": "2", "after": "0001", "earlier": "10 12 13 9",
        }  # fmt: skip


def test_a_job_is_on_the_cluster_of_its_submission(run, cluster):
    """An attempt that started without this client overrides the earlier submission's marker."""
    marked(Handover(run, "tiny", number=1), cluster="west")
    exactly_once.record_job(Handover(run, "tiny", number=2, local=True), "14")
    record = read_record(run.paths.job)
    assert (record["cluster"], record["local"], record["earlier"]) == ("", "1", "")


def test_a_completed_submission_leaves_nothing_pending(tmp_path):
    """Drafts of killed clients are removed, those of other submissions stay; it may be repeated."""
    pending = tmp_path / "abc"
    for name in ("abc", ".abc.17", ".abc.18", ".abcd.17", "abcd"):
        (tmp_path / name).touch()
    exactly_once.clear_pending(pending)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".abcd.17", "abcd"]
    exactly_once.clear_pending(pending)
