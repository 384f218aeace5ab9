"""A run with four attempts, and its report."""

from __future__ import annotations

import pytest

from clusterrun.reporting.run_report import RunReport, report
from clusterrun.run_folder.paths import RunPaths
from tests.support.run_story import StoryTeller

BEGUN = 1_795_000_000.0


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> RunPaths:
    """A run with four attempts: preempted, ended by a node failure, crashed, finished."""
    return StoryTeller(
        tmp_path_factory.mktemp("runs") / "gpt2-medium-20261121-060228-9786", BEGUN
    ).tell()


@pytest.fixture(scope="session")
def run_report(run) -> RunReport:
    return report(str(run.folder))
