"""The arithmetic that keeps an optimizer step's batches for another number of processes.

A step has `processes x accumulation` batches of the script's DataLoader. Accelerate distributes
them one by one (BatchSamplerShard), so a step has the same batches for any number of processes that
divides them. Nothing here imports torch.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import isclose

from clusterrun.errors import TrainingError


@dataclass(frozen=True)
class Share:
    """How a step is divided: processes, and batches that each accumulates."""

    processes: int
    accumulation: int
    script_accumulation: int
    """The accumulation that the script requested."""

    @property
    def batches(self) -> int:
        """The batches of one optimizer step, over all processes."""
        return self.processes * self.accumulation


def accumulation_for(saved: Share, processes: int, requested: int, name: str) -> int:
    """Return each process's accumulation, so that a step of checkpoint `name` keeps its batches.

    `requested` is the script's accumulation now; a change since the checkpoint is intended. Raises
    TrainingError, with the possible numbers of processes, if a step cannot be divided.
    """
    before = saved.script_accumulation
    if processes == saved.processes:
        return saved.accumulation if requested == before else requested
    what = (
        f"checkpoint {name} was saved by {count_processes(saved.processes)}, but this attempt has "
        f"{processes}: a step has {saved.batches} batches ({saved.processes} x "
        f"{saved.accumulation} accumulated)"
    )
    if requested != before:
        if requested * processes == saved.batches:
            return requested
        raise TrainingError(
            f"{what}, but this attempt requests {requested * processes} "
            f"({processes} x {requested})",
            f"set gradient_accumulation_steps back to {before}",
        )
    if saved.batches % processes:
        possible = ", ".join(map(str, divisors(saved.batches)))
        raise TrainingError(
            f"{what}, which cannot be divided equally among {count_processes(processes)}",
            f"run with one of these numbers of processes: {possible}; or use another folder",
        )
    return saved.batches // processes


def batch_for(batch: int, saved: int, now: int) -> int:
    """Convert a process's batches of an epoch from steps of `saved` batches to steps of `now`.

    A checkpoint is saved between two steps. So a number that is not a multiple is the end of an
    epoch, whose last step was shorter.
    """
    if batch == sys.maxsize or saved == now:
        return batch
    return sys.maxsize if batch % saved else batch // saved * now


def candidate_speeds(saved: int, saved_processes: int, processes: int) -> list[int]:
    """List how many schedule steps a scheduler may make per optimizer step now, likeliest first.

    It made `saved` of them before. Scripts that multiply their total by the number of processes
    need `processes`, scripts that do not need `saved`, and scripts that count the batches of one
    process need the third number.
    """
    total = saved * saved_processes
    return list(
        dict.fromkeys([processes, saved, *([] if total % processes else [total // processes])])
    )


def curves_are_equal(one: Sequence[float | None], other: Sequence[float | None]) -> bool:
    """Return whether two learning rate curves, as values at the same optimizer steps, are equal."""
    pairs = zip(one, other, strict=False)
    return len(one) == len(other) and all(
        a == b or (a is not None and b is not None and isclose(a, b, rel_tol=1e-6, abs_tol=1e-9))
        for a, b in pairs
    )


def divisors(number: int) -> list[int]:
    """List the divisors of a number."""
    return [one for one in range(1, number + 1) if number % one == 0]


def count_processes(number: int) -> str:
    """Format a number of processes."""
    return f"{number} process{'' if number == 1 else 'es'}"
