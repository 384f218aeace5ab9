"""Which small faults the tests notice, in the code that decides whether a run continues.

Each mutant is one fault in one file: a comparison turned around, a number off by one, a statement
left out. The tests named for the file are run on it in a copy of the checkout; a mutant that no
test notices has survived. It needs neither Slurm nor root:

    python benchmarks/mutations.py --mutants 30
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mutants import Mutant, mutants_of

CHECKOUT = Path(__file__).resolve().parent.parent
RESULT = Path(__file__).resolve().parent / "results" / "mutations.md"
TIMEOUT_S = 300.0
# The code whose faults lose runs or checkpoints, and the tests that must notice them.
TARGETS = {
    "templates/functions/80-decision.sh": ("tests/functions",),
    "templates/functions/72-cause.sh": ("tests/functions",),
    "clusterrun/run_folder/records.py": (
        "tests/run_folder",
        "tests/run_status",
        "tests/functions/test_records_in_bash.py",
    ),
    "clusterrun/submission/exactly_once.py": ("tests/submission", "tests/cli/test_cli.py"),
    "clusterrun/training/checkpointing/manifest.py": (
        "tests/training/test_checkpoint_damage.py",
        "tests/training/test_checkpoint_attempts.py",
    ),
    "clusterrun/training/checkpointing/store.py": (
        "tests/training/test_checkpoint_attempts.py",
        "tests/training/test_checkpoint_damage.py",
    ),
}


@dataclass(frozen=True)
class Outcome:
    """What became of one mutant."""

    file: str
    mutant: Mutant
    noticed_by: str
    """The test that failed first; empty if none did."""


def try_mutant(file: str, mutant: Mutant) -> Outcome:
    """Run the tests of a file on one mutant, in a copy of the checkout."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        copy = Path(name) / "checkout"
        ignored = shutil.ignore_patterns(".git", ".venv", "__pycache__", "test-results", "runs")
        shutil.copytree(CHECKOUT, copy, ignore=ignored, symlinks=True)
        (copy / ".venv").symlink_to(CHECKOUT / ".venv")
        (copy / file).write_text(mutant.text)
        return Outcome(file, mutant, first_failure(copy, TARGETS[file]))


def first_failure(copy: Path, tests: tuple[str, ...]) -> str:
    """Name the test that fails first; empty if all pass."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    command += ["-m", "not extended", "--no-header", *tests]
    # the copy comes before the checkout that the environment has installed
    environment = {"PATH": f"{CHECKOUT}/.venv/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(copy)}
    environment["PYTHONPATH"] = str(copy)
    try:
        done = subprocess.run(
            command,
            cwd=copy,
            env=environment,
            text=True,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "a test that never ends"
    if done.returncode == 0:
        return ""
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed[0].split(" - ")[0] if failed else f"exit code {done.returncode}"


def chosen(most: int, seed: int) -> Iterator[tuple[str, Mutant]]:
    """Choose at most so many mutants of each file, the same ones for the same seed."""
    for file in TARGETS:
        every = mutants_of(CHECKOUT / file)
        picked = random.Random(seed).sample(every, min(most, len(every)))  # noqa: S311
        yield from ((file, one) for one in picked)


def page(outcomes: list[Outcome], seconds: float, command: str) -> str:
    """Write the table of files, and the mutants that survived."""
    lines = ["# Mutations", "", f"Made by `{command}` in {seconds:.0f} s.", ""]
    lines += ["| file | mutants | noticed | survived |", "|---|--:|--:|--:|"]
    for file in TARGETS:
        of_file = [one for one in outcomes if one.file == file]
        alive = [one for one in of_file if not one.noticed_by]
        lines.append(f"| `{file}` | {len(of_file)} | {len(of_file) - len(alive)} | {len(alive)} |")
    survivors = [one for one in outcomes if not one.noticed_by]
    lines += ["", "Survivors:" if survivors else "No mutant survived.", ""]
    lines += [f"- `{one.file}`:{one.mutant.line}: {one.mutant.what}" for one in survivors]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Try the mutants, two at a time, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=30, help="at most so many of each file")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.monotonic()
    with ThreadPoolExecutor(2) as workers:
        outcomes = [
            *workers.map(lambda one: try_mutant(*one), chosen(options.mutants, options.seed))
        ]
    command = f"python benchmarks/mutations.py --mutants {options.mutants} --seed {options.seed}"
    text = page(outcomes, time.monotonic() - began, command)
    RESULT.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
