"""Local runs that only count their steps."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from clusterrun.run_folder.index import RunRef
from clusterrun.run_status.control import stop, wait
from clusterrun.submission.resuming import resume
from tests.support.laptop import CHECKOUT, Laptop, until

COUNTER = CHECKOUT / "tests" / "training_scripts" / "counter.py"
ENDLESS = 1_000_000


def count(laptop: Laptop, name: str, last: int = ENDLESS, **values: Any) -> RunRef:
    """Submit the counter; the environment has the checkout, for imports."""
    command = f"PYTHONPATH={CHECKOUT} {sys.executable} {COUNTER} {last}"
    return laptop.submit(name, command=command, **values)


def counted(run: RunRef) -> list[tuple[int, int]]:
    """The steps that were taken, each with its attempt."""
    output = run.paths.folder / "counted"
    lines = output.read_text().splitlines() if output.exists() else []
    return [(int(attempt), int(step)) for attempt, step in map(str.split, lines)]


def reaches(run: RunRef, attempt: int, steps: int = 3) -> None:
    """Wait until an attempt has taken some steps."""
    until(
        lambda: sum(number == attempt for number, _ in counted(run)) >= steps,
        60,
        f"attempt {attempt} is under way",
    )


def finish(run: RunRef) -> None:
    (run.paths.folder / "fast").touch()


def stopped(laptop: Laptop, name: str, **values: Any) -> RunRef:
    run = count(laptop, name, **values)
    reaches(run, 1)
    stop(run.run_id, laptop.index)
    assert wait(run.run_id, 60, laptop.index).state == "STOPPED"
    return run


def again(laptop: Laptop, run: RunRef, *overrides: str) -> RunRef:
    return resume(run.run_id, overrides, environment=laptop.environment, index=laptop.index)


def typed(laptop: Laptop, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**laptop.environment, "PYTHONPATH": str(CHECKOUT)}
    return subprocess.run([sys.executable, "-m", "clusterrun", *words], env=environment, text=True,
                          capture_output=True, check=False)  # fmt: skip
