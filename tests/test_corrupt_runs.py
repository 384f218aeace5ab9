"""One corrupt file of one run: no command ends with an internal error, hangs, or hides another run."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support import corrupt_specs
from tests.support.corrupt_runs import COMMANDS, CORRUPTED, MUTATIONS, Case, Site, find_fault

SEED = 20261130
RECORDS = (
    f"runs/{CORRUPTED}/events/attempt-0001.begin",
    f"runs/{CORRUPTED}/events/attempt-0002.end",
    f"runs/{CORRUPTED}/events/submit.intent",
    f"runs/{CORRUPTED}/events/submit.job",
    f"runs/{CORRUPTED}/progress",
    f"runs/{CORRUPTED}/spec.yaml",
    f"home/.local/state/clusterrun/runs/{CORRUPTED}",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site.make(tmp_path_factory.mktemp("site"))


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_corrupt_record_hides_no_other_run(site: Site, mutation: str) -> None:
    """`list` shows the healthy run, whatever replaces a record of the other one."""
    cases = [Case(file, mutation, ("list",)) for file in RECORDS]
    assert {str(case): fault for case in cases if (fault := find_fault(site, case))} == {}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_corrupt_file_causes_no_internal_error(site: Site, command: tuple[str, ...]) -> None:
    """Eight files, each mutated in its own way; benchmarks/fuzz.py tries all combinations."""
    dice = random.Random(f"{SEED}{command}")
    files, mutations = site.files(), list(MUTATIONS)
    cases = [Case(dice.choice(files), dice.choice(mutations), command) for _ in range(8)]
    assert {str(case): fault for case in cases if (fault := find_fault(site, case))} == {}


def test_a_mutated_spec_is_valid_or_refused(tmp_path: Path) -> None:
    """Hostile values and broken lines are mistakes of the user, each reported as one."""
    faults = corrupt_specs.find_faults(tmp_path, SEED, 150)
    assert list(faults) == []
