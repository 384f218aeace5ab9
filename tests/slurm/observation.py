"""What Slurm reports of a job once it is at rest."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from tests.slurm.desk import Desk, until

FINAL = (
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "TIMEOUT",
    "NODE_FAIL",
    "PREEMPTED",
    "REQUEUE_HOLD",
    "SPECIAL_EXIT",
)


@dataclass(frozen=True)
class Observed:
    """What Slurm reports of a job: the state of each of its runs (sacct), its last reason and its
    restarts (scontrol).
    """

    states: tuple[str, ...]
    reason: str
    restarts: int
    delay: int
    """How many seconds its last run was not eligible to begin: EligibleTime less SubmitTime."""
    outcome: str
    """What became of the run, in words."""


Scenario = Callable[[Desk], Observed]


def observed(desk: Desk, job: str, outcome: str) -> Observed:
    """Query Slurm once nothing more happens to the job."""
    until(lambda: at_rest(desk, job), 120, f"job {job} has ended")
    shown = desk.cluster.run_as("alice", ["scontrol", "show", "job", job]).stdout
    restarts, reason = re.search(r"Restarts=(\d+)", shown), re.search(r"Reason=(\S+)", shown)
    times = [re.search(rf"{name}Time=(\S+)", shown) for name in ("Submit", "Eligible")]
    assert restarts, shown
    assert reason, shown
    submitted, eligible = (
        datetime.fromisoformat(found[1]) if found and found[1] != "Unknown" else None
        for found in times
    )
    delay = (eligible - submitted).total_seconds() if eligible and submitted else 0
    return Observed(accounted(desk, job), reason[1], int(restarts[1]), int(delay), outcome)


def at_rest(desk: Desk, job: str) -> bool:
    """Return whether the job has ended, has stayed ended for some seconds, and is known to
    slurmdbd.
    """
    for _ in range(6):
        if desk.cluster.state(job) not in FINAL and not held(desk, job):
            return False
        time.sleep(0.5)
    return held(desk, job) or accounted(desk, job)[-1:] not in ((), ("RUNNING",), ("PENDING",))


def held(desk: Desk, job: str) -> bool:
    shown = desk.cluster.run_as("alice", ["scontrol", "show", "job", job]).stdout
    return "Priority=0 " in shown


def accounted(desk: Desk, job: str) -> tuple[str, ...]:
    """Return the state of each run of the job, in order."""
    argv = ["sacct", "-DXnP", "-j", job, "-o", "State"]
    return tuple(desk.cluster.run_as("alice", argv, check=False).stdout.splitlines())
