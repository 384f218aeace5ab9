"""What the survival tests share: the training, what stops it, and whether it was continued exactly.

A run is exact if each step of the training was taken, in order, with the loss of an uninterrupted
run, by one attempt at a time, and the final weights are that run's, bit for bit. Attempts may
repeat steps; the repeated steps are what they lost.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shlex
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from clusterrun.run_folder.records import read_record
from tests.slurm.desk import SCRIPTS, Desk, Submitted, until
from tests.support.made_once import made_once
from tests.training_scripts import launches

SURVIVOR = SCRIPTS / "survivor.py"
EPOCH, STEPS = 150, 450  # optimizer steps of an epoch, and of the training
EVERY = 20  # optimizer steps between two checkpoints
WIDTH = 32  # of the model's hidden layers
PACE = 0.3  # seconds per step, where an attempt is slow: time enough for an event on any machine

WORDS = {
    "finished": "finished",
    "stop": "stopped on request",
    "cancel": "cancelled",
    "preemption": "preempted",
    "time-limit": "time limit",
    "requeue": "requeued",
    "node-failure": "node fail",
    "crash": "crashed with exit code",
    "hang": "hung: ",
    "no-restart": "must not be restarted",
    "bad-node": "bad node",
}
# Two ranks, because a sum of two is the same in any order; with more, losses differ in the last digit after a
# resume (DDP rebuilds its buckets after the first step).
TWO_RANKS: dict[str, Any] = {"nodes": 2, "gpus-per-node": 1}
ONE_RANK: dict[str, Any] = {"nodes": 1, "gpus-per-node": 1}
# Without GPUs, in a partition that is not preempted: `preempt` takes all GPUs of the nodes and leaves it alone.
UNPREEMPTED: dict[str, Any] = {"partition": "main", "nodes": 2, "gpus-per-node": None}


@dataclass(frozen=True)
class Step:
    """One optimizer step, as recorded by rank 0; `time` in seconds since the epoch."""

    attempt: int
    step: int
    loss: float
    time: float


@dataclass(frozen=True)
class Trained:
    """All records of a training."""

    steps: list[Step]
    weights: str

    def by_attempt(self) -> dict[int, list[Step]]:
        attempts = sorted({step.attempt for step in self.steps})
        return {
            attempt: [step for step in self.steps if step.attempt == attempt]
            for attempt in attempts
        }

    def lost(self) -> list[int]:
        """Return how many steps each attempt after the first had to repeat."""
        pairs = itertools.pairwise(self.by_attempt().values())
        return [before[-1].step + 1 - after[0].step for before, after in pairs]


def trained(folder: Path) -> Trained:
    """Read the records of the training in a run folder; without any it has no steps."""
    journal, weights = folder / "output" / "steps.jsonl", folder / "output" / "weights"
    lines = journal.read_text().splitlines() if journal.exists() else []
    steps = [Step(**json.loads(line)) for line in lines]
    return Trained(steps, weights.read_text() if weights.exists() else "")


@lru_cache
def reference(ranks: int, width: int) -> Trained:
    """Return the records of an uninterrupted training, without Slurm and without clusterrun's
    script.
    """
    with made_once(
        f"reference-{ranks}-{width}", lambda folder: train_uninterrupted(folder, ranks, width)
    ) as folder:
        return trained(folder)


def train_uninterrupted(folder: Path, ranks: int, width: int) -> None:
    start = launches.start_two if ranks == 2 else launches.start
    environment = launches.clean_environment(folder) | (
        {"ACCELERATE_USE_CPU": "true"} if ranks == 2 else {}
    )
    words = ["--output", folder / "output", "--width", width]
    ended = start(SURVIVOR, *words, environment=environment, log=folder / "log").wait()
    assert ended.code == 0, ended.output


def survive(desk: Desk, name: str, *, ranks: int = 2, **values: Any) -> Submitted:
    """Submit the training; `args`, `slurm`, `checkpoint` and `requeue` are added to the values that
    all tests share.
    """
    asked = {**(TWO_RANKS if ranks == 2 else ONE_RANK), **values.pop("slurm", {})}
    slurm = {option: value for option, value in asked.items() if value is not None}
    args = {"pace": PACE, "width": WIDTH, **values.pop("args", {})}
    checkpoint = {"every": f"{EVERY} steps", **values.pop("checkpoint", {})}
    return desk.submit(name, script=str(SURVIVOR), slurm=slurm, args=args, checkpoint=checkpoint,
                       accelerate={"use_cpu": True, "gradient_accumulation_steps": 2}, **values)  # fmt: skip


def reaches(run: Submitted, attempt: int, step: int, seconds: float = 240) -> None:
    """Wait until an attempt has done a step; the error shows its log."""

    def there() -> bool:
        return any(
            done.attempt >= attempt and done.step >= step for done in trained(run.folder).steps
        )

    try:
        until(there, seconds, f"attempt {attempt} reaches step {step}")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{story(run)}") from None


def begins(run: Submitted, attempt: int, seconds: float = 240) -> None:
    """Wait until an attempt has started."""
    until(
        (run.folder / "events" / f"attempt-{attempt:04d}.begin").exists,
        seconds,
        f"attempt {attempt} starts",
    )


def hurry(run: Submitted) -> None:
    """Let the training continue at full speed."""
    (run.folder / "output" / "hurry").touch()


def completes(desk: Desk, run: Submitted, seconds: float = 300) -> None:
    """Wait until a run has completed by itself."""
    assert desk.wait(run, seconds) == "COMPLETED", story(run)


def preempt(desk: Desk, run: Submitted) -> None:
    """Let another user's job take all GPUs of a run's nodes for a moment."""
    preempt_nodes(desk, nodes(run))


def preempt_nodes(desk: Desk, names: str) -> None:
    """Let another user's job take all GPUs of nodes such as n[1-2] for a moment."""
    words = [
        "--partition=high",
        "--gpus-per-node=8",
        f"--nodelist={names}",
        "--output=/dev/null",
        "--wrap=true",
    ]
    desk.cluster.run_as("bob", ["sbatch", *words])


