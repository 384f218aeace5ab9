"""Print where the time of the tests went: `python -m tests.support.times_report FILE...`."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TOP = 20
LONG = 40.0  # seconds of a file that is started early
LONGEST_HEAD = (
    "# Wall seconds of the test files that took longest in a whole run on two CPUs: work_queue.py begins them first.\n"
    "# Each run writes this file afresh into test-results."
)


@dataclass
class Spent:
    """Seconds that one or more tests took."""

    wall: float = 0.0
    own_cpu: float = 0.0
    children_cpu: float = 0.0
    tests: int = 0

    def add(self, line: dict[str, float]) -> None:
        """Count one test."""
        self.wall += line["wall"]
        self.own_cpu += line["own_cpu"]
        self.children_cpu += line["children_cpu"]
        self.tests += 1

    @property
    def cpu(self) -> float:
        """CPU seconds, own and those of children."""
        return self.own_cpu + self.children_cpu

    @property
    def waiting(self) -> float:
        """The share of the wall time in which no CPU worked for these tests."""
        return max(0.0, 1 - self.cpu / self.wall) if self.wall else 0.0


HEAD = f"{'wall s':>8} {'CPU s':>8} {'own':>7} {'others':>7} {'waiting':>7} {'tests':>6}"


def row(name: str, spent: Spent) -> str:
    """One line of a table."""
    return (
        f"{spent.wall:8.1f} {spent.cpu:8.1f} {spent.own_cpu:7.1f} {spent.children_cpu:7.1f}"
        f" {spent.waiting:7.0%} {spent.tests:6}  {name}"
    )


def table(title: str, sums: dict[str, Spent], top: int | None = None) -> list[str]:
    """The entries with the most wall time first."""
    ranked = sorted(sums.items(), key=lambda entry: -entry[1].wall)
    return [f"{HEAD}  {title}", *(row(name, spent) for name, spent in ranked[:top]), ""]


def report(files: Iterable[Path]) -> str:
    """The sums of each process, of the tests with and without a cluster, of the longest files and tests."""
    workers, kinds, modules, tests = (defaultdict(Spent) for _ in range(4))
    for file in files:
        for line in map(json.loads, file.read_text().splitlines()):
            kind = "on a cluster" if line["cluster"] else "without a cluster"
            names = (file.stem, kind, line["test"].split("::")[0], line["test"])
            for sums, name in zip((workers, kinds, modules, tests), names, strict=True):
                sums[name].add(line)
    lines = [*table("process", workers), *table("kind", kinds)]
    lines += [*table("file", modules, TOP), *table("test", tests, TOP)]
    return "\n".join(lines)


def longest_files(files: Iterable[Path]) -> str:
    """Return the new content of tests/support/longest_files.txt after a whole run."""
    modules: dict[str, Spent] = defaultdict(Spent)
    for file in files:
        for line in map(json.loads, file.read_text().splitlines()):
            modules[line["test"].split("::")[0]].add(line)
    ranked = sorted(modules.items(), key=lambda entry: -entry[1].wall)
    lines = [f"{name} {spent.wall:.0f}" for name, spent in ranked if spent.wall >= LONG]
    return "\n".join([LONGEST_HEAD, *lines, ""])


if __name__ == "__main__":
    print(report(map(Path, sys.argv[1:])))
