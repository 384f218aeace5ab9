"""The page of results of cluster_chaos.py."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from cluster_runs import made_by, write_page

TOTALS = {
    "minutes": "minutes",
    "runs": "runs",
    "attempts": "attempts",
    "steps": "steps taken",
    "announced": "attempts that ended after a signal or a request",
    "lost_announced": "**steps lost by these**",
    "lost_otherwise": "steps lost after a process was killed, at most 10 each",
}


def write_results(options: argparse.Namespace) -> int:
    """Write the page from the cells' records; 1 if there was a problem."""
    files = [Path(options.keep, f"{cell}.json") for cell in options.cells]
    cells = [json.loads(path.read_text()) for path in files]
    problems = [f"{cell['cell']}: {problem}" for cell in cells for problem in cell["problems"]]
    write_page("cluster-chaos.md", [
        "# Everything at once, on two clusters", "",
        *made_by(" and ".join(options.cells), "each on its own nodes"),
        "Method and limitations: [README](../README.md).", "",
        *_table(cells, {name: [cell[key] for cell in cells] for key, name in TOTALS.items()}),
        *_counts("Events", "event", cells, "events"),
        *_counts(
            "Events without effect",
            "refused, or the run was not running",
            cells,
            "without_effect",
        ),
        *_counts("How attempts ended", "cause", cells, "causes"),
        *_counts("How runs ended", "state", cells, "states"),
        "", "## Problems", "",
        *(f"- {problem}" for problem in problems or ["none"]),
    ])  # fmt: skip
    return 1 if problems else 0


def _counts(title: str, head: str, cells: list[dict[str, Any]], key: str) -> list[str]:
    names = sorted({name for cell in cells for name in cell[key]})
    rows = {name: [cell[key].get(name, 0) for cell in cells] for name in names}
    return ["", f"## {title}", "", *_table(cells, rows, head)]


def _table(cells: list[dict[str, Any]], rows: dict[str, list[Any]], head: str = "") -> list[str]:
    lines = [f"| {head} | {' | '.join(cell['cell'] for cell in cells)} |", "|---|--:|--:|"]
    return lines + [f"| {name} | {' | '.join(map(str, values))} |" for name, values in rows.items()]
