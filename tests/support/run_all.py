"""Run all tests in several pytest processes that share the files: `python -m tests.support.run_all [--extended]`.

The tests mostly wait, for requeues, time limits and nodes that are given up, so there are more processes than CPUs.
A test that failed is run once more, alone: a busy machine is late now and then. More than four failures are a fault,
not chance, and are not run again. What passed on the second try is listed in test-results/unsteady.txt.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests.support.times_report import report

RESULTS = Path("test-results")
UNSTEADY = RESULTS / "unsteady.txt"
WITHOUT_CLUSTER = 1  # processes that take the files without a cluster first
AGAIN_AT_MOST = 4  # failures
TESTS_RAN = (0, 1)  # exit codes of pytest: all passed, some failed


@dataclass
class Worker:
    """One pytest process, and how far its file of times was read."""

    process: subprocess.Popen[bytes]
    log: Path
    times: Path
    read: int = 0
    failed: list[str] = field(default_factory=list)

    def new_lines(self) -> list[dict[str, str]]:
        """The tests that ended since the last call."""
        lines = self.times.read_text().splitlines(keepends=True) if self.times.exists() else []
        whole = [line for line in lines if line.endswith("\n")]
        new, self.read = whole[self.read :], len(whole)
        return [json.loads(line) for line in new]


def number_of_workers() -> int:
    """Two for each CPU, unless TEST_PROCESSES says how many."""
    return int(os.environ.get("TEST_PROCESSES") or min(8, 2 * (os.cpu_count() or 1)))


def start(name: str, *options: str | Path) -> Worker:
    """Start pytest; what it prints goes to a file."""
    log, times = RESULTS / f"{name}.log", RESULTS / f"{name}.jsonl"
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "tests.support.times", "--times", times]
    argv += ["-o", f"cache_dir=.pytest_cache/{name}", *options]
    shared = {"CLUSTERRUN_TESTS_SHARED": str((RESULTS / "shared").resolve())}
    output: IO[bytes]
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **shared}
        )
    return Worker(process, log, times)


def start_all(marks: str) -> list[Worker]:
    """Start the processes that share the files."""
    workers, queue = (
        number_of_workers(),
        ["-p", "tests.support.work_queue", "--work-queue", RESULTS / "queue"],
    )
    return [
        start(f"worker-{number}", "-m", marks, *queue,
              *(["--cluster-files-first"] if number <= max(1, workers - WITHOUT_CLUSTER) else []))
        for number in range(1, workers + 1)
    ]  # fmt: skip


def watch(workers: list[Worker]) -> None:
    """Print a failure at once, and each minute how many tests have ended, until all processes have."""
    began, ended, told = time.monotonic(), 0, 0
    while True:
        alive = any(worker.process.poll() is None for worker in workers)
        for worker in workers:
            for line in worker.new_lines():
                ended += 1
                if line["outcome"] == "failed":
                    worker.failed.append(line["test"])
                    print(f"FAILED {line['test']}", flush=True)
        minutes = int(time.monotonic() - began) // 60
        if minutes > told or not alive:
            told = minutes
            print(f"{minutes:3} min: {ended} tests have ended", flush=True)
        if not alive:
            return
        time.sleep(1)


def run_again(failed: list[str]) -> bool:
    """Run what failed once more, alone, and list the outcomes; whether all passed."""
    print("=== UNSTEADY, or a fault: what failed is run once more, alone ===", flush=True)
    again = start("again", *failed)
    watch([again])
    print(again.log.read_text(errors="replace"))
    outcomes = [
        f"{'failed twice' if test in again.failed else 'passed on the second try'}: {test}"
        for test in failed
    ]
    UNSTEADY.write_text("\n".join(outcomes) + "\n")
    return again.process.returncode == 0


def main() -> int:
    """Return the exit code: 0 if every test passed, if need be on the second try."""
    shutil.rmtree(RESULTS, ignore_errors=True)
    (RESULTS / "shared").mkdir(parents=True)
    workers = start_all("extended" if sys.argv[1:] == ["--extended"] else "not extended")
    watch(workers)
    for worker in workers:
        print(f"=== {worker.log}\n{worker.log.read_text(errors='replace')}")
    print(report(worker.times for worker in workers if worker.times.exists()))
    failed = [test for worker in workers for test in worker.failed]
    broken = [worker.log for worker in workers if worker.process.returncode not in TESTS_RAN
              or (worker.process.returncode and not worker.failed)]  # fmt: skip
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
