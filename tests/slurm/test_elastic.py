"""A run that goes from four nodes to two and back trains as if it had never been stopped.

Budget: 2 minutes alone on two cores. tests/test_training_world_size.py has every other way to change.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.desk import SCRIPTS, Desk, Submitted, until
from tests.slurm.survival import completes, story
from tests.test_training_world_size import ELASTIC, STEPS, close, plan, trained
from tests.training_scripts.launches import clean_environment
from tests.training_scripts.strategies import Strategy, start_ranks

NODES = (4, 2, 4)
HOLDS = {"0001": 3, "0002": 7}  # the steps at which the first two attempts wait


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[float, float, list[int]]]:
    """What one process trains that adds up as many batches, without Slurm and without a stop."""
    root = tmp_path_factory.mktemp("whole")
    only = plan(root / "whole", 1, None)
    (root / "plan").write_text(json.dumps([only | {"environment": {}}]))
    words: dict[str, Any] = {"environment": clean_environment(root), "log": root / "log", "ranks": 1, "accumulation": 4}
    ended = start_ranks(Strategy(), ELASTIC, root / "plan", **words).wait()
    assert ended.code == 0, ended.output
    return trained(root / "whole")


def submit(desk: Desk, strategy: Strategy, folder: Path) -> Submitted:
    words = json.dumps([{"folder": str(folder)}])
    variables = {**strategy.variables(ELASTIC), "HOLDS": json.dumps(HOLDS), "PYTHONPATH": str(ELASTIC.parent)}
    return desk.submit(
        "elastic",
        script=str(SCRIPTS / "strategies.py"),
        args=[str(desk.write("plan", words))],
        slurm={"nodes": NODES[0], "gpus-per-node": 1},
        accelerate=strategy.accelerate(1),
        environment={"variables": variables},
    )


def waits(run: Submitted, attempt: str) -> bool:
    """Whether an attempt has come to where it holds, or is over."""
    seen = run.folder / "seen" / "rank-0"
    text = seen.read_text() if seen.exists() else ""
    return f'"attempt": "{attempt}"' in text or (run.folder / "events" / f"attempt-{attempt}.end").exists()


@pytest.mark.parametrize(
    "strategy", [Strategy(), pytest.param(Strategy(2), marks=pytest.mark.extended)], ids=["ddp", "zero2"]
)
def test_four_nodes_two_and_four_again(
    cluster: Cluster, whole: dict[int, tuple[float, float, list[int]]], strategy: Strategy
) -> None:
    """`resume --set slurm.nodes=` changes the nodes, and neither samples, learning rates nor losses of any step."""
    desk = Desk(cluster, "alice")
    folder = desk.write("plan", "").parent / f"elastic-{strategy.distributed_type}"
    cluster.run_as("alice", ["mkdir", "-p", str(folder)])
    run = submit(desk, strategy, folder)
    for attempt, nodes in enumerate(NODES[1:], 1):
        until(lambda attempt=attempt: waits(run, f"{attempt:04d}"), 240, f"attempt {attempt} is under way")
        desk.cli("stop", run.run_id)
        desk.wait(run, 240)
        desk.cli("resume", run.run_id, "--set", f"slurm.nodes={nodes}")
    completes(desk, run)
    assert run.ends() == ["stop", "stop", "finished"], story(run)
    found = trained(folder)
    assert list(found) == list(whole) == list(range(STEPS)), story(run)
    assert [step[2] for step in found.values()] == [step[2] for step in whole.values()]
    assert all(close(found[step][0], whole[step][0]) and close(found[step][1], whole[step][1]) for step in whole)
    shares = [json.loads(path.read_text()) for path in sorted(run.folder.glob("checkpoints/*/manifest.json"))]
    assert [(one["world_size"], one["sharing"]["accumulation"]) for one in shares] == [(4, 1), (2, 2)]
