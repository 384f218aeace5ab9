"""Runs that only count their steps."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tests.slurm.desk import CHECKOUT, Desk, Submitted, until
from tests.slurm.survival import (
    story,
)

COUNTER = CHECKOUT / "tests" / "training_scripts" / "counter.py"
ENDLESS = 1_000_000


def count(desk: Desk, name: str, last: int = ENDLESS, **values: Any) -> Submitted:
    """Submit a training that only counts; the environment names the checkout, for its imports."""
    command = f"PYTHONPATH={CHECKOUT} {sys.executable} {COUNTER} {last}"
    return desk.submit(name, command=command, **values)


def runs(folder: Path, attempt: int = 1) -> None:
    """Wait until the counter has taken a step of an attempt in a run folder."""
    output = folder / "counted"

    def counted() -> bool:
        return output.exists() and f"\n{attempt:04d} " in f"\n{output.read_text()}"

    try:
        until(counted, 240, f"attempt {attempt} takes a step in {folder}")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{story(Submitted('', '', folder))}") from None


def resumed(desk: Desk, run: Submitted, *words: str) -> Submitted:
    return desk.submitted(desk.cli("resume", run.run_id, "--json", *words))


def queue(desk: Desk) -> set[str]:
    """Return alice's pending and running jobs with their states."""
    states = "--states=PENDING,RUNNING"
    return set(
        desk.cluster.run_as(
            "alice", ["squeue", "--me", "-h", states, "--format=%i %T"]
        ).stdout.splitlines()
    )
