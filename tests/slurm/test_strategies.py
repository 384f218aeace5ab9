"""Every strategy that runs on CPUs trains, saves, is preempted and resumes, by its spec alone.

Budget: 2 minutes alone on two cores, 4 with the second wave (`make extended`). The cells run in two
waves: all cells of a wave wait before their last steps, then every node is preempted. The
uninterrupted references, which they must equal, run at the same time.

The script is the language model's example, unchanged. scripts/strategies.py makes it wait, and lets
DeepSpeed and FSDP train on CPUs; on GPUs this needs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.desk import SCRIPTS, Desk, Submitted, until
from tests.slurm.survival import assert_ended, checkpoints, completes, story
from tests.training_scripts.launches import EXAMPLE, clean_environment
from tests.training_scripts.strategies import Strategy, start_ranks

BACKGROUND = ("references", "cells")
STEPS, ACCUMULATION, EVERY = 7, 2, 2
STRATEGIES = {
    "ddp": Strategy(),
    "ddp-bf16": Strategy(mixed_precision="bf16"),
    "zero1": Strategy(1),
    "zero2": Strategy(2),
    "zero3": Strategy(3),
    "zero2-bf16": Strategy(2, "bf16"),
    "fsdp2": Strategy(fsdp2=True),
}
# Two processes on one node, or two nodes with one each. The first wave is part of `make test`.
WAVES = (
    (("zero3", "n[1-2]"),),
    (
        ("ddp", "n[1-2]"),
        ("fsdp2", "n[3-4]"),
        ("zero2-bf16", "n2"),
        ("ddp", "n1"),
        ("ddp-bf16", "n2"),
        ("zero1", "n2"),
        ("zero2", "n[3-4]"),
    ),
)
CELLS = [*WAVES[0], *(pytest.param(cell, marks=pytest.mark.extended) for cell in WAVES[1])]
ARGS: dict[str, Any] = {
    "block_size": 32, "n_layer": 2, "n_head": 2, "n_embd": 32, "vocab_size": 300, "warmup_steps": 2,
    "per_device_train_batch_size": 2, "validation_split_percentage": 20, "logging_steps": 1, "max_steps": STEPS,
}  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """The records of a training: each step's loss and learning rate, and the model it saved."""

    lines: dict[int, tuple[float, float]]
    model: bytes


def trained(folder: Path) -> Trained:
    lines = map(json.loads, (folder / "output" / "metrics.jsonl").read_text().splitlines())
    steps = {
        line["step"]: (line["loss"], line["learning_rate"]) for line in lines if "loss" in line
    }
    return Trained(steps, (folder / "output" / "model" / "model.safetensors").read_bytes())


def text() -> str:
    """The novel's beginning."""
    return (EXAMPLE.parent / "data" / "pride-and-prejudice.txt").read_text()[:6000]


