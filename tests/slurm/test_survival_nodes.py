"""A run survives its nodes: crashed, disconnected, or without slurmd.

Budget: 2 minutes. Two lanes run at once, each on two nodes, because Slurm takes half a minute to
notice that a node is gone. A node that Slurm has given up, and that still trains, is a split brain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.slurm.desk import Desk, Submitted, until
from tests.slurm.survival import (
    EVERY,
    STEPS,
    assert_ended,
    assert_whole,
    begins,
    causes,
    checkpoints,
    completes,
    nodes,
    reaches,
    story,
    survive,
    trained,
    trainers_of,
)

BACKGROUND = ("lanes",)
LEFT, RIGHT = {"exclude": "n[3-4]"}, {"exclude": "n[1-2]"}  # the nodes of each lane
GIVEN_UP = 180  # seconds; Slurm needs about 30 here (SlurmdTimeout is 10)


@dataclass(frozen=True)
class Split:
    """A run with two attempts active at once, and the first one's checkpoints when the second had
    started.
    """

    run: Submitted
    published: list[str]


@pytest.fixture(scope="module")
def lanes(
    desk: Desk, request: pytest.FixtureRequest
) -> Iterator[dict[str, Future[Submitted | Split]]]:
    """The outcome of each selected scenario, by name."""
    tests = [
        item for item in request.session.items if item.getparent(pytest.Module) is request.node
    ]
    selected = {
        test.callspec.params["which"] for test in tests if isinstance(test, pytest.Function)
    }
    with ThreadPoolExecutor(1) as left, ThreadPoolExecutor(1) as right:
        every: dict[str, Callable[[], Future[Submitted | Split]]] = {
            "head": lambda: left.submit(node_crashes, desk, LEFT, "n1"),
            "other": lambda: right.submit(node_crashes, desk, RIGHT, "n4"),
            "slurmd": lambda: left.submit(
                brain_splits, desk, LEFT, desk.cluster.stop_slurmd, desk.cluster.start_slurmd
            ),
            "cut": lambda: right.submit(
                brain_splits, desk, RIGHT, desk.cluster.cut, desk.cluster.heal
            ),
        }
        yield {name: begin() for name, begin in every.items() if name in selected}


def node_crashes(desk: Desk, lane: dict[str, str], node: str) -> Submitted:
    """Cut the power of a node during a training on two; boot it again once Slurm has noticed."""
    run = survive(desk, f"crashed-{node}", slurm=lane, args={"slow_at": [EVERY + 5]})
    reaches(run, 1, EVERY + 5)
    desk.cluster.crash(node)
    try:
        until(lambda: desk.cluster.state(run.job_id) != "RUNNING", GIVEN_UP, "Slurm ends the job")
    finally:
        desk.cluster.boot(node)
    completes(desk, run)
    return run


def brain_splits(
    desk: Desk, lane: dict[str, str], damage: Callable[[str], None], repair: Callable[[str], None]
) -> Split:
    """Hide a node from Slurm: its training continues while the run restarts on the other one."""
    run = survive(
        desk, damage.__name__.replace("_", "-"), ranks=1, slurm=lane, args={"slow_at": [EVERY + 5]}
    )
    reaches(run, 1, EVERY + 5)
    node = nodes(run)
    damage(node)
    try:
        begins(run, 2, GIVEN_UP)
        until(
            (run.folder / "events" / "attempt-0002.resume").exists,
            120,
            "the second attempt looks for checkpoints",
        )
        published = of_first(run)
        until(
            lambda: not trainers_of(run, 1),
            120,
            "the first attempt's training processes exit by themselves",
        )
    finally:
        repair(node)
    completes(desk, run)
    return Split(run, published)


def of_first(run: Submitted) -> list[str]:
    return [name for name in checkpoints(run) if name.endswith("-0001")]


@pytest.mark.parametrize("which", ["head", pytest.param("other", marks=pytest.mark.extended)])
def test_a_run_survives_the_crash_of_a_node(
    desk: Desk, lanes: dict[str, Future[Submitted]], which: str
) -> None:
    """The head node or another one loses its power: the run resumes from its last checkpoint."""
    run = lanes[which].result()
    recorded = causes(run)
    assert (recorded[0], recorded[-1]) == ("node-failure", "finished"), story(run)
    # a node that has just booted may refuse the next start, or end it for an earlier one: which does not count as a crash
    assert {"crash", "hang"}.isdisjoint(recorded), story(run)
    assert_ended(desk, run, *recorded)
    assert_whole(run, lost=EVERY)


@pytest.mark.parametrize("which", [pytest.param("slurmd", marks=pytest.mark.extended), "cut"])
def test_no_split_brain(desk: Desk, lanes: dict[str, Future[Split]], which: str) -> None:
    """An attempt that Slurm has lost publishes nothing once another one has started, and exits by
    itself.
    """
    split = lanes[which].result()
    run = split.run
    assert_ended(desk, run, "node-failure", "finished")
    assert set(of_first(run)) <= set(split.published)
    assert trained(run.folder).by_attempt()[1][-1].step < STEPS
    assert_whole(run, ranks=1, lost=STEPS, at_once=True)
