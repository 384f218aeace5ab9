"""A run that changes from four nodes to two and back, by itself or by a user, trains like an
uninterrupted one.

Budget: 2 minutes alone on two cores; the others are run by `make extended`.
tests/training/test_world_size.py has every other way to change.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clusterrun.run_folder.records import read_record
from tests.slurm.cluster import Cluster
from tests.slurm.desk import SCRIPTS, Desk, Submitted, until
from tests.slurm.survival import begun, completes, story
from tests.training.test_world_size import ELASTIC, STEPS, close, plan, trained
from tests.training_scripts.launches import clean_environment
from tests.training_scripts.strategies import Strategy, start_ranks

NODES = (4, 2, 4)
HOLDS = {"0001": 3, "0002": 7}  # the steps at which the first two attempts wait


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[float, float, list[int]]]:
    """The training of one process with the same batch size, without Slurm and without a stop."""
    root = tmp_path_factory.mktemp("whole")
    only = plan(root / "whole", 1, None)
    (root / "plan").write_text(json.dumps([only | {"environment": {}}]))
    words: dict[str, Any] = {
        "environment": clean_environment(root),
        "log": root / "log",
        "ranks": 1,
        "accumulation": 4,
    }
    ended = start_ranks(Strategy(), ELASTIC, root / "plan", **words).wait()
    assert ended.code == 0, ended.output
    return trained(root / "whole")


def submit(
    desk: Desk, strategy: Strategy, folder: Path, nodes: int | str = NODES[0], **values: Any
) -> Submitted:
    words = json.dumps([{"folder": str(folder)}])
    variables = {
        **strategy.variables(ELASTIC),
        "HOLDS": json.dumps(HOLDS),
        "PYTHONPATH": str(ELASTIC.parent),
    }
    return desk.submit(
        "elastic",
        script=str(SCRIPTS / "strategies.py"),
        args=[str(desk.write("plan", words))],
        slurm={"nodes": nodes, "gpus-per-node": 1},
        accelerate=strategy.accelerate(1),
        environment={"variables": variables},
        node_check=False,  # torch finds none of the pretended GPUs
        **values,
    )


def folder_for(desk: Desk, name: str) -> Path:
    """Make a folder of the user's, into which the training writes its records."""
    folder = desk.cluster.home(desk.user) / name
    desk.cluster.run_as(desk.user, ["mkdir", "-p", str(folder)])
    return folder


def set_nodes(desk: Desk, names: str, state: str) -> None:
    """Remove nodes, by `drain`, or return them, by `resume`."""
    words = [
        "scontrol",
        "update",
        f"nodename={names}",
        f"state={state}",
        *(["reason=test"] if state == "drain" else []),
    ]
    desk.cluster.run_on("ctl", words)


def assert_equal_training(
    run: Submitted, folder: Path, whole: dict[int, tuple[float, float, list[int]]]
) -> None:
    """Assert that every step has the samples, the learning rate and, up to rounding, the loss of
    the uninterrupted training.
    """
    records = trained(folder)
    assert list(records) == list(whole) == list(range(STEPS)), story(run)
    assert [step[2] for step in records.values()] == [step[2] for step in whole.values()]
    assert all(
        close(records[step][0], whole[step][0]) and close(records[step][1], whole[step][1])
        for step in whole
    )


def shares(run: Submitted) -> list[tuple[int, int]]:
    """Return with how many processes, and how many batches of each per step, the checkpoints were
    saved.
    """
    manifests = [
        json.loads(path.read_text())
        for path in sorted(run.folder.glob("checkpoints/*/manifest.json"))
    ]
    return [(one["world_size"], one["sharing"]["accumulation"]) for one in manifests]


def waits(run: Submitted, attempt: str) -> bool:
    """Return whether an attempt has reached the step at which it waits, or has ended."""
    seen = run.folder / "seen" / "rank-0"
    text = seen.read_text() if seen.exists() else ""
    return (
        f'"attempt": "{attempt}"' in text
        or (run.folder / "events" / f"attempt-{attempt}.end").exists()
    )


def test_a_run_shrinks_and_grows(
    cluster: Cluster, whole: dict[int, tuple[float, float, list[int]]]
) -> None:
    """If two of its nodes are not available again, a smaller job continues the run, and then one
    with all nodes.
    """
    desk = Desk(cluster, "alice")
    folder = folder_for(desk, "shrinking")
    run = submit(desk, Strategy(), folder, requeue={"shrink_to": 2, "shrink_after": "8s"})
    until(lambda: waits(run, "0001"), 240, "attempt 1 is under way")
    set_nodes(desk, "n[3-4]", "drain")
    try:
        desk.cli("requeue", run.run_id)
        until(lambda: waits(run, "0002"), 240, "attempt 2 is under way")
    finally:
        set_nodes(desk, "n[3-4]", "resume")
    smaller = desk.status(run)["job_id"]
    desk.cli("requeue", run.run_id)
    completes(desk, run)
    assert run.ends() == ["requeue", "requeue", "finished"], story(run)
    assert_equal_training(run, folder, whole)
    assert shares(run) == [(4, 1), (2, 2)]
    first, second, third = (read_record(path) for path in begun(run))
    assert (first["job_id"], second["job_id"]) == (run.job_id, smaller)
    assert (first["nodes"], second["nodes"], third["nodes"]) == ("n[1-4]", "n[1-2]", "n[1-4]")
    assert cluster.state(run.job_id) == "CANCELLED"
    assert not [job for job in desk.jobs() if str(run.folder) in job]


@pytest.mark.extended
def test_a_node_range_uses_the_available_nodes(
    cluster: Cluster, whole: dict[int, tuple[float, float, list[int]]]
) -> None:
    """With `nodes: 2-4` it starts on two available nodes, and continues on four."""
    desk = Desk(cluster, "alice")
    folder = folder_for(desk, "ranging")
    set_nodes(desk, "n[3-4]", "drain")
    try:
        run = submit(desk, Strategy(), folder, nodes="2-4")
        until(lambda: waits(run, "0001"), 240, "attempt 1 is under way")
    finally:
        set_nodes(desk, "n[3-4]", "resume")
    desk.cli("requeue", run.run_id)
    until(lambda: waits(run, "0002"), 240, "attempt 2 is under way")
    desk.cli("requeue", run.run_id)
    completes(desk, run)
    assert run.ends() == ["requeue", "requeue", "finished"], story(run)
    assert_equal_training(run, folder, whole)
    assert shares(run) == [(2, 2), (4, 1)]


@pytest.mark.extended
@pytest.mark.parametrize("strategy", [Strategy(), Strategy(2)], ids=["ddp", "zero2"])
def test_resume_changes_the_number_of_nodes(
    cluster: Cluster, whole: dict[int, tuple[float, float, list[int]]], strategy: Strategy
) -> None:
    """`resume --set slurm.nodes=` changes neither samples, learning rates nor losses of any step."""
    desk = Desk(cluster, "alice")
    folder = folder_for(desk, f"elastic-{strategy.distributed_type}")
    run = submit(desk, strategy, folder)
    for attempt, nodes in enumerate(NODES[1:], 1):
        until(
            lambda attempt=attempt: waits(run, f"{attempt:04d}"),
            240,
            f"attempt {attempt} is under way",
        )
        desk.cli("stop", run.run_id)
        desk.wait(run, 240)
        desk.cli("resume", run.run_id, "--set", f"slurm.nodes={nodes}")
    completes(desk, run)
    assert run.ends() == ["stop", "stop", "finished"], story(run)
    assert_equal_training(run, folder, whole)
    assert shares(run) == [(4, 1), (2, 2)]
