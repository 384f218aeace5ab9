"""Write docs/diagnoses.md, what `clusterrun why` recognises, from its tables.

A test compares the page with this script's output.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from clusterrun.diagnosis.failures import FAILURES
from clusterrun.diagnosis.reasons import REASONS

PAGE = Path(__file__).parents[2] / "docs" / "diagnoses.md"
INTRODUCTION = """\
# What `why` recognises

<!-- Written by tools/docs/diagnoses.py from the tables of the diagnosis. Change those. -->

`clusterrun why RUN` finds the cause in the log of a run that failed, or in Slurm's reason for one
that waits, and prints the advice of these tables. Search this page for a word of your error.
"""


def cell(text: str) -> str:
    """Return a text for a cell of a table."""
    return text.replace("|", "\\|")


def failures() -> Iterator[str]:
    """Write a row for each kind of failure."""
    yield from (
        "## Failures in a log",
        "",
        "| failure | what it means | what to do | the log has |",
    )
    yield "|---|---|---|---|"
    for one in FAILURES:
        name, means, fix, *patterns, _ = dataclasses.astuple(one)
        found = "; ".join(pattern for pattern in patterns if pattern)
        code = f"`{cell(found)}`" if found else ""
        yield f"| `{name}` | {cell(means)} | {cell(fix)} | {code} |"
    yield ""


def reasons() -> Iterator[str]:
    """Write a row for each of Slurm's reasons."""
    yield from ("## Slurm's reasons for a job that waits", "")
    yield from ("| reason | what it means | what to do | passes by itself |", "|---|---|---|---|")
    for name, one in REASONS.items():
        means, fix, passes = dataclasses.astuple(one)
        yield f"| `{name}` | {cell(means)} | {cell(fix)} | {'yes' if passes else 'no'} |"
    yield ""


def page() -> str:
    """Return the whole page."""
    return "\n".join([INTRODUCTION, *failures(), *reasons()]).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
