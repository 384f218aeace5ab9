"""The learning rate as a function of optimizer steps, for any number of processes.

A prepared scheduler makes `num_processes` steps of its schedule at each optimizer step
(accelerate/scheduler.py). Most schedulers keep their parameters in their state, so they only need
the same speed as before. The functions of LambdaLR come from the script, which may count
differently now: comparing the curves shows at which speed they are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any

from clusterrun.errors import TrainingError
from clusterrun.training.resharding.world_size import (
    candidate_speeds,
    count_processes,
    curves_are_equal,
)

if TYPE_CHECKING:
    from accelerate import Accelerator

_POINTS = sorted(
    {int(1.3**power) for power in range(60)} | {0}
)  # optimizer steps, up to five million
_HINT = (
    "count steps with accelerator.gradient_accumulation_steps after creating TrainingRun, or run "
    "with the same number of processes as before"
)


class Schedules:
    """An Accelerator's prepared schedulers, and their schedule steps per optimizer step."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._speeds: list[int] | None = None

    def facts(self) -> list[dict[str, object]]:
        """Return the manifest's facts: `steps` per optimizer step, and the script's `curves`."""
        own = self._accelerator._schedulers  # noqa: SLF001 - accelerate has no public attribute
        now = self._speeds or [_default_speed(one) for one in own]
        return [
            {"steps": speed, "curves": _sample_curves(_wrapped_scheduler(one), speed)}
            for one, speed in zip(own, now, strict=True)
        ]

    def choose(self, saved: list[dict[str, Any]], processes: int) -> list[int]:
        """Return each scheduler's speed for a checkpoint with the facts `saved` by `processes`.

        Raises TrainingError if no speed keeps the curve.
        """
        own = self._accelerator._schedulers  # noqa: SLF001
        if len(own) != len(saved):
            raise TrainingError(
                f"{len(saved)} learning rate schedulers were saved, but {len(own)} are prepared",
                _HINT,
            )
        return [
            _choose_speed(*pair, processes, int(self._accelerator.num_processes))
            for pair in zip(own, saved, strict=True)
        ]

    def follow(self, chosen: list[int], saved: list[dict[str, Any]]) -> None:
        """Let the schedulers, whose state is loaded, continue at the chosen speeds."""
        self._speeds = chosen
        for one, speed, before in zip(self._accelerator._schedulers, chosen, saved, strict=True):  # noqa: SLF001
            inner = _wrapped_scheduler(one)
            if speed != before["steps"]:
                inner.last_epoch = inner.last_epoch * speed // before["steps"]
            if speed != _default_speed(one):
                one.step = partial(_step_times, one, speed)


def _step_times(prepared: Any, times: int, *args: Any, **named: Any) -> None:
    """Replace AcceleratedScheduler.step, which counts the present processes."""
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
        f"the learning rate that the script computes for {count_processes(now)} differs from the "
        f"one for {processes}",
        _HINT,
    )


def _curves_are_equal(saved: list[list[float | None]], now: list[list[float | None]]) -> bool:
    return len(saved) == len(now) and all(map(curves_are_equal, saved, now))


def _find_problem(prepared: Any) -> str | None:
    """Return why the curve of a scheduler cannot be kept; None if it can."""
    from torch.optim.lr_scheduler import LRScheduler

    inner = _wrapped_scheduler(prepared)
    name = type(inner).__name__
    if type(prepared).__name__ != "AcceleratedScheduler":
        return f"{name} is DeepSpeed's own scheduler"
    if not prepared.step_with_optimizer:
        return "with step_scheduler_with_optimizer=False the script decides how often it steps"
    if hasattr(inner, "total_steps") and not prepared.split_batches:
        return f"accelerate counts accumulated batches as steps of {name}"
    ours = isinstance(inner, LRScheduler)
    if not ours or (
        type(inner).state_dict is not LRScheduler.state_dict and not _is_from_torch(inner)
    ):
        return f"the parameters in the state of {name} are unknown"
    return None


def _is_from_torch(scheduler: Any) -> bool:
    return type(scheduler).__module__.startswith("torch.optim.")


def _default_speed(prepared: Any) -> int:
    """Return how many schedule steps accelerate makes per optimizer step."""
    if not getattr(prepared, "step_with_optimizer", False) or prepared.split_batches:
        return 1
    from accelerate.state import AcceleratorState

    return int(AcceleratorState().num_processes)


def _wrapped_scheduler(prepared: Any) -> Any:
    return getattr(prepared, "scheduler", prepared)


def _sample_curves(scheduler: Any, speed: int) -> list[list[float | None]]:
    """Return the values of the script's functions at some optimizer steps."""
    return [
        [_value_or_none(function, step * speed) for step in _POINTS]
        for function in _list_functions(scheduler)
    ]


def _list_functions(scheduler: Any) -> Iterator[Any]:
    """Yield the functions without state: torch saves objects, but no functions or partials."""
    functions = getattr(scheduler, "lr_lambdas", ())
    yield from (one for one in functions if isinstance(one, (FunctionType, partial)))
    for inner in getattr(scheduler, "_schedulers", ()):
        yield from _list_functions(inner)


def _value_or_none(function: Any, step: int) -> float | None:
    try:
        return float(function(step))
    except Exception:  # noqa: BLE001 - a table in the script may be too short
        return None
