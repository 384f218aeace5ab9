"""Keep an optimizer step's batches for another number of processes: plain arithmetic.

Nothing here imports torch.

A step takes `processes x accumulation` batches of the script's DataLoader. Accelerate deals them
out one after the other (BatchSamplerShard), so that a step's batches are the same ones for any
number of processes that divides them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import isclose

from clusterrun.errors import TrainingError


@dataclass(frozen=True)
class Share:
    """How a step is shared: processes, and batches accumulated by each; `asked` is the script's."""

    processes: int
    accumulation: int
    asked: int

    @property
    def batches(self) -> int:
        """The batches of one optimizer step, over all processes."""
        return self.processes * self.accumulation


def accumulation_for(saved: Share, processes: int, asked: int, name: str) -> int:
    """Return each process's accumulation, so that a step of checkpoint `name` keeps its batches.

    `asked` is what the script asks now: where that has changed since, somebody wants it so. Raises
    TrainingError, with the numbers that would do, where a step cannot be shared out.
    """
    if processes == saved.processes:
        return saved.accumulation if asked == saved.asked else asked
    said = (
        f"checkpoint {name} was saved by {counted(saved.processes)}, but this attempt has "
        f"{processes}"
    )
    a_step = (
        f"a step of it takes {saved.batches} batches ({saved.processes} x {saved.accumulation} "
        "accumulated)"
    )
    if asked != saved.asked:
        if asked * processes == saved.batches:
            return asked
        wanted = f"; this attempt asks for {asked * processes} ({processes} x {asked})"
        raise TrainingError(
            said + ": " + a_step + wanted, f"leave gradient_accumulation_steps at {saved.asked}"
        )
    if saved.batches % processes:
        would = ", ".join(map(str, divisors(saved.batches)))
        raise TrainingError(
            f"{said}: {a_step}, which {counted(processes)} cannot share equally",
            f"run with a number of processes out of {would}, or train into another folder",
        )
    return saved.batches // processes


def batch_for(batch: int, saved: int, now: int) -> int:
    """Convert a process's batches of an epoch from steps of `saved` batches to steps of `now`.

    A checkpoint lies between two steps. So what is no multiple is an epoch's end, whose last step
    was a shorter one.
    """
    if batch == sys.maxsize or saved == now:
        return batch
    return sys.maxsize if batch % saved else batch // saved * now


def candidate_speeds(saved: int, saved_processes: int, processes: int) -> list[int]:
    """List how many schedule steps a scheduler may make per optimizer step now, likeliest first.

    It made `saved` of them. Scripts that multiply their total by the number of processes need
    `processes`, those that do not need `saved`, and those that count the batches of one process
    need the third.
    """
    third = saved * saved_processes
    return list(
        dict.fromkeys([processes, saved, *([] if third % processes else [third // processes])])
    )


def curves_are_equal(one: Sequence[float | None], other: Sequence[float | None]) -> bool:
    """Return whether two learning rate curves, as values at the same optimizer steps, are equal."""
    pairs = zip(one, other, strict=False)
    return len(one) == len(other) and all(
        a == b or (a is not None and b is not None and isclose(a, b, rel_tol=1e-6, abs_tol=1e-9))
        for a, b in pairs
    )


def divisors(number: int) -> list[int]:
    """List what divides a number."""
    return [one for one in range(1, number + 1) if number % one == 0]


def counted(number: int) -> str:
    """Say a number of processes."""
    return f"{number} process{'' if number == 1 else 'es'}"
