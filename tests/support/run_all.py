"""Run all tests in several processes that share the files: `python -m tests.support.run_all
[--extended]`.

pytest collects once, and forks them (forked_workers.py). The tests mostly wait, for requeues, time
limits and failed nodes, so there are more processes than CPUs.
A test that failed is run once more, alone: a busy machine is sometimes late. More than four
failures are an error, not chance, and are not run again. Tests that passed on the second try are
listed in test-results/unsteady.txt.
"""

from __future__ import annotations

import compileall
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests.support.times_report import longest_files, report

RESULTS = Path("test-results")
UNSTEADY = RESULTS / "unsteady.txt"
COLLECTION = RESULTS / "collection.log"
AGAIN_AT_MOST = 4  # failures
TESTS_RAN = (0, 1)  # exit codes of pytest: all passed, some failed


@dataclass
class Worker:
    """A process's files, and how much of its file of times was read."""

    name: str
    read: int = 0
    failed: list[str] = field(default_factory=list)

    @property
    def log(self) -> Path:
        """Its output."""
        return RESULTS / f"{self.name}.log"

    @property
    def times(self) -> Path:
        """A line for each test that ended."""
        return RESULTS / f"{self.name}.jsonl"

    @property
    def broken(self) -> bool:
        """Return whether it ended before its last test, or with an unexpected exit code."""
        code = RESULTS / f"{self.name}.code"
        ended = int(code.read_text()) if code.exists() else None
        return ended not in TESTS_RAN or bool(ended and not self.failed)

    def new_lines(self) -> list[dict[str, str]]:
        """The tests that ended since the last call."""
        lines = self.times.read_text().splitlines(keepends=True) if self.times.exists() else []
        whole = [line for line in lines if line.endswith("\n")]
        new, self.read = whole[self.read :], len(whole)
        return [json.loads(line) for line in new]


def number_of_workers() -> int:
    """Return five for each two CPUs, or TEST_PROCESSES."""
    return int(os.environ.get("TEST_PROCESSES") or min(8, 5 * (os.cpu_count() or 1) // 2))


def start(log: Path, *options: str | Path) -> subprocess.Popen[bytes]:
    """Start pytest; its output goes to a file."""
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    shared = {"CLUSTERRUN_TESTS_SHARED": str((RESULTS / "shared").resolve())}
    output: IO[bytes]
    with log.open("wb") as output:
        return subprocess.Popen(
            [*argv, "-p", "tests.support.times", *options],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **shared},
        )


def start_all(marks: str, number: int) -> subprocess.Popen[bytes]:
    """Start the process that collects the tests and forks those that share the files."""
    queue = ["-p", "tests.support.work_queue", "--work-queue", RESULTS / "queue"]
    forks = ["-p", "tests.support.forked_workers", "--processes", str(number), "--results", RESULTS]
    return start(COLLECTION, "-m", marks, *queue, *forks)


def watch(process: subprocess.Popen[bytes], workers: list[Worker]) -> None:
    """Print a failure at once, and each minute the number of ended tests, until all processes end."""
    began, ended, minutes_reported = time.monotonic(), 0, 0
    while True:
        alive = process.poll() is None
        for worker in workers:
            for line in worker.new_lines():
                ended += 1
                if line["outcome"] == "failed":
                    worker.failed.append(line["test"])
                    print(f"FAILED {line['test']}", flush=True)
        minutes = int(time.monotonic() - began) // 60
        if minutes > minutes_reported or not alive:
            minutes_reported = minutes
            print(f"{minutes:3} min: {ended} tests have ended", flush=True)
        if not alive:
            return
        time.sleep(1)


def run_again(failed: list[str]) -> bool:
    """Run the failed tests once more, alone, and list the outcomes; return whether all passed."""
    print("=== UNSTEADY, or a fault: what failed is run once more, alone ===", flush=True)
    again = Worker("again")
    process = start(again.log, "--times", again.times, *failed)
    watch(process, [again])
    print(again.log.read_text(errors="replace"))
    outcomes = [
        f"{'failed twice' if test in again.failed else 'passed on the second try'}: {test}"
        for test in failed
    ]
    UNSTEADY.write_text("\n".join(outcomes) + "\n")
    return process.returncode == 0


def compile_all() -> None:
    """Write the bytecode of all that the tests start: ordinary users cannot, and compile it at each start."""
    for folder in ("clusterrun", "tests", "examples"):
        compileall.compile_dir(folder, quiet=2)


def main() -> int:
    """Return the exit code: 0 if every test passed, possibly on the second try."""
    shutil.rmtree(RESULTS, ignore_errors=True)
    (RESULTS / "shared").mkdir(parents=True)
    workers = [Worker(f"worker-{number + 1}") for number in range(number_of_workers())]
    compile_all()
    marks = "extended" if sys.argv[1:] == ["--extended"] else "not extended"
    process = start_all(marks, len(workers))
    watch(process, workers)
    for log in [COLLECTION, *(worker.log for worker in workers)]:
        print(f"=== {log}\n{log.read_text(errors='replace') if log.exists() else ''}")
    times = [worker.times for worker in workers if worker.times.exists()]
    print(report(times))
    (RESULTS / "longest_files.txt").write_text(longest_files(times))
    failed = [test for worker in workers for test in worker.failed]
    broken = [worker.log for worker in workers if worker.broken]
    broken += [COLLECTION] if process.returncode else []
    if broken or len(failed) > AGAIN_AT_MOST:
        print(
            "\n".join(
                [*(f"broken: {log}" for log in broken), *(f"failed: {test}" for test in failed)]
            )
        )
        return 1
    if not failed:
        return 0
    passed = run_again(failed)
    print(f"=== {UNSTEADY}\n{UNSTEADY.read_text()}", end="")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
