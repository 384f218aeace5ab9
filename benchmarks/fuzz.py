"""Corrupt run folders and job specs, and count the faults in clusterrun's answers.

    python benchmarks/fuzz.py [--specs 90000] [--seed 1]

Every file of a stored run is replaced by each corruption of tests/support/corrupt_runs.py, and
every command is run each time; mutated specs are validated. Writes benchmarks/results/fuzz.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from tests.support import corrupt_runs, corrupt_specs  # noqa: E402 - the checkout is not a package

FAULT = (
    "A fault is an internal error, a traceback, a command that does not end within "
    f"{corrupt_runs.MAX_SECONDS} s, a control character on the terminal, or a healthy run that "
    "`list` does not show."
)
PAGE = ROOT / "benchmarks" / "results" / "fuzz.md"


def main() -> int:
    """Run all cases and write the page; return 1 if a fault was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--specs", type=int, default=90_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        runs, faults_of_runs = fuzz_runs(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        found = corrupt_specs.find_faults(Path(folder), options.seed, options.specs)
        faults_of_specs = [f"{fault}\n{text}" for text, fault in found]
    seconds = time.monotonic() - began
    words = f"--specs {options.specs} --seed {options.seed}"
    lines = [
        "# Corrupt run folders and specs\n",
        f"Made by `python benchmarks/fuzz.py {words}` in {seconds:.0f} s.\n",
        "| what | cases | faults |",
        "|---|--:|--:|",
        f"| one corrupt file of a run, one command | {runs} | {len(faults_of_runs)} |",
        f"| a mutated spec, `validate` | {options.specs} | {len(faults_of_specs)} |",
        "",
        FAULT,
    ]
    every = [*faults_of_runs, *faults_of_specs]
    kinds = Counter(fault.strip().splitlines()[0][:100] for fault in every)
    lines += ["", *(f"- {count}: {kind}" for kind, count in kinds.most_common())] if every else []
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(*every, sep="\n\n")
    return 1 if every else 0


def fuzz_runs(folder: Path) -> tuple[int, list[str]]:
    """Return the number of cases and the faults."""
    site = corrupt_runs.Site.make(folder)
    cases = list(corrupt_runs.all_cases(site))
    found = ((case, corrupt_runs.find_fault(site, case)) for case in cases)
    return len(cases), [f"{case}: {fault}" for case, fault in found if fault]


if __name__ == "__main__":
    sys.exit(main())
