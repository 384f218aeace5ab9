"""What depends on Slurm's own rules, on three generations of Slurm and with both ways to track
processes.

Budget: 4 minutes, of which making missing suites takes one. `make generations` runs all scenarios
on all generations, one after another, in half an hour, and writes the observations into
docs/reference/slurm-generations.md; `make generations CELLS="24.11-cgroup"` runs some and keeps the
others' results.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.slurm.cluster import missing
from tests.slurm.cluster.suites import Unavailable
from tests.slurm.generation_scenarios import SCENARIOS
from tests.slurm.generations import Cell, Watched, watch
from tests.slurm.generations_table import CELLS as ALL_CELLS
from tests.slurm.generations_table import keep
from tests.slurm.observation import Observed
from tests.slurm.survival import reference

BACKGROUND = ("watched",)
POLITE = "a bare script exits with 0 in the grace of every preemption"
FOR_GOOD = "crashes for good"
SETUP = "preempted by CANCEL during the setup"  # its first job stays preempted, and another one completes
SOME = (
    POLITE,
    "preempted",
    "preempted after its last step, finishes in the grace",
    "finished, and requeued by hand",
    "a rank on the second of two nodes is killed",
    SETUP,
)
ASKED = os.environ.get(
    "CLUSTERRUN_GENERATIONS", ""
).split()  # cells, such as 24.11-cgroup, or `all`
BY_DEFAULT = {"26.05-cgroup-expedited": (*SOME, FOR_GOOD)}
CELLS = [cell for cell in ALL_CELLS if ASKED == ["all"] or str(cell) in (ASKED or BY_DEFAULT)]
WANTED = {cell: tuple(SCENARIOS) if ASKED else BY_DEFAULT[str(cell)] for cell in CELLS}
AT_ONCE = 1 if ASKED else 2  # clusters at the same time

Cells = dict[Cell, "Future[Watched]"]


@pytest.fixture(scope="module")
def watched() -> Iterator[Cells]:
    """The scenarios of each cell run during the tests, which read the outcomes."""
    reason = missing()
    if reason:
        pytest.fail(reason, pytrace=False)
    for ranks in (1, 2):
        reference(ranks, 32)  # before all threads request it
    with ThreadPoolExecutor(AT_ONCE) as pool:
        started = {cell: pool.submit(watch, cell, WANTED[cell]) for cell in CELLS}
        yield started
    if ASKED:
        keep({cell: had.exception() or had.result() for cell, had in started.items()})


def outcome(watched: Cells, cell: Cell, name: str) -> Observed:
    try:
        found = watched[cell].result().outcomes[name]
    except Unavailable as error:
        pytest.skip(str(error))
    if isinstance(found, BaseException):
        raise found
    return found


BACK = [
    (cell, name) for cell in CELLS for name in WANTED[cell] if name not in (POLITE, FOR_GOOD, SETUP)
]


@pytest.mark.parametrize(("cell", "name"), BACK, ids=str)
def test_a_run_survives(watched: Cells, cell: Cell, name: str) -> None:
    """With every generation of Slurm the run continues, no loss of it differs, and its job
    completes.
    """
    assert outcome(watched, cell, name).states[-1] == "COMPLETED"


@pytest.mark.parametrize("cell", [cell for cell in CELLS if SETUP in WANTED[cell]], ids=str)
def test_a_run_that_is_cancelled_in_its_setup_continues(watched: Cells, cell: Cell) -> None:
    """Its job stays PREEMPTED; the scenario has seen the run complete as another job."""
    assert outcome(watched, cell, SETUP).states == ("PREEMPTED",)


@pytest.mark.parametrize("cell", [cell for cell in CELLS if FOR_GOOD in WANTED[cell]], ids=str)
def test_a_run_that_gave_up_leaves_the_queue(watched: Cells, cell: Cell) -> None:
    """The job does not stay in the queue, although Slurm would hold an expedited job that fails."""
    assert outcome(watched, cell, FOR_GOOD).states == ("FAILED",)


@pytest.mark.parametrize("cell", [cell for cell in CELLS if "preempted" in WANTED[cell]], ids=str)
def test_an_expedited_requeue_has_no_delay(watched: Cells, cell: Cell) -> None:
    """If the cluster allows it, and only then: other jobs wait, here for the 5 s of cred_expire."""
    delay = outcome(watched, cell, "preempted").delay
    assert (delay == 0) is cell.expedited


@pytest.mark.parametrize("cell", [cell for cell in CELLS if POLITE in WANTED[cell]], ids=str)
def test_newer_slurm_holds_jobs_that_exit_in_the_grace(watched: Cells, cell: Cell) -> None:
    """From 24.05 on, as `slurm_holds_early_exits` in templates/functions/80-decision.sh assumes."""
    seen = outcome(watched, cell, POLITE)
    if cell.generation >= "24.05":
        assert seen.states == ("PREEMPTED",) * 5 + ("PENDING",)
        assert seen.reason == "launch_failure_limit_exceeded_requeued_held"
    else:
        assert seen.states == ("COMPLETED",)


@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell.generation >= "24.05"], ids=str)
def test_newer_slurm_requeues_by_itself(watched: Cells, cell: Cell) -> None:
    """On newer Slurm a preempted run stays until it is killed; on older Slurm its exit in the grace
    is final, so it requests the requeue.
    """
    assert outcome(watched, cell, "preempted").states[0] == "PREEMPTED"
