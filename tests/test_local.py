"""The same job spec without Slurm: same script, same run folder, same states, same resume."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clusterrun.errors import ClusterError
from clusterrun.local import kill_processes, preempt
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_logs.reading import logs
from clusterrun.run_status import control as track
from clusterrun.run_status.control import cancel, run_status, status, stop, wait
from clusterrun.run_status.file_status import status_from_files
from clusterrun.run_status.listing import list_runs
from clusterrun.slurm.states import State
from tests.support.laptop import Laptop, until

STEPS = 150
TRAINING: dict[str, Any] = {
    "script": str(Path(__file__).parent / "slurm" / "scripts" / "survivor.py"),
    "args": {"epochs": 3, "epoch_steps": STEPS // 3},
    "accelerate": {"num_processes": 2, "gradient_accumulation_steps": 2},
    "checkpoint": {"every": "500 steps"},
}
PACED = {**TRAINING, "args": {**TRAINING["args"], "pace": 0.3, "slow_at": [1]}}


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    made = Laptop(tmp_path_factory.mktemp("laptop"))
    yield made
    for run in made.runs:
        kill_processes(str(run.paths.folder))


def test_a_preempted_run_restarts_without_losing_a_step(laptop: Laptop) -> None:
    """At preemption both ranks save; the second attempt ends with the same losses and weights."""
    whole = laptop.submit("whole", **TRAINING)
    assert wait(whole.run_id, 120, laptop.index).state == "COMPLETED"
    run = laptop.submit("preempted", **PACED)
    until(lambda: laptop.step(run) > 5, 240, "training is under way")
    preempt(run.paths)

    assert wait(run.run_id, 120, laptop.index).state == "COMPLETED"
    assert laptop.causes(run) == ["preemption", "finished"]
    assert laptop.trained(run) == laptop.trained(whole)
    assert len(laptop.trained(run)[0]) == STEPS


def test_stop_saves_and_exits(laptop: Laptop) -> None:
    """A requested stop ends the run with a checkpoint, and the run does not restart."""
    run = laptop.submit("stopped", **PACED)
    until(lambda: laptop.step(run) > 3, 240, "training starts")
    stop(run.run_id, laptop.index)

    assert wait(run.run_id, 60, laptop.index).state == "STOPPED"
    assert laptop.causes(run) == ["stop"]
    assert list(run.paths.checkpoints.glob("step-*/manifest.json"))


def test_stop_between_two_attempts_does_not_query_slurm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run without Slurm depends on its own supervisor, even if Slurm is installed."""
    index, paths = Index({"HOME": str(tmp_path)}), RunPaths(tmp_path / "runs" / "local-1")
    paths.events.mkdir(parents=True)
    paths.job.write_text("job_id=4711\nlocal=1\n")
    run = RunRef("local-1", paths, "4711")
    index.add(run)
    waits = replace(status_from_files(run), state=State.PENDING)
    monkeypatch.setattr(track, "run_status", lambda _: waits)
    monkeypatch.setattr(track, "installed", lambda: True)
    monkeypatch.setattr(track, "cancel_jobs", lambda *_, **__: pytest.fail("Slurm was asked"))
    track.stop("local-1", index)
    assert paths.stop.read_text().startswith("requested by ")


def test_cancel_leaves_no_process(laptop: Laptop) -> None:
    """`cancel` ends every process of the run, including those in other sessions."""
    run = laptop.submit("cancelled", **PACED)
    until(lambda: laptop.step(run) > 3, 240, "training starts")
    cancel(run.run_id, laptop.index)

    assert wait(run.run_id, 60, laptop.index).state == "CANCELLED"
    mark = f"CLUSTERRUN_RUN_DIR={run.paths.folder}".encode()
    until(
        lambda: not any(mark in environ(entry) for entry in Path("/proc").glob("[0-9]*")),
        20,
        "nothing is left",
    )


def environ(entry: Path) -> list[bytes]:
    try:
        return (entry / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


@pytest.mark.extended
def test_a_time_limit_is_enforced(laptop: Laptop) -> None:
    """At the warning before the limit the training processes save, and the run continues."""
    run = laptop.submit("limited", **PACED, slurm={"time": "2:00", "signal": "USR1@40"})
    until(lambda: len(run.paths.attempts()) > 1, 240, "a second attempt")
    assert laptop.causes(run)[0] == "time-limit"
    until(
        lambda: (
            run.paths.log("0002").exists()
            and "resumed from step-" in run.paths.log("0002").read_text()
        ),
        120,
        "it resumed",
    )
    cancel(run.run_id, laptop.index)
    assert wait(run.run_id, 60, laptop.index).state == "CANCELLED"


def test_a_failing_command_is_shown(laptop: Laptop) -> None:
    """The command's output is in the log, its exit code in the status."""
    run = laptop.submit("failing", command="echo to the log; exit 7")
    status = wait(run.run_id, 60, laptop.index)
    assert (status.state, status.exit_code) == ("FAILED", 7)
    assert "to the log\n" in "".join(logs(run.run_id, index=laptop.index))


def test_more_than_submitit_s_six_attempts(laptop: Laptop) -> None:
    """submitit's local executor gives up after six tries; a run does not."""
    again = 'n=$(ls "$CLUSTERRUN_RUN_DIR"/events/*.begin | wc -l); [ "$n" -ge 9 ] || kill -TERM $PPID; sleep 1; : "$CLUSTERRUN_STOP_FILE"'
    run = laptop.submit("again", command=again)
    assert wait(run.run_id, 120, laptop.index).state == "COMPLETED"
    assert laptop.causes(run) == ["preemption"] * 8 + ["finished"]


def test_following_the_log_ends_with_the_run(laptop: Laptop) -> None:
    """`logs -f` prints new lines across attempts, and returns when the run has ended."""
    run = laptop.submit("followed", command="for i in 1 2 3; do echo line $i; sleep 0.3; done")
    text = "".join(logs(run.run_id, follow=True, index=laptop.index))
    assert [f"line {i}" in text for i in (1, 2, 3)] == [True] * 3
    assert status(run.run_id, laptop.index).state == "COMPLETED"


def test_requests_beyond_one_machine_are_refused(laptop: Laptop) -> None:
    """Several nodes or jobs, and GPUs that are missing here, are refused with a hint."""
    with pytest.raises(
        ClusterError,
        match=r"slurm.array cannot be combined with --local\n  hint: add --set slurm.array=null",
    ):
        laptop.submit("array", command="true", slurm={"array": "0-3"})
    with pytest.raises(
        ClusterError,
        match=r"slurm.nodes is 2, but a local run has one node\n  hint: add --set slurm.nodes=1",
    ):
        laptop.submit("nodes", command="true", slurm={"nodes": 2})
    with pytest.raises(ClusterError, match="the spec requests GPUs, but this machine has none"):
        laptop.submit("gpus", command="true", slurm={"gpus-per-node": 1})
    assert not [
        status
        for status in list_runs(laptop.index)
        if status.run_id.startswith(("nodes-", "gpus-"))
    ]


def test_a_run_without_live_processes_is_not_running(laptop: Laptop) -> None:
    """A run whose processes and supervisor were killed is LOST."""
    run = laptop.submit("killed", command="sleep 100")
    until((run.paths.local / "step.pid").exists, 30, "it runs")
    kill_processes(str(run.paths.folder))
    until(lambda: run_status(run).state.final, 20, "its end is known")
    assert run_status(run).state == "LOST"
