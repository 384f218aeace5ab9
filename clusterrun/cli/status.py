"""`clusterrun status [RUN]`: of the last run, where none is named."""

from __future__ import annotations

import argparse
import json

from clusterrun.track import RunStatus, status


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run", metavar="RUN", nargs="?", default="last")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(options: argparse.Namespace) -> int:
    """Print what a run does now."""
    found = status(options.run)
    print(json.dumps(found.as_dict()) if options.json else in_words(found))
    return 0


def in_words(found: RunStatus) -> str:
    """Write a status for people, a line a fact; facts that are not there yet are left out."""
    step = "" if found.step is None else f"{found.step}" + (f" of {found.total}" if found.total else "")
    facts = {
        "run": found.run_id,
        "state": found.state.value + (f" ({found.reason})" if found.reason and found.reason != "None" else ""),
        "job": found.job_id,
        "attempt": found.attempt or "",
        "step": step,
        "loss": "" if found.loss is None else f"{found.loss:.4f}",
        "nodes": found.nodes,
        "exit code": "" if found.exit_code is None else str(found.exit_code),
        "folder": found.folder,
    }
    return "\n".join(f"{name:<10}{value}" for name, value in facts.items() if value != "")
