"""The learning rate as a function of optimizer steps, whatever the number of processes.

A prepared scheduler makes `num_processes` steps of its schedule at each optimizer step
(accelerate/scheduler.py). Most schedulers keep their numbers in their state, so that they only have
to go on at the speed they had. What LambdaLR computes comes from the script, which may count
differently now: its curve tells at which speed it is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any

from clusterrun.errors import TrainingError
from clusterrun.training.resharding.world_size import candidate_speeds, counted, curves_are_equal

if TYPE_CHECKING:
    from accelerate import Accelerator

_POINTS = sorted(
    {int(1.3**power) for power in range(60)} | {0}
)  # optimizer steps, up to five million
_HINT = (
    "count steps with accelerator.gradient_accumulation_steps once TrainingRun is made; or run "
    "with as many as before"
)


class Schedules:
    """An Accelerator's prepared schedulers, and how many schedule steps each makes at a time."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._speeds: list[int] | None = None

    def facts(self) -> list[dict[str, object]]:
        """Return the manifest's facts: `steps` per optimizer step, and the script's `curves`."""
        own = self._accelerator._schedulers  # noqa: SLF001 - accelerate tells of them in no other way
        now = self._speeds or [_default_speed(one) for one in own]
        return [
            {"steps": speed, "curves": _sample_curves(_wrapped_scheduler(one), speed)}
            for one, speed in zip(own, now, strict=True)
        ]

    def choose(self, saved: list[dict[str, Any]], processes: int) -> list[int]:
        """Return each one's speed for a checkpoint with the facts `saved`, written by `processes`.

        Raises TrainingError where none keeps the curve.
        """
        own = self._accelerator._schedulers  # noqa: SLF001
        if len(own) != len(saved):
            raise TrainingError(
                f"{len(saved)} learning rate schedulers were saved, {len(own)} are prepared", _HINT
            )
        return [
            _choose_speed(*pair, processes, int(self._accelerator.num_processes))
            for pair in zip(own, saved, strict=True)
        ]

    def follow(self, chosen: list[int], saved: list[dict[str, Any]]) -> None:
        """Let the schedulers, whose state is loaded, go on at the chosen speeds."""
        self._speeds = chosen
        for one, speed, before in zip(self._accelerator._schedulers, chosen, saved, strict=True):  # noqa: SLF001
            inner = _wrapped_scheduler(one)
            if speed != before["steps"]:
                inner.last_epoch = inner.last_epoch * speed // before["steps"]
            if speed != _default_speed(one):
                one.step = partial(_step_times, one, speed)


def _step_times(prepared: Any, times: int, *args: Any, **named: Any) -> None:
    """Stand in for AcceleratedScheduler.step, which counts the processes that are here now."""
    if prepared.gradient_state.sync_gradients and not any(
        one.step_was_skipped for one in prepared.optimizers
    ):
        for _ in range(times):
            prepared.scheduler.step(*args, **named)


def _choose_speed(prepared: Any, saved: dict[str, Any], processes: int, now: int) -> int:
    inner, before = _wrapped_scheduler(prepared), int(saved["steps"])
    if now == processes and before == _default_speed(prepared):
        return before
    problem = _find_problem(prepared)
    if problem:
        raise TrainingError(
            f"the learning rate cannot be kept with another number of processes: {problem}", _HINT
        )
    candidates = (
        candidate_speeds(before, processes, now) if type(inner).__name__ == "LambdaLR" else [before]
    )
    for speed in candidates:
        if _curves_are_equal(saved["curves"], _sample_curves(inner, speed)):
            return speed
    raise TrainingError(
        f"the learning rate that the script computes for {counted(now)} is not the one it "
        f"computed for {processes}",
        _HINT,
    )


def _curves_are_equal(saved: list[list[float | None]], now: list[list[float | None]]) -> bool:
    return len(saved) == len(now) and all(map(curves_are_equal, saved, now))


def _find_problem(prepared: Any) -> str | None:
    """Say why nobody can keep the curve of a scheduler; None where it can be kept."""
    from torch.optim.lr_scheduler import LRScheduler

    inner = _wrapped_scheduler(prepared)
    name = type(inner).__name__
    if type(prepared).__name__ != "AcceleratedScheduler":
        return f"{name} is DeepSpeed's own scheduler"
    if not prepared.step_with_optimizer:
        return "step_scheduler_with_optimizer=False leaves it to the script how often it steps"
    if hasattr(inner, "total_steps") and not prepared.split_batches:
        return f"accelerate counts accumulated batches against the total of {name}"
    ours = isinstance(inner, LRScheduler)
    if not ours or (
        type(inner).state_dict is not LRScheduler.state_dict and not _is_from_torch(inner)
    ):
        return f"{name} does not show which of its numbers are in its state"
    return None


def _is_from_torch(scheduler: Any) -> bool:
    return type(scheduler).__module__.startswith("torch.optim.")


def _default_speed(prepared: Any) -> int:
    """How many steps of its schedule accelerate lets a scheduler make at an optimizer step."""
    if not getattr(prepared, "step_with_optimizer", False) or prepared.split_batches:
        return 1
    from accelerate.state import AcceleratorState

    return int(AcceleratorState().num_processes)


def _wrapped_scheduler(prepared: Any) -> Any:
    return getattr(prepared, "scheduler", prepared)


def _sample_curves(scheduler: Any, speed: int) -> list[list[float | None]]:
    """Return what the script's functions give at some optimizer steps."""
    return [
        [_value_or_none(function, step * speed) for step in _POINTS]
        for function in _list_functions(scheduler)
    ]


def _list_functions(scheduler: Any) -> Iterator[Any]:
    """List the functions without state: torch saves objects, but no functions or partials."""
    found = getattr(scheduler, "lr_lambdas", ())
    yield from (one for one in found if isinstance(one, (FunctionType, partial)))
    for inner in getattr(scheduler, "_schedulers", ()):
        yield from _list_functions(inner)


def _value_or_none(function: Any, step: int) -> float | None:
    try:
        return float(function(step))
    except Exception:  # noqa: BLE001 - a table of the script's, which ends somewhere
        return None
