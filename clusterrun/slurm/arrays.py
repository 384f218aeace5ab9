"""Job arrays: which tasks `--array` means, and what each is called."""

from __future__ import annotations


def task_numbers(array: str) -> list[int]:
    """List the task numbers of an array's text, such as `0-3`, `1,5,7` or `0-15:4%2` (sbatch(1), --array)."""
    found: set[int] = set()
    for part in array.partition("%")[0].split(","):
        span, _, step = part.partition(":")
        first, _, last = span.partition("-")
        if first.isdecimal():
            end = int(last) if last.isdecimal() else int(first)
            found.update(range(int(first), end + 1, max(int(step), 1) if step.isdecimal() else 1))
    return sorted(found)