def nodes(run: Submitted) -> str:
    """Return the nodes of the newest attempt, in Slurm's notation."""
    return read_record(begun(run)[-1])["nodes"]


def begun(run: Submitted) -> list[Path]:
    """List the begin records of the attempts, in order."""
    return sorted((run.folder / "events").glob("attempt-*.begin"))


def ended(run: Submitted, attempt: int) -> dict[str, str]:
    """Return the end record of an attempt; empty if it wrote none."""
    return read_record(run.folder / "events" / f"attempt-{attempt:04d}.end")


def causes(run: Submitted) -> list[str]:
    """Return the cause of each attempt's end, in order; empty for one without an end record."""
    return [ended(run, number).get("cause", "") for number in range(1, len(begun(run)) + 1)]


def assert_ended(desk: Desk, run: Submitted, *expected: str) -> None:
    """Assert that the attempts ended with these causes, in their records and in `status`."""
    assert causes(run) == list(expected), story(run)
    attempts = desk.status(run)["attempts"]
    assert [attempt["cause"] for attempt in attempts] == list(expected)
    for attempt, cause in zip(attempts, expected, strict=True):
        assert WORDS[cause] in attempt["summary"]


def assert_whole(
    run: Submitted, ranks: int = 2, *, lost: int = 0, at_once: bool = False, width: int = WIDTH
) -> None:
    """Assert that no step is missing, none differs from the reference, and attempts did not
    overlap.

    `lost` is how many steps an attempt may repeat; `at_once` allows what nobody can prevent: an
    attempt that Slurm has lost may continue for a moment while the next one trains.
    """
    records, expected = trained(run.folder), reference(ranks, width)
    loss_of = {step.step: step.loss for step in expected.steps}
    for attempt, steps in records.by_attempt().items():
        numbers = [step.step for step in steps]
        assert numbers == list(range(numbers[0], numbers[-1] + 1)), (
            f"attempt {attempt} skipped a step"
        )
    assert records.steps[0].step == 1
    assert max(step.step for step in records.steps) == expected.steps[-1].step
    assert all(0 <= steps <= lost for steps in records.lost()), (
        f"steps lost: {records.lost()}\n{story(run)}"
    )
    differing = [step for step in records.steps if step.loss != loss_of[step.step]]
    assert not differing, (
        f"first of {len(differing)}: {differing[0]}, {loss_of[differing[0].step]} uninterrupted"
    )
    assert records.weights == expected.weights
    if not at_once:
        assert_one_at_a_time(records)


def assert_one_at_a_time(training: Trained) -> None:
    """Assert that an attempt's first step comes after the last step of the previous one, also by
    the clock.
    """
    attempts = [step.attempt for step in training.steps]
    assert attempts == sorted(attempts)
    times = [step.time for step in training.steps]
    assert times == sorted(times)


def story(run: Submitted) -> str:
    """Return all that a run left behind, for the message of a failed test: the newest log first."""
    logs = sorted((run.folder / "logs").glob("*"), reverse=True)
    files = [*logs, *sorted((run.folder / "events").glob("*"))]
    files += [run.folder / "ledger"] if (run.folder / "ledger").exists() else []
    texts = "\n".join(f"== {path.name}\n{path.read_text(errors='replace')}" for path in files)
    return f"{shlex.quote(str(run.folder))}\n{texts}"


def processes_of(run: Submitted, attempt: int) -> list[int]:
    """List all processes of an attempt on any machine, identified by their environment."""
    marks = {
        f"CLUSTERRUN_RUN_ID={run.run_id}".encode(),
        f"CLUSTERRUN_ATTEMPT={attempt:04d}".encode(),
    }
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if marks <= set((place / "environ").read_bytes().split(b"\0")):
                found.append(int(place.name))
    return found


def trainers_of(run: Submitted, attempt: int) -> list[int]:
    """List the live training processes and launchers of an attempt on any machine."""
    return [
        process
        for process in processes_of(run, attempt)
        if name_of(process).startswith(("python", "accelerate"))
    ]


def name_of(process: int) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text()
    except OSError:
        return ""


def checkpoints(run: Submitted) -> list[str]:
    """List the names of the published checkpoints, the newest last."""
    names = [path.parent.name for path in run.folder.glob("checkpoints/step-*/manifest.json")]
    return sorted(names, key=lambda name: tuple(reversed(name.split("-")[1:])))
