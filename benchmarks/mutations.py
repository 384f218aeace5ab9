"""Which small faults the tests detect in the code that decides whether a run continues.

Each mutant is one fault in one file: an inverted comparison, a number off by one, a missing
statement. The tests listed for the file run on it in a copy of the checkout; a mutant that no test
detects has survived. It needs neither Slurm nor root:

    python benchmarks/mutations.py --mutants 30

Some mutants cannot be detected, because they are equivalent: they are listed with the reason.
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
from mutants_that_do_the_same import reason_for_the_same

CHECKOUT = Path(__file__).resolve().parent.parent
RESULT = Path(__file__).resolve().parent / "results" / "mutations.md"
TIMEOUT_S = 900.0
ENDLESS = "a test that never ends"
# The code whose faults lose runs or checkpoints, and the tests that must detect them, fast first.
CHECKPOINT_TESTS = (
    "tests/training/checkpointing",
    "tests/training/test_checkpoint_attempts.py",
    "tests/training/test_checkpoint_damage.py",
)
TARGETS = {
    "templates/functions/80-decision.sh": (
        "tests/functions/test_decide.py",
        "tests/functions/test_causes.py",
        "tests/functions",
    ),
    "templates/functions/72-cause.sh": ("tests/functions/test_causes.py", "tests/functions"),
    "clusterrun/run_folder/records.py": (
        "tests/run_folder/test_records.py",
        "tests/functions/test_records_in_bash.py",
        "tests/run_folder",
        "tests/run_status",
    ),
    "clusterrun/submission/exactly_once.py": (
        "tests/submission/test_exactly_once.py",
        "tests/submission",
        "tests/cli/test_cli.py",
    ),
    "clusterrun/training/checkpointing/manifest.py": CHECKPOINT_TESTS,
    "clusterrun/training/checkpointing/store.py": CHECKPOINT_TESTS,
}


@dataclass(frozen=True)
class Outcome:
    """The result of one mutant."""

    file: str
    mutant: Mutant
    noticed_by: str
    """The test that failed first; empty if none did."""

    @property
    def same_because(self) -> str:
        """Why it is equivalent to the original; empty if it was detected or is not equivalent."""
        return "" if self.noticed_by else reason_for_the_same(self.file, self.mutant)

    @property
    def survived(self) -> bool:
        """Whether a test is missing."""
        return not self.noticed_by and not self.same_because

    @property
    def words(self) -> str:
        """The fault, as text."""
        return f"`{self.file}`:{self.mutant.line}: {self.mutant.what}"


def try_mutant(file: str, mutant: Mutant) -> Outcome:
    """Run the tests of a file on one mutant, in a copy; none if the mutant is equivalent."""
    if reason_for_the_same(file, mutant):
        return Outcome(file, mutant, "")
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        copy = Path(name) / "checkout"
        ignored = shutil.ignore_patterns(".git", ".venv", "test-results", "runs")
        shutil.copytree(CHECKOUT, copy, ignore=ignored, symlinks=True)
        (copy / ".venv").symlink_to(CHECKOUT / ".venv")
        (copy / file).write_text(mutant.text)
        outcome = Outcome(file, mutant, first_failure(copy, TARGETS[file]))
        print(outcome.words, "-", outcome.noticed_by or "not detected", file=sys.stderr, flush=True)
        return outcome


def first_failure(copy: Path, tests: tuple[str, ...]) -> str:
    """Return the test that fails first; empty if all pass."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    command += ["-m", "not extended", "--no-header", *tests]
    # the copy must be found before the checkout that the environment has installed
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
        return ENDLESS
    if done.returncode == 0:
        return ""
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed[0].split(" - ")[0] if failed else f"exit code {done.returncode}"


def chosen(most: int, seed: int) -> Iterator[tuple[str, Mutant]]:
    """Choose at most `most` mutants of each file, the same ones for the same seed."""
    for file in TARGETS:
        every = mutants_of(CHECKOUT / file)
        picked = random.Random(seed).sample(every, min(most, len(every)))  # noqa: S311
        yield from ((file, one) for one in picked)


def page(outcomes: list[Outcome], seconds: float, command: str) -> str:
    """Write the table of files and the mutants that survived."""
    lines = ["# Mutations", "", f"Made by `{command}` in {seconds:.0f} s.", ""]
    lines += ["| file | mutants | detected | equivalent | survived |", "|---|--:|--:|--:|--:|"]
    for file in TARGETS:
        of_file = [one for one in outcomes if one.file == file]
        noticed = sum(bool(one.noticed_by) for one in of_file)
        same = sum(bool(one.same_because) for one in of_file)
        alive = len(of_file) - noticed - same
        lines.append(f"| `{file}` | {len(of_file)} | {noticed} | {same} | {alive} |")
    if endless := sum(one.noticed_by == ENDLESS for one in outcomes):
        lines += [
            "",
            f"Of the detected ones, {endless} did not end within {TIMEOUT_S:.0f} s.",
        ]
    survivors = [one for one in outcomes if one.survived]
    lines += ["", "Survivors:" if survivors else "No mutant survived.", ""]
    lines += [f"- {one.words}" for one in survivors]
    if same_ones := [one for one in outcomes if one.same_because]:
        lines += ["", "Equivalent to the original, so that no test can detect them:", ""]
        lines += [f"- {one.words}: {one.same_because}" for one in same_ones]
    return "\n".join(lines).rstrip("\n") + "\n"


def main() -> None:
    """Test the mutants and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=30, help="maximum number for each file")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="number of mutants tested at a time")
    parser.add_argument("--at", help="only those whose FILE:LINE has this text; writes no results")
    options = parser.parse_args()
    began = time.monotonic()
    mutants = chosen(options.mutants, options.seed)
    if options.at:
        every = chosen(sys.maxsize, options.seed)
        mutants = (one for one in every if options.at in f"{one[0]}:{one[1].line}:")
    with ThreadPoolExecutor(options.workers) as workers:
        outcomes = list(workers.map(lambda one: try_mutant(*one), mutants))
    command = "python benchmarks/mutations.py " + (
        f"--at {options.at}"
        if options.at
        else f"--mutants {options.mutants} --seed {options.seed} --workers {options.workers}"
    )
    text = page(outcomes, time.monotonic() - began, command)
    if not options.at:
        RESULT.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
