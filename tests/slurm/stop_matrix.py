"""Run the stops on each generation of Slurm, and write docs/reference/slurm-stops.md:
`python -m tests.slurm.stop_matrix [CELL...]`, a cell being 24.11-cgroup, for example.

Each cell is one pytest with a cluster of its own, for about five minutes. Results of cells and
scenarios that are not run now are kept. `make extended` runs all cells.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from tests.slurm.cluster.suites import SUITE_OF, Unavailable, suite_with

CHECKOUT = Path(__file__).resolve().parents[2]
FILES = ("test_stops.py", "test_stops_on_two_nodes.py")
RESULTS = CHECKOUT / "benchmarks" / "results" / "slurm-stops.json"
PAGE = CHECKOUT / "docs" / "reference" / "slurm-stops.md"
CELLS = [f"{generation}-{tracking}" for generation in SUITE_OF for tracking in ("linuxproc", "cgroup")]  # fmt: skip
HEAD = """# Stops on each generation of Slurm

Each row is a test of a run on two nodes of a real Slurm, as Debian's suites have it, under `proctrack/linuxproc` and
`proctrack/cgroup` (version 1). The runs do not use torch, so that what is tested is clusterrun and Slurm. `make extended`
runs all of them and writes this page; `make stops CELLS="24.11-cgroup"` runs one column. The grace of a preemption
is 15 s, `KillWait` 5 s, and a requeued job waits 5 s. The tests are in `tests/slurm/test_stops.py` and `test_stops_on_two_nodes.py`.
"""

Results = dict[str, dict[str, Any]]


def scenarios() -> dict[str, str]:
    """Return the tests' names and the first sentences of their names, in the order of the files."""
    return {
        node.name: node.name.removeprefix("test_").replace("_", " ")
        for file in FILES
        for node in ast.parse((Path(__file__).parent / file).read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def run_cell(cell: str, more: Sequence[str]) -> dict[str, Any]:
    """Run all stops of a cell; return the version of Slurm and each test's outcome."""
    generation, tracking = cell.split("-")
    try:
        version = suite_with(generation).version
    except Unavailable as error:
        return {"reason": str(error)}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        files = [str(Path(__file__).parent / file) for file in FILES]
        argv = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *files, *more]
        environment = {**os.environ, "SLURM_GENERATION": generation, "SLURM_TRACKING": tracking}
        subprocess.run(argv, env=environment, cwd=CHECKOUT, check=False)
        outcomes = dict(read_outcomes(report)) if report.exists() else {}
    return {"version": version, "day": time.strftime("%Y-%m-%d", time.gmtime()), "outcomes": outcomes}  # fmt: skip


def read_outcomes(report: Path) -> Iterator[tuple[str, str]]:
    """Yield the name of each test and its outcome, from pytest's report."""
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it
        seconds = float(case.get("time", 0))
        bad = [child for child in case if child.tag in ("failure", "error")]
        skipped = case.find("skipped")
        if bad:
            yield case.get("name", ""), "failed"
        elif skipped is None:
            yield case.get("name", ""), f"passed in {seconds:.0f} s"


def keep(found: Mapping[str, dict[str, Any]]) -> None:
    """Write the outcomes into RESULTS, next to those of other cells and tests, and rewrite PAGE."""
    kept: Results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for cell, had in found.items():
        before = kept.get(cell, {}) if "outcomes" in had else {}
        kept[cell] = {**had}
        if "outcomes" in had:
            kept[cell]["outcomes"] = {**before.get("outcomes", {}), **had["outcomes"]}
    RESULTS.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    PAGE.write_text(page(kept))


def page(results: Results) -> str:
    """Return the whole page as Markdown."""
    heads = [f"{results.get(cell, {}).get('version', cell.split('-')[0])}, {cell.split('-')[1]}" for cell in CELLS]  # fmt: skip
    lines = [row("", heads), "|---" * (len(CELLS) + 1) + "|"]
    known = {name for had in results.values() for name in had.get("outcomes", {})}
    for name, text in scenarios().items():
        variants = sorted(one for one in known if one.partition("[")[0] == name) or [name]
        for one in variants:
            variant = one.partition("[")[2].rstrip("]")
            shown = f"{text} ({variant})" if variant else text
            lines.append(row(shown, [outcome(results.get(cell), one) for cell in CELLS]))
    return "\n".join([HEAD, *lines]) + "\n"


def row(name: str, cells: list[str]) -> str:
    return "| " + " | ".join([name, *cells]) + " |"


def outcome(result: Mapping[str, Any] | None, name: str) -> str:
    if result is None:
        return "not run"
    if "reason" in result:
        return f"not available: {result['reason']}"
    found = str(result["outcomes"].get(name, "not run"))
    return "**failed**" if found == "failed" else found


def main(words: Sequence[str]) -> int:
    """Run the cells that are named, or all, and print the page's failures."""
    cells = [word for word in words if word in CELLS] or CELLS
    more = [word for word in words if word not in CELLS]
    failed = []
    for cell in cells:
        found = run_cell(cell, more)
        keep({cell: found})
        failed += [f"{cell}: {name}" for name, one in found.get("outcomes", {}).items() if one == "failed"]  # fmt: skip
    print("\n".join(failed) or "every stop passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
