"""The page of what each generation of Slurm did, made from the scenarios' observations."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tests.slurm.cluster.suites import SUITE_OF
from tests.slurm.desk import CHECKOUT
from tests.slurm.generation_scenarios import SCENARIOS
from tests.slurm.generations import Cell, Watched
from tests.slurm.observation import Observed

RESULTS = CHECKOUT / "benchmarks" / "results" / "slurm-generations.json"
PAGE = CHECKOUT / "docs" / "reference" / "slurm-generations.md"
CELLS = [
    *(
        Cell(generation, tracking)
        for generation in SUITE_OF
        for tracking in ("linuxproc", "cgroup")
    ),
    Cell("26.05", "cgroup", expedited=True),
]
HEAD = """# What each generation of Slurm does

`make generations` runs these scenarios on Slurm as Debian's suites have it, and writes this page. Each is tried under
`proctrack/linuxproc` and under `proctrack/cgroup` (version 1). The grace of a preemption is 15 s, `PreemptMode` is
REQUEUE, `KillWait` is 5 s, a requeued job waits 5 s. If the cluster allows expedited requeues, `submit` requests
them, and it does not wait. The nodes and their GPUs are simulated; Slurm and the trainings are real.

A cell starts with the state that sacct has for each start of the job, in order, then the restarts that scontrol
counts. After PREEMPTED and NODE_FAIL Slurm requeues by itself; REQUEUED was requested with `scontrol requeue`, at a time
limit and a crash by the run's own script. For a run the cell has how many attempts trained, and how many steps were
trained twice; each step's loss and the final weights were those of an uninterrupted training, bit for bit.
"""


def keep(found: Mapping[Cell, Watched | BaseException]) -> None:
    """Write the observations into RESULTS, next to those of other cells, and rewrite PAGE."""
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.write_text(
        json.dumps(kept | {str(cell): result(had) for cell, had in found.items()}, indent=1) + "\n"
    )
    PAGE.write_text(page(json.loads(RESULTS.read_text())))


def result(had: Watched | BaseException) -> dict[str, Any]:
    """Return one cell's result as JSON."""
    if isinstance(had, BaseException):
        return {"reason": str(had)}
    seen = {
        name: asdict(one) if isinstance(one, Observed) else repr(one)
        for name, one in had.outcomes.items()
    }
    return {
        "version": had.suite.version,
        "day": time.strftime("%Y-%m-%d", time.gmtime()),
        "observed": seen,
    }


def page(results: Mapping[str, Any]) -> str:
    """Return the whole page as Markdown."""
    heads = [heading(cell, results.get(str(cell), {})) for cell in CELLS]
    lines = [row("", heads), "|---" * (len(CELLS) + 1) + "|"]
    lines += [
        row(name, [words(results.get(str(cell)), name) for cell in CELLS]) for name in SCENARIOS
    ]
    return "\n".join([HEAD, *lines]) + "\n"


def heading(cell: Cell, result: Mapping[str, Any]) -> str:
    words = [
        result.get("version", cell.generation),
        cell.tracking,
        *(["expedited requeue"] if cell.expedited else []),
    ]
    return ", ".join(words)


def row(name: str, cells: list[str]) -> str:
    return "| " + " | ".join([name, *cells]) + " |"


def words(result: Mapping[str, Any] | None, name: str) -> str:
    """Return one cell of the table."""
    if result is None:
        return "not run"
    if "reason" in result:
        return f"not available: {result['reason']}"
    seen = result["observed"].get(name)
    if seen is None:
        return "not run"
    return describe(Observed(**seen)) if isinstance(seen, dict) else "**the test failed**"


def describe(seen: Observed) -> str:
    """Describe an observation in one line."""
    runs = [(state, len(list(group))) for state, group in itertools.groupby(seen.states)]
    states = ", ".join(
        f"{state} {count} times" if count > 2 else ", ".join([state] * count)
        for state, count in runs
    )
    reason = "" if seen.reason == "None" else f" ({seen.reason})"
    return f"{states}{reason}; Restarts={seen.restarts}; {seen.outcome}"
