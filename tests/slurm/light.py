"""A run of `scripts/light.py`: two nodes, one process each, no torch, so that a scenario takes
seconds.
"""

from __future__ import annotations

import shutil
import sys
from typing import Any

from clusterrun.run_folder.records import read_record
from tests.slurm.desk import SCRIPTS, Desk, Submitted, until
from tests.slurm.survival import story

STEPS = 1_000_000  # no light run reaches this without `finish`


def light(desk: Desk, name: str, *, last: int = STEPS, **values: Any) -> Submitted:
    """Submit a light run, and wait until it has done some steps."""
    command = f"{sys.executable} {SCRIPTS / 'light.py'} {last}"
    slurm = {"nodes": 2, "gpus-per-node": 1, **values.pop("slurm", {})}
    return desk.submit(name, command=command, slurm=slurm, **values)


def task_of(run: Submitted, number: int) -> Submitted:
    """Return a task of an array as a run."""
    folder = run.folder / f"task-{number}"
    return Submitted(f"{run.run_id}-{number}", f"{run.job_id}_{number}", folder)


def counted(run: Submitted) -> list[tuple[int, int]]:
    """Return the attempt and the number of each step that the run took, in order."""
    file = run.folder / "output" / "counted"
    lines = file.read_text().split("\n")[:-1] if file.exists() else []
    return [(int(attempt), int(step)) for attempt, step in map(str.split, lines)]


def trains(run: Submitted, attempt: int = 1, seconds: float = 90) -> None:
    """Wait until an attempt has done some steps."""
    try:
        until(
            lambda: sum(one == attempt for one, _ in counted(run)) > 8,
            seconds,
            f"attempt {attempt} trains",
        )
    except AssertionError as error:
        raise AssertionError(f"{error}\n{story(run)}") from None


def put(desk: Desk, run: Submitted, name: str, text: str = "") -> None:
    """Write a file into the run folder, owned by the user."""
    path = run.folder / name
    path.write_text(text)
    owner = run.folder.stat()
    shutil.chown(path, owner.st_uid, owner.st_gid)


def finishes(desk: Desk, run: Submitted, attempt: int, seconds: float = 120) -> None:
    """Wait until an attempt trains, request a stop, and wait for it: the run has continued and is
    active.
    """
    trains(run, attempt, seconds)
    desk.cli("stop", run.run_id)
    assert desk.wait(run, 60) == "STOPPED", story(run)


def repeated(run: Submitted) -> int:
    """Return how many steps the run took more than once."""
    steps = [step for _, step in counted(run)]
    return len(steps) - len(set(steps))


def jobs(desk: Desk, run: Submitted) -> set[str]:
    """Return the pending and running jobs of a run."""
    return {line.split()[0] for line in desk.jobs() if str(run.folder) in line}


def ends(run: Submitted) -> list[str]:
    """Return the cause and the decision of each recorded end."""
    files = sorted((run.folder / "events").glob("attempt-*.end"))
    records = [read_record(path) for path in files]
    return [f"{record['cause']} {record['next']}" for record in records]
