"""Write docs/reference/states-and-exit-codes.md from the tables of states, causes and exit codes.

A test compares the page with this script's output.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
from collections.abc import Iterator
from pathlib import Path

from clusterrun.cli import _EPILOG
from clusterrun.run_folder.causes import MEANINGS
from clusterrun.slurm.states import State

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "states-and-exit-codes.md"
INTRODUCTION = """\
# States and exit codes

<!-- Written by tools/docs/states.py from the program's own tables. Change those, and run it. -->
"""
# What Slurm's own words mean here; the others are described where they are defined.
SLURMS = {
    "PENDING": "It waits in the queue, the first time or after a requeue.",
    "RUNNING": "An attempt runs.",
    "COMPLETED": "All steps are done.",
    "FAILED": "It ended for good and did not finish; `clusterrun why` has the reason.",
    "CANCELLED": "A person cancelled it.",
    "TIMEOUT": "It ended at its time limit, and does not restart.",
    "PREEMPTED": "It was preempted, and does not restart.",
    "NODE_FAIL": "A node failed, and it does not restart.",
    "OUT_OF_MEMORY": "The kernel killed it for memory, and it does not restart.",
}
SCRIPT_CODES = """\
## Exit codes of a training script

| exit code | what the job script takes it for |
|---|---|
| 0 | finished, or stopped if that was requested; the training library's record comes first |
| 93 | do not restart me |
| 137 | killed, mostly for memory; a crash |
| any other | a crash |

## Exit codes of a job

| exit code | |
|---|---|
| 0 | the run finished |
| 75 | the run was stopped or cancelled, or another job trains it |
| 1, or that of its launch | the run ended otherwise, or continues in a successor |

Only 0 satisfies `--dependency=afterok`: after `clusterrun stop` or `clusterrun cancel`, a job that
depends on the run's success does not start. A job that is requeued has not ended for Slurm; before
a successor, jobs that wait get the new id.

If the site requeues or holds jobs that exit with one of these codes (`RequeueExit` and
`RequeueExitHold` in slurm.conf), the job exits with the next code that is not listed: 76, 77, and
so on.
"""


def state_docstrings() -> dict[str, str]:
    """Return what the states' own docstrings say."""
    (kind,) = ast.parse(inspect.getsource(State)).body
    found = {}
    for line, after in itertools.pairwise(getattr(kind, "body", [])):
        if (
            isinstance(line, ast.Assign)
            and isinstance(line.targets[0], ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            found[line.targets[0].id] = " ".join(str(after.value.value).split())
    return found


def states() -> Iterator[str]:
    """Write a row for each state."""
    docstrings = state_docstrings()
    yield from ("## States", "", "What `status`, `list` and `--json` show.", "")
    yield from ("| state | final | |", "|---|---|---|")
    for state in State:
        final = "yes" if state.final else "no"
        yield f"| `{state.value}` | {final} | {docstrings.get(state.name) or SLURMS[state.value]} |"
    yield ""


def causes() -> Iterator[str]:
    """Write a row for each cause of an attempt's end."""
    yield from (
        "## Causes",
        "",
        "How an attempt ended: `cause` in `events/attempt-N.end`, and in `status`.",
    )
    yield from (
        "What follows each: [how a run survives](../concepts/survival.md#what-follows).",
        "",
    )
    yield from ("| cause | in `status` | what it means | what to do |", "|---|---|---|---|")
    for cause, meaning in MEANINGS.items():
        words, means, fix, _ = dataclasses.astuple(meaning)
        yield f"| `{cause.value}` | {words} | {means} | {fix} |"
    yield ""


def exit_codes() -> Iterator[str]:
    """Write the exit codes of the commands, as `clusterrun --help` lists them."""
    (line,) = [line for line in _EPILOG.splitlines() if line.startswith("exit codes: ")]
    yield from ("## Exit codes of the commands", "", "| exit code | |", "|---|---|")
    for entry in line.removeprefix("exit codes: ").rstrip(".").split("; "):
        code, _, words = entry.partition(" ")
        yield f"| {code} | {words} |"
    yield from ("| 130 | interrupted by Ctrl-C |", "| 141 | the reader of stdout went away |", "")


def page() -> str:
    """Return the whole page."""
    lines = [INTRODUCTION, *states(), *causes(), *exit_codes(), SCRIPT_CODES]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
