"""A pytest plugin that lets several pytest processes share the test files: each takes the next one.

`pytest -p tests.support.work_queue --work-queue FOLDER [--cluster-files-first]`. The longest files
come first, so that all processes end at about the same time. Session fixtures, such as a cluster,
exist once in each process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from tests.support.times import needs_cluster

LONGEST = Path(__file__).with_name("longest_files.txt")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --work-queue and --cluster-files-first."""
    parser.addoption(
        "--work-queue",
        type=Path,
        help="run only test files that no other process claimed in this folder",
    )
    parser.addoption(
        "--cluster-files-first", action="store_true", help="claim files that need a cluster first"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> object:
    """Run the claimed files, as pytest's own loop would; None leaves the loop to pytest."""
    config = session.config
    if not config.option.work_queue or config.option.collectonly or session.testsfailed:
        return None
    for tests in claimed_files(
        session.items, config.option.work_queue, config.option.cluster_files_first
    ):
        # after the last test of a file everything ends except the session fixtures
        for test, following in zip(tests, [*tests[1:], session], strict=True):
            config.hook.pytest_runtest_protocol(item=test, nextitem=following)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)
    return True


def claimed_files(
    items: list[pytest.Item], queue: Path, cluster_first: bool
) -> Iterator[list[pytest.Item]]:
    """Yield the tests of one file after the other, while any file is unclaimed."""
    queue.mkdir(parents=True, exist_ok=True)
    files = [list(tests) for _, tests in groupby(items, key=lambda item: item.path)]
    seconds = seconds_of_longest()
    files.sort(key=lambda tests: -seconds.get(file_of(tests[0]), 0))
    files.sort(key=lambda tests: needs_cluster(tests[0]) != cluster_first)
    for tests in files:
        if claim(queue / (file_of(tests[0]).replace("/", ".") + ".claimed")):
            yield tests


def file_of(test: pytest.Item) -> str:
    """Return the path of a test's file, from the root of the checkout."""
    return test.nodeid.split("::")[0]


def claim(path: Path) -> bool:
    """Create a file that only one process can create."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def seconds_of_longest() -> dict[str, float]:
    """Return the measured seconds of the longest test files, by their paths."""
    lines = (line.split() for line in LONGEST.read_text().splitlines() if not line.startswith("#"))
    return {name: float(seconds) for name, seconds in lines}