def uninterrupted(strategy: Strategy) -> Trained:
    """Return the records of an uninterrupted training of two processes, without Slurm and without
    clusterrun's script.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "text").write_text(text())
        words = [f"--{key}={value}" for key, value in ARGS.items()]
        words += [f"--train_file={folder / 'text'}", f"--output_dir={folder / 'output'}"]
        launch = start_ranks(strategy, EXAMPLE, *words, environment=clean_environment(folder), log=folder / "log",
                             accumulation=ACCUMULATION)  # fmt: skip
        ended = launch.wait()
        assert ended.code == 0, ended.output
        return trained(folder)


@pytest.fixture(scope="module")
def selected(request: pytest.FixtureRequest) -> set[tuple[str, str]]:
    """Return the cells of the selected tests."""
    tests = [
        item for item in request.session.items if item.getparent(pytest.Module) is request.node
    ]
    return {test.callspec.params["cell"] for test in tests if isinstance(test, pytest.Function)}


@pytest.fixture(scope="module")
def references(selected: set[tuple[str, str]]) -> Iterator[dict[str, Future[Trained]]]:
    """The uninterrupted trainings, one after another, while the cells run."""
    with ThreadPoolExecutor(1) as pool:
        yield {
            name: pool.submit(uninterrupted, STRATEGIES[name])
            for name in STRATEGIES
            if name in dict(selected)
        }


def submit(desk: Desk, strategy: str, place: str) -> Submitted:
    strategy_options = STRATEGIES[strategy]
    where = {"nodes": 2, "gpus-per-node": 1} if "[" in place else {"nodes": 1, "gpus-per-node": 2}
    return desk.submit(
        f"{strategy}-{where['nodes']}",
        script=str(SCRIPTS / "strategies.py"),
        args={**ARGS, "train_file": str(desk.write("text", text()))},
        slurm={**where, "nodelist": place},
        accelerate=strategy_options.accelerate(ACCUMULATION),
        environment={"variables": strategy_options.variables()},
        checkpoint={"every": f"{EVERY} steps"},
        real_launch=True,
        node_check=False,  # torch finds none of the pretended GPUs
    )


def waits(run: Submitted) -> bool:
    """Return whether all ranks have reached the step at which the first attempt waits, or it has
    ended.
    """
    over = (run.folder / "events" / "attempt-0001.end").exists()
    return over or len(list(run.folder.glob("seen/rank-?"))) == 2


def preempted(run: Submitted) -> bool:
    return (run.folder / "events" / "attempt-0001.end").exists()


@pytest.fixture(scope="module")
def cells(cluster: Cluster, selected: set[tuple[str, str]]) -> dict[tuple[str, str], Submitted]:
    """All cells, each preempted once; another user's job takes all nodes from a whole wave at a
    time.
    """
    desk, runs = Desk(cluster, "alice"), {}
    for wave in [[cell for cell in wave if cell in selected] for wave in WAVES]:
        before, now = list(runs.values()), {cell: submit(desk, *cell) for cell in wave}
        for cell, run in now.items():
            until(lambda run=run: waits(run), 240, f"{cell} is under way")
        for run in before:  # its second attempt must not be preempted as well
            completes(desk, run)
        desk.preempt()
        for cell, run in now.items():
            until(lambda run=run: preempted(run), 120, f"{cell} has exited")
        runs |= now
    return runs


@pytest.fixture(params=CELLS, ids="-on-".join)
def cell(request: pytest.FixtureRequest) -> tuple[str, str]:
    parameters: tuple[str, str] = request.param
    return parameters


def seen(run: Submitted) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(run.folder.glob("seen/rank-?"))]


def manifest(run: Submitted, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(
        (run.folder / "checkpoints" / name / "manifest.json").read_text()
    )
    return content


def test_a_preempted_cell_trains_exactly_like_an_uninterrupted_one(
    desk: Desk,
    cells: dict[tuple[str, str], Submitted],
    references: dict[str, Future[Trained]],
    cell: tuple[str, str],
) -> None:
    """It uses the requested strategy, loses no step to a preemption, and ends with the losses,
    learning rates and model of an uninterrupted run, bit for bit.
    """
    strategy, run = STRATEGIES[cell[0]], cells[cell]
    completes(desk, run)

    assert_ended(desk, run, "preemption", "finished")
    assert desk.status(run)["attempts"][0]["steps_lost"] == 0
    expected = {
        "distributed_type": strategy.distributed_type,
        "zero_stage": strategy.zero_stage,
        "world_size": 2,
        "mixed_precision": strategy.mixed_precision,
        "accumulation": ACCUMULATION,
    }
    ranks = seen(run)
    assert [{key: rank[key] for key in expected} for rank in ranks] == [expected, expected]
    assert len({rank["node"] for rank in ranks}) == (2 if "[" in cell[1] else 1)
    newest = manifest(run, checkpoints(run)[-1])
    assert (newest["strategy"], newest["precision"], newest["world_size"]) == (
        strategy.distributed_type, strategy.mixed_precision, 2)  # fmt: skip
    found, whole = trained(run.folder), references[cell[0]].result()
    assert list(found.lines) == list(range(1, STEPS + 1)), story(run)
    assert found.lines == whole.lines
    assert found.model == whole.model
