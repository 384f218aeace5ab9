"""A pytest plugin that writes where the time went: one JSON line for each test.

`pytest -p tests.support.times --times FILE`; `python -m tests.support.times_report FILE...` prints the sums.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cpu import total_cpu_clock


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --times."""
    parser.addoption(
        "--times", type=Path, help="append the outcome and the seconds of each test to this file"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Measure only if a file was named."""
    if config.option.times:
        config.pluginmanager.register(Times(config.option.times))


class Times:
    """Measures each test with its setup and teardown; a shared fixture counts for its first test."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.file = file
        self.total_cpu = total_cpu_clock()
        self.outcome = ""

    def clocks(self) -> tuple[float, float, float]:
        """Wall time, the CPU time of this process, and that of all processes of the tests."""
        return time.monotonic(), time.process_time(), self.total_cpu()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Write a test's line after its teardown."""
        self.outcome = ""
        before = self.clocks()
        result = yield
        wall, own, total = (end - start for start, end in zip(before, self.clocks(), strict=True))
        line = {"test": item.nodeid, "outcome": self.outcome or "passed", "cluster": needs_cluster(item),
                "wall": round(wall, 3), "own_cpu": round(own, 3),
                "children_cpu": round(max(0.0, total - own), 3)}  # fmt: skip
        with self.file.open("a") as written:
            written.write(json.dumps(line) + "\n")
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the worst outcome of setup, call and teardown."""
        if self.outcome != "failed" and not report.passed:
            self.outcome = report.outcome


def needs_cluster(item: pytest.Item) -> bool:
    """Return whether a test is in a folder whose tests run on a real Slurm."""
    return "slurm" in item.path.parts
