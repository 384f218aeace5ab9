"""A training that continues with another number of processes: the same steps, learning rates and
losses.

Budget: 2 minutes alone on two cores. tests/slurm/test_elastic.py has the nodes.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from clusterrun.errors import TrainingError
from clusterrun.training.checkpointing.manifest import update_facts
from clusterrun.training.resharding.world_size import (
    Share,
    accumulation_for,
    batch_for,
    candidate_speeds,
    curves_are_equal,
)
from tests.training_scripts.launches import attempt_of, clean_environment, manifest, names
from tests.training_scripts.loop_plans import free_ports
from tests.training_scripts.strategies import Strategy, start_ranks

ELASTIC = Path(__file__).parents[1] / "training_scripts" / "elastic_loop.py"
TOLERANCE = 1e-5  # relative; fp32 sums in another order, over 16 steps
CHAIN = [(2, 2), (1, 8), (2, 10), (4, None)]  # processes, and the step at which a stop is requested
STEPS = 16
DDP = Strategy()

SHARED_OUT = [
    # saved by processes x accumulation, requested then -> processes, requested now: accumulated now
    ((4, 1, 1), 2, 1, 2),
    ((4, 1, 1), 1, 1, 4),
    ((2, 2, 1), 4, 1, 1),
    ((2, 2, 1), 2, 1, 2),
    ((3, 4, 4), 2, 4, 6),
    ((3, 4, 4), 12, 4, 1),
    ((2, 4, 4), 2, 8, 8),  # as many processes: a changed accumulation is used
    ((4, 1, 1), 2, 2, 2),  # the user has adapted it already
]


@pytest.mark.parametrize(("saved", "processes", "requested", "expected"), SHARED_OUT)
def test_a_step_uses_the_same_batches(
    saved: tuple[int, int, int], processes: int, requested: int, expected: int
) -> None:
    """Processes times accumulation stays the same, unless only the accumulation is changed."""
    assert accumulation_for(Share(*saved), processes, requested, "step-1") == expected


@pytest.mark.parametrize(
    ("saved", "processes", "requested", "message"),
    [
        (
            (4, 1, 1),
            3,
            1,
            "4 batches (4 x 1 accumulated), which cannot be divided equally among 3 processes",
        ),
        ((4, 1, 1), 8, 1, "run with one of these numbers of processes: 1, 2, 4; or"),
        ((2, 6, 6), 8, 6, "run with one of these numbers of processes: 1, 2, 3, 4, 6, 12; or"),
        ((4, 2, 2), 2, 3, "this attempt requests 6 (2 x 3)"),
    ],
)
def test_numbers_that_cannot_be_shared_are_refused(
    saved: tuple[int, int, int], processes: int, requested: int, message: str
) -> None:
    """The error lists the numbers that can."""
    with pytest.raises(TrainingError) as refused:
        accumulation_for(Share(*saved), processes, requested, "step-1")
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("batch", "saved", "now", "expected"),
    [
        (0, 2, 4, 0),
        (6, 2, 4, 12),
        (12, 4, 1, 3),
        (7, 2, 4, sys.maxsize),
        (sys.maxsize, 1, 2, sys.maxsize),
        (7, 2, 2, 7),
    ],
)
def test_the_position_in_an_epoch_is_a_number_of_steps(
    batch: int, saved: int, now: int, expected: int
) -> None:
    """As many steps of an epoch are done; a fraction of a step is its end."""
    assert batch_for(batch, saved, now) == expected


def test_the_schedules_of_three_kinds_of_scripts() -> None:
    """A script that multiplies its total by the processes, one that does not, and one that counts
    its own batches.
    """
    assert candidate_speeds(4, 4, 2) == [2, 4, 8]
    assert candidate_speeds(4, 2, 4) == [4, 2]
    assert candidate_speeds(4, 2, 3) == [3, 4]
    assert curves_are_equal([1.0, None, 0.0], [1.0 + 1e-8, None, 1e-12])
    assert not curves_are_equal([1.0, 0.5], [1.0, 0.501])
    assert not curves_are_equal([1.0], [1.0, 1.0])


CASES: dict[str, dict[str, Any]] = {
    "scaled": {},
    "unscaled": {"schedule": "unscaled", "late": True},
    "sequence": {"schedule": "sequence", "dispatch": True},
    "tail": {"samples": 60},  # the last step of an epoch uses half as many batches
}
WHOLE = {"scaled": "scaled", "unscaled": "scaled", "sequence": "sequence", "tail": "tail"}
LINKS = {name: [*CHAIN[:2], (2, None)] if name == "tail" else CHAIN for name in CASES}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "other": (
        {"schedule": "other"},
        "the learning rate that the script computes for 1 process differs from the",
    ),
    "larger": (
        {"size": 4},
        "but this attempt has 1: the batch sizes of the DataLoaders are [4], but were [2]",
    ),
    "shorter": ({}, "an epoch has 8 optimizer steps with 1 process, but had 7 before"),
}


def plan(folder: Path, attempt: int, at: int | None, **words: Any) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    environment = attempt_of(folder, f"{attempt:04d}")
    environment["CLUSTERRUN_STOP_FILE"] += "-{rank}"
    environment["ACCELERATE_GRADIENT_ACCUMULATION_STEPS"] = str(words.pop("accumulation", 2))
    return {
        "folder": str(folder),
        "environment": environment,
        "event": "step",
        "at": at or 10**9,
        **words,
    }


def launch(plans: list[dict[str, Any]], processes: int, root: Path, environment: Mapping[str, str],
           strategy: Strategy = DDP) -> str:  # fmt: skip
    """Run some attempts, each in a world of this many processes, and return their output."""
    for one, port in zip(plans, free_ports(len(plans)), strict=True):
        one["port"] = port
    path = root / f"plan-{processes}-{len(list(root.glob('plan-*')))}.json"
    path.write_text(json.dumps(plans))
    words: Any = {
        "environment": dict(environment),
        "log": path.with_suffix(".log"),
        "ranks": processes,
    }
    words["accumulation"] = int(plans[0]["environment"]["ACCELERATE_GRADIENT_ACCUMULATION_STEPS"])
    ended = start_ranks(strategy, ELASTIC, path, **words).wait()
    assert ended.code == 0, ended.output
    return ended.output


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all trainings with DDP: uninterrupted ones on two processes, and those that
    change their number.
    """
    root = tmp_path_factory.mktemp("worlds")
    environment = clean_environment(root)
    for link, (processes, _) in enumerate(CHAIN, 1):
        living = [name for name in CASES if link <= len(LINKS[name])]
        plans = [
            plan(root / name, link, LINKS[name][link - 1][1], **CASES[name]) for name in living
        ]
        if link == 1:
            plans += [
                plan(root / f"{name}-whole", 1, None, **CASES[name])
                for name in sorted(set(WHOLE.values()))
            ]
        if link == 2:
            plans += refused(root)
        (root / f"output-{link}").write_text(launch(plans, processes, root, environment))
    return root


