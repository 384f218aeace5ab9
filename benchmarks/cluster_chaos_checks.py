"""What must hold for a run, read from the records of its processes and from Slurm."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

SIGNALLED = frozenset({"preemption", "requeue", "stop", "time-limit"})
"""Causes that are announced with a signal: the training saves before it exits."""
SAVE_EVERY = 10  # steps, in cluster_chaos_rank.py


@dataclass(frozen=True)
class Line:
    """One step as the process of one node recorded it; `time` in seconds since the epoch."""

    step: int
    job: str
    time: float


@dataclass(frozen=True)
class Attempt:
    """The steps of one attempt, by node."""

    number: int
    nodes: dict[str, list[Line]]
    cause: str
    """How it ended; empty without a record."""

    @property
    def steps(self) -> list[Line]:
        """The steps as the first node recorded them."""
        return self.nodes.get("0", [])

    @property
    def began(self) -> float:
        """When its first step ended."""
        return min(lines[0].time for lines in self.nodes.values())

    @property
    def ended(self) -> float:
        """When its last step ended."""
        return max(lines[-1].time for lines in self.nodes.values())


def read_attempts(folder: Path) -> list[Attempt]:
    """The attempts of a run that took a step, in their order."""
    found: dict[int, dict[str, list[Line]]] = {}
    for path in sorted((folder / "output" / "steps").glob("*-*")):
        number, _, node = path.name.partition("-")
        lines = [_line(text) for text in path.read_text().splitlines()]
        if lines:
            found.setdefault(int(number), {})[node] = lines
    return [Attempt(number, found[number], cause_of(folder, number)) for number in sorted(found)]


def _line(text: str) -> Line:
    step, job, time = text.split()
    return Line(int(step), job, float(time))


def cause_of(folder: Path, number: int) -> str:
    path = folder / "events" / f"attempt-{number:04d}.end"
    found = re.search(r"^cause=(.*)$", path.read_text(), re.MULTILINE) if path.exists() else None
    return found[1] if found else ""


def find_overlaps(attempts: list[Attempt], cut_off: Iterable[int]) -> list[str]:
    """Attempts whose processes trained at the same time.

    `cut_off` are attempts whose slurmstepd was killed: Slurm can no longer end their processes,
    which exit when they see that they were replaced.
    """
    return [
        f"attempts {one.number} and {two.number} trained at once for {one.ended - two.began:.1f} s"
        for one, two in itertools.combinations(attempts, 2)
        if one.ended > two.began and one.number not in set(cut_off)
    ]


def lost_steps(attempts: list[Attempt]) -> list[tuple[Attempt, int]]:
    """Each attempt but the last, with the steps that the next repeated; below 0: skipped."""
    pairs = itertools.pairwise(one for one in attempts if one.steps)
    return [(one, one.steps[-1].step + 1 - two.steps[0].step) for one, two in pairs]


def find_lost(attempts: list[Attempt], killed: Iterable[int]) -> list[str]:
    """Steps that were skipped, or repeated after an announced end without a kill."""
    problems = []
    for attempt, lost in lost_steps(attempts):
        announced = attempt.cause in SIGNALLED and attempt.number not in set(killed)
        limit = 0 if announced else SAVE_EVERY
        if not 0 <= lost <= limit:
            problems.append(f"attempt {attempt.number} ({attempt.cause}): {lost} steps lost")
    return problems


def find_gaps(attempts: list[Attempt]) -> list[str]:
    """Attempts that did not take every step from their first to their last, once and in order."""
    problems = []
    for attempt in attempts:
        steps = [line.step for line in attempt.steps]
        if steps and steps != list(range(steps[0], steps[-1] + 1)):
            problems.append(f"attempt {attempt.number} skipped or repeated a step")
    return problems


def find_wrong_end(attempts: list[Attempt], state: str, wanted: set[str], last: int) -> list[str]:
    """A run in none of the states that its events allow, or COMPLETED before its last step."""
    furthest = max((line.step for one in attempts for line in one.steps), default=0)
    if state not in wanted:
        return [f"ended as {state} at step {furthest}; expected {' or '.join(sorted(wanted))}"]
    if state == "COMPLETED" and furthest != last:
        return [f"COMPLETED at step {furthest} of {last}"]
    return []
