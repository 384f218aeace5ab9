"""The training processes of the chaos benchmark: they save until killed, and report each step.

Each runs in a process forked from a warm parent, and writes lines to a pipe: `resumed STEP` (or
`failed WHY`), and for each save `begin STEP` and `saved STEP`.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import ProjectConfiguration

from clusterrun.training import TrainingRun

KEEP = 2
WIDTH = 512  # one layer, its gradient moments included: 3 MB of state

Tell = Callable[[str, object], None]


class Steps:
    """The step, in the form in which Accelerate saves objects."""

    done = 0

    def state_dict(self) -> dict[str, int]:
        """Return the state that Accelerate saves."""
        return {"step": self.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Set the state that Accelerate has loaded."""
        self.done = state["step"]


def _prepare(accelerator: Accelerator) -> Callable[[], None]:
    model = torch.nn.Linear(WIDTH, WIDTH)
    model, optimizer = accelerator.prepare(model, torch.optim.AdamW(model.parameters(), lr=1e-3))

    def step() -> None:
        for parameter in model.parameters():
            parameter.grad = torch.rand_like(parameter)  # autograd's threads do not survive a fork
        optimizer.step()

    return step


def clusterrun_trainer(folder: Path, attempt: int, tell: Tell) -> None:
    """Train as one attempt of a clusterrun run, with a checkpoint per step."""
    run, step = _begin(folder, attempt)
    _train(run, step, tell, lambda number: tell("saved", number))


def async_trainer(folder: Path, attempt: int, tell: Tell) -> None:
    """Train with `async_save`: training continues while a thread writes a checkpoint."""
    os.environ["CLUSTERRUN_CHECKPOINT_ASYNC_SAVE"] = "true"
    run, step = _begin(folder, attempt)
    saves = run._state.saves  # noqa: SLF001 - the thread calls it when the checkpoint is published
    published = saves.published

    def tell_too(name: str, number: int, *more: float | None) -> None:
        published(name, number, *more)
        tell("saved", number)

    def train_on(_: int) -> None:
        while run._state.is_saving():  # noqa: SLF001 - nothing public shows that a write is in progress
            step()

    saves.published = tell_too  # type: ignore[method-assign]  # the object is this process's own
    _train(run, step, tell, train_on)


def _train(
    run: TrainingRun, step: Callable[[], None], tell: Tell, saved: Callable[[int], None]
) -> None:
    position = run.resume()
    tell("resumed", position.step)
    while True:
        step()
        position.step += 1
        tell("begin", position.step)
        run.step_done(position)
        saved(position.step)


def _begin(folder: Path, attempt: int) -> tuple[TrainingRun, Callable[[], None]]:
    os.environ.update(
        CLUSTERRUN_PROTOCOL="1",
        CLUSTERRUN_RUN_ID="chaos",
        CLUSTERRUN_RUN_DIR=str(folder),
        CLUSTERRUN_ATTEMPT=f"{attempt:04d}",
        CLUSTERRUN_STOP_FILE=str(folder / "signal"),
        CLUSTERRUN_CHECKPOINT_EVERY="1 step",
        CLUSTERRUN_CHECKPOINT_KEEP=str(KEEP),
    )
    accelerator = Accelerator(cpu=True)
    run = TrainingRun(accelerator, folder)
    return run, _prepare(accelerator)


def plain_trainer(folder: Path, _: int, tell: Tell) -> None:
    """Train with `accelerator.save_state` and automatic naming, whose number is set on resume."""
    naming = ProjectConfiguration(str(folder), automatic_checkpoint_naming=True, total_limit=KEEP)
    accelerator = Accelerator(cpu=True, project_config=naming)
    step, steps = _prepare(accelerator), Steps()
    accelerator.register_for_checkpointing(steps)
    if any(folder.glob("checkpoints/*")):
        try:
            accelerator.load_state()
        except BaseException as error:
            tell("failed", type(error).__name__)
            raise
        accelerator.project_configuration.iteration = 1 + max(_numbers(folder))
    tell("resumed", steps.done)
    while True:
        step()
        steps.done += 1
        tell("begin", steps.done)
        accelerator.save_state()
        tell("saved", steps.done)


def _numbers(folder: Path) -> Iterator[int]:
    return (int(path.name.rpartition("_")[2]) for path in folder.glob("checkpoints/checkpoint_*"))


def warm_up(folder: Path) -> None:
    """Save and load once, so that a forked process has nothing left to import."""
    accelerator = Accelerator(cpu=True)
    _prepare(accelerator)()
    accelerator.save_state(str(folder))
    accelerator.load_state(str(folder))
    AcceleratorState._reset_state(reset_partial_state=True)  # noqa: SLF001 - as accelerate's own tests do
    GradientState._reset_state()  # noqa: SLF001 - likewise


@contextmanager
def forked(
    trainer: Callable[[Path, int, Tell], None], folder: Path, attempt: int, log: int
) -> Iterator[tuple[int, int]]:
    """Fork a training process; yield its id and the pipe to read from, and reap it at the end."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        _run_child(trainer, folder, attempt, writing, log)
    os.close(writing)
    try:
        yield child, reading
    finally:
        os.close(reading)
        os.waitpid(child, 0)


def _run_child(
    trainer: Callable[[Path, int, Tell], None], folder: Path, attempt: int, pipe: int, log: int
) -> None:
    try:
        os.dup2(log, 2)
        torch.set_num_threads(1)
        trainer(
            folder,
            attempt,
            lambda word, value: os.write(pipe, f"{word} {value}\n".encode()) and None,
        )
    except BaseException:  # noqa: BLE001 - the parent's code must not run here
        traceback.print_exc()
    finally:
        os._exit(1)
