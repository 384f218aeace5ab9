"""`clusterrun status [RUN]`: of the last run, where none is named."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from clusterrun.attempts import Attempt, list_attempts
from clusterrun.cli.list import table
from clusterrun.cli.table import in_columns
from clusterrun.paths import RunPaths
from clusterrun.track import status
from clusterrun.written import RunStatus

_HEADINGS = ("ATTEMPT", "ENDED BY", "STEPS", "LOST", "LASTED", "JOB", "NODES")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run", metavar="RUN", nargs="?", default="last")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(options: argparse.Namespace) -> int:
    """Print what a run does now, and what became of its attempts; of an array, a line a task."""
    found = status(options.run)
    attempts = list_attempts(RunPaths(Path(found.folder)))
    if options.json:
        print(json.dumps({**found.as_dict(), "attempts": [asdict(attempt) for attempt in attempts]}))
        return 0
    print(in_words(found))
    if found.tasks:
        print("\n" + table(list(found.tasks)))
    if attempts:
        print("\n" + in_columns([_HEADINGS, *(_row(attempt, found) for attempt in attempts)]))
    return 0


def in_words(found: RunStatus) -> str:
    """Write a status for people, a line a fact; facts that are not there yet are left out."""
    step = "" if found.step is None else f"{found.step}" + (f" of {found.total}" if found.total else "")
    earlier = ", ".join(job for job in found.job_ids if job != found.job_id)
    facts = {
        "run": found.run_id,
        "state": found.state.value + (f" ({found.reason})" if found.reason and found.reason != "None" else ""),
        "job": found.job_id + (f" (before: {earlier})" if earlier else ""),
        "attempt": found.attempt or "",
        "step": step,
        "loss": "" if found.loss is None else f"{found.loss:.4f}",
        "nodes": found.nodes,
        "avoids": ", ".join(found.avoids),
        "exit code": "" if found.exit_code is None else str(found.exit_code),
        "folder": found.folder,
    }
    return "\n".join(f"{name:<10}{value}" for name, value in facts.items() if value != "")


def _row(attempt: Attempt, found: RunStatus) -> tuple[str, ...]:
    last = attempt.number == found.attempt
    ended = attempt.words or (found.reason if last and found.state.final else "runs" if last else "")
    start, end = ("?" if step is None else str(step) for step in (attempt.step_from, attempt.step_to))
    steps = "" if start == end == "?" else f"{start} to {end}"
    lost = "" if attempt.steps_lost is None else str(attempt.steps_lost)
    return str(attempt.number), ended, steps, lost, _lasted(attempt.seconds), attempt.job_id, attempt.nodes


def _lasted(seconds: int | None) -> str:
    if seconds is None:
        return ""
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours}:{minutes:02d}:{seconds % 60:02d}"
