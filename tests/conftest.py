"""What all tests share."""

from __future__ import annotations

import faulthandler
import signal
import sys
from pathlib import Path

import pytest

from tests.support.cli_desk import Desk
from tests.support.versions import versions_line


def pytest_configure() -> None:
    """Handle SIGINT here and in children, even if a background shell started pytest ignoring it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> str:
    """Print the tested versions; with -q pytest prints no header, and tools/test prints them."""
    return versions_line()


def pytest_unconfigure() -> None:
    """Close what a training process keeps open until its end, if a test ran as one."""
    if requests := sys.modules.get("clusterrun.training.stopping.requests"):
        faulthandler.unregister(requests.STACKS_SIGNAL)
        while requests._open_files:
            requests._open_files.pop().close()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A user with a spec and a script, on a machine without Slurm."""
    made = Desk(tmp_path)
    made.write("script: train.py\n")
    (tmp_path / "train.py").touch()
    return made
