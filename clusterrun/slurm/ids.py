"""Ids of jobs, and the tasks that `--array` names, as Slurm writes them."""

from __future__ import annotations

import re

_TASK = re.compile(r"[0-9]{1,7}")  # MaxArraySize is 4,000,001 at most (slurm.conf(5))
_JOB_ID = re.compile(r"[1-9][0-9]{0,9}(_[0-9]{1,9})?")


def job_id(text: str | None) -> str:
    """Return a job id, `123` or `123_4`; empty for anything else.

    Anything else could be an option of Slurm's commands: `--me` selects all jobs of a user.
    """
    return text if text and _JOB_ID.fullmatch(text) else ""


def is_task_number(text: str) -> bool:
    """Return whether a text is the number of a task of an array."""
    return bool(_TASK.fullmatch(text))


def task_numbers(array: str) -> list[int]:
    """List an array's task numbers, such as `0-3`, `1,5,7` or `0-15:4%2` (sbatch(1), --array)."""
    numbers: set[int] = set()
    for part in array.partition("%")[0].split(","):
        span, _, step = part.partition(":")
        first, _, last = (_TASK.fullmatch(word) and int(word) for word in span.partition("-"))
        if first is not None:
            end = first if last is None else last
            numbers.update(range(first, end + 1, max(int(step), 1) if _TASK.fullmatch(step) else 1))
    return sorted(numbers)