def refused(root: Path) -> list[dict[str, Any]]:
    """Plan attempts that cannot continue from what the first link of `scaled` has saved."""
    for name in REFUSED:
        shutil.copytree(root / "scaled", root / name)
    (saved,) = (root / "shorter" / "checkpoints").iterdir()
    sharing: Any = manifest(root / "shorter", saved.name)["sharing"]
    update_facts(saved, {"sharing": {**sharing, "epoch_steps": 7}})
    return [plan(root / name, 2, None, **words) for name, (words, _) in REFUSED.items()]


def trained(folder: Path) -> dict[int, tuple[float, float, list[int]]]:
    """Return each step's learning rate, mean loss and samples, over all ranks."""
    lines = [
        json.loads(line)
        for path in sorted(folder.glob("batches-?"))
        for line in path.read_text().splitlines()
    ]
    found = {}
    for step in sorted({line[1] for line in lines}):
        own = [line for line in lines if line[1] == step]
        samples = sorted(sample for line in own for sample in line[4])
        found[step] = (own[0][2], sum(line[3] for line in own) / len(own), samples)
    return found


def close(one: float, other: float) -> bool:
    return one == pytest.approx(other, rel=TOLERANCE)


@pytest.mark.parametrize("name", CASES)
def test_steps_rates_and_losses_are_those_of_two_processes(root: Path, name: str) -> None:
    """Two processes, one, two and four train the same samples at each step, each once, at the same
    learning rate, and with the losses of two that were never stopped.
    """
    whole, parts = trained(root / f"{WHOLE[name]}-whole"), trained(root / name)
    assert list(whole) == list(range(STEPS)), (root / "output-1").read_text()
    assert list(parts) == list(whole), [
        (root / f"output-{link}").read_text() for link in (1, 2, 3, 4)
    ]
    assert [step[2] for step in parts.values()] == [step[2] for step in whole.values()]
    assert all(close(parts[step][0], whole[step][0]) for step in whole)
    assert all(close(parts[step][1], whole[step][1]) for step in whole)


