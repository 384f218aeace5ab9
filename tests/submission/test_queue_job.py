"""A submission is queued once, on Slurm or on this machine, and its job is recorded."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from clusterrun.errors import ClusterError
from clusterrun.job_spec import load_spec
from clusterrun.local import kill_processes
from clusterrun.planning.plan import LaunchPlan
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.records import locked, read_record, write_record
from clusterrun.submission import exactly_once
from clusterrun.submission.exactly_once import Handover
from tests.support.planned import plan_of


def planned(folder: Path, slurm: str = "", more: str = "") -> LaunchPlan:
    path = folder / "job.yaml"
    path.write_text(f"script: train.py\nslurm: {{{slurm}}}\n{more}")
    return plan_of(load_spec(path).spec)


def queued(run: RunRef, plan: LaunchPlan, **more: Any) -> str:
    with locked(run.paths.folder / "lock") as lock:
        return exactly_once.queue_job(Handover(run, "tiny", **more), plan, dict(os.environ), lock)


def test_sbatch_is_called_once_after_the_marker_is_written(run, cluster, tmp_path):
    """sbatch gets only the script, with all options; its process inherits the submission's lock."""
    seen, opened = tmp_path / "seen", tmp_path / "opened"
    marker = run.paths.events / "submit.sbatch"
    look = f"cp {marker} {seen}; readlink /proc/$$/fd/* > {opened}"
    cluster.answer("sbatch", "", commands=f"{look}; echo Submitted batch job 4711")
    assert queued(run, planned(tmp_path), number=3) == "4711"
    assert cluster.calls("sbatch") == [str(run.paths.script)]
    record = read_record(seen)
    assert (record["number"], record["cluster"]) == ("3", "east")
    assert abs(int(record["time"]) - time.time()) < 60
    assert str(run.paths.folder / "lock") in opened.read_text().splitlines()
    assert not run.paths.local.exists()


@pytest.mark.parametrize(
    ("enabled", "by", "expedite"),
    [
        (True, "auto", True),
        (True, "requeue", False),
        (False, "auto", False),
        (False, "requeue", False),
    ],
)
def test_cluster_dependent_settings_are_options_of_sbatch(
    run, cluster, tmp_path, enabled, by, expedite
):
    """Requeues without delay are requested if the cluster has them and the run may use them."""
    if enabled:
        answer = "ClusterName = east\nSlurmctldParameters     = enable_expedited_requeue\n"
        cluster.answer("scontrol", answer)
    queued(run, planned(tmp_path, more=f"requeue: {{by: {by}}}\n"))
    (call,) = cluster.calls("sbatch")
    assert call == ("--requeue=expedite " if expedite else "") + str(run.paths.script)


def test_several_clusters_are_refused_before_anything_is_written(
    run, cluster, tmp_path, monkeypatch
):
    """sbatch would choose one, and nobody would know which."""
    monkeypatch.setenv("SLURM_CLUSTERS", "east,west")
    with pytest.raises(ClusterError, match="more than one cluster"):
        queued(run, planned(tmp_path))
    assert list(run.paths.events.iterdir()) == []
    assert cluster.calls("sbatch") == []


def end_supervisor(run: RunRef) -> None:
    """End the supervisor of a local run and the processes that it started."""
    supervisor = int(read_record(run.paths.local / "supervisor")["job_id"])
    os.kill(supervisor, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(supervisor, 0)
    kill_processes(str(run.paths.folder))


@pytest.mark.parametrize(
    ("slurm", "limit", "gpus"),
    [
        ("", "", ""),
        ("time: '1:00:00'", "3600", ""),
        ("gpus-per-node: 2", "", "2"),
        ("gres: 'gpu:a:1,gpu:b:2'", "", "3"),
        ("gpus: 2", "", "2"),
        ("gpus-per-node: 5", "", "4"),
    ],
)
def test_a_local_run_is_started_once_and_found_again(run, cluster, tmp_path, slurm, limit, gpus):
    """Its supervisor has the time limit, and the number of GPUs that are requested and available."""
    cluster.answer("nvidia-smi", "".join(f"GPU {number}: H200\n" for number in range(4)))
    what = Handover(run, "tiny", local=True)
    write_record(run.paths.stop, {})
    run.paths.script.write_text("sleep 60\n")
    run.paths.logs.mkdir()
    try:
        job_id = queued(run, planned(tmp_path, slurm), local=True)
        assert exactly_once.find_known_job(what) == job_id
    finally:
        end_supervisor(run)
    settings = read_record(run.paths.local / "settings")
    assert (settings["limit"], settings["gpus"]) == (limit, gpus)
    assert read_record(what.marker)["cluster"] == ""
    assert (cluster.calls("sbatch"), cluster.calls("scontrol")) == ([], [])
    assert exactly_once.find_known_job(what) is None  # a supervisor that is dead does not count