@pytest.mark.parametrize(
    ("strategy", "chain"),
    [
        pytest.param(Strategy(2), (2, 1, 2), marks=pytest.mark.extended),
        pytest.param(Strategy(3), (2, 1), marks=pytest.mark.extended),
        pytest.param(Strategy(fsdp2=True, block="Block"), (1, 2), marks=pytest.mark.extended),
    ],
    ids=["zero2", "zero3", "fsdp2"],
)
def test_partitioned_states_are_repartitioned(
    root: Path, tmp_path: Path, strategy: Strategy, chain: tuple[int, ...]
) -> None:
    """ZeRO and FSDP2, where each rank saves a part, train the same as two processes of DDP."""
    outputs = []
    for link, processes in enumerate(chain, 1):
        at = (2, 8)[link - 1] if link < len(chain) else None
        one = plan(
            tmp_path / "run", link, at, accumulation=4 // processes if link == 1 else 4 // chain[0]
        )
        outputs.append(launch([one], processes, tmp_path, clean_environment(tmp_path), strategy))
    whole, parts = trained(root / "scaled-whole"), trained(tmp_path / "run")
    assert list(parts) == list(whole), "\n".join(outputs)
    assert [step[2] for step in parts.values()] == [step[2] for step in whole.values()]
    assert all(close(parts[step][0], whole[step][0]) for step in whole)
    assert all(close(parts[step][1], whole[step][1]) for step in whole)


def test_a_checkpoint_records_how_its_step_was_shared(root: Path) -> None:
    """The manifests have the processes, the requested accumulation and the actual one."""
    saved = [manifest(root / "scaled", name) for name in names(root / "scaled")]
    sharing: list[Any] = [one["sharing"] for one in saved]
    assert [one["world_size"] for one in saved] == [2, 1, 2]
    assert [(one["accumulation"], one["asked"], one["epoch_steps"]) for one in sharing] == [
        (2, 2, 8),
        (4, 2, 8),
        (2, 2, 8),
    ]
    assert (
        "resumed on 1 process x 4 accumulated batches, instead of 2 processes x 2"
        in (root / "output-2").read_text()
    )
    assert (
        "resumed on 4 processes x 1 accumulated batches, instead of 2 processes x 2; 2 processes with new random"
        in (root / "output-4").read_text()
    )


@pytest.mark.parametrize("name", REFUSED)
def test_a_change_that_would_train_differently_is_refused(root: Path, name: str) -> None:
    """Other batches, another number of steps per epoch, or a learning rate that cannot be kept: not
    one step is trained.
    """
    assert REFUSED[name][1] in (root / "output-2").read_text()
    (saved,) = names(root / name)
    assert max(trained(root / name)) + 1 == manifest(root / name, saved)["step"]
