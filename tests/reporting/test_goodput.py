"""How a run's time is split, compared with histories calculated by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from clusterrun.reporting.goodput import (
    AttemptTimeline,
    TimeSplit,
    make_timelines,
    measure_waiting,
    total_split,
)
from clusterrun.run_folder.attempts import Attempt
from clusterrun.run_folder.metrics import Metrics, Point
from clusterrun.slurm.node_lists import count_nodes


def attempt(
    number: int,
    began: int | None,
    ended: int | None,
    cause: str,
    resumed: int | None,
    **more: object,
) -> Attempt:
    made = Attempt(
        number,
        "7",
        "n[1-2]",
        began,
        ended,
        None,
        cause,
        cause,
        resumed,
        None,
        None,
        "",
        0,
        "continue",
    )
    return replace(made, **more)


def trained(
    first_step: float,
    *points: tuple[float, int, float],
    saving: float = 0.0,
    left: float | None = None,
) -> Metrics:
    """What an attempt measured: (time, step, seconds spent saving so far)."""
    made = tuple(Point(moment, step, 1.0, None, None, saved) for moment, step, saved in points)
    return Metrics(made, first_step, left, saving, 1)


def split_of(
    attempts, measures, submissions, until=None
) -> tuple[list[AttemptTimeline], TimeSplit]:
    found = make_timelines(attempts, measures, submissions, until)
    return found, total_split(found, measure_waiting(found, submissions, until))


def test_a_run_without_interruption():
    """Submitted at 0, started at 100, first step at 130, trains to 1000, saves 20 s, exits at 1010."""
    measure = trained(130, (130, 1, 0), (990, 100, 20), saving=20, left=1000)
    (story,), split = split_of([attempt(1, 100, 1010, "finished", 0)], [measure], [(0, 0)])
    assert split == TimeSplit(productive=850, saving=20, startup=30, shutdown=10, waiting=100)
    assert (split.wall, split.allocated, split.ettr) == (1010, 910, 850 / 1010)
    assert (story.first_step_at, story.lost_since, story.trained_until) == (130, None, 1000)


def test_a_preemption_that_loses_nothing():
    """The second attempt resumes where the first saved; in between the run waits."""
    first = trained(120, (120, 1, 0), (300, 50, 0), saving=5, left=305)
    second = trained(430, (430, 51, 0), (600, 90, 0), left=600)
    attempts = [attempt(1, 100, 310, "preemption", 0), attempt(2, 400, 600, "finished", 50)]
    _, split = split_of(attempts, [first, second], [(90, 0)])
    assert split == TimeSplit(
        productive=180 + 170, saving=5, startup=20 + 30, shutdown=5, waiting=10 + 90
    )
    assert split.wall == 600 - 90


def test_a_crash_loses_what_was_not_saved():
    """Saved at step 50, at 200; crashed after step 80, at 260.

    The 30 steps after the checkpoint took 60 s, 4 of them without a step.
    """
    first = trained(110, (110, 5, 0), (200, 50, 0), (210, 53, 4), (260, 80, 4), saving=4)
    second = trained(330, (330, 51, 0), (500, 99, 0), left=500)
    attempts = [attempt(1, 100, 265, "crash", 0), attempt(2, 300, 500, "finished", 50)]
    (one, _), split = split_of(attempts, [first, second], [(100, 0)])
    assert one.lost_since == 200
    assert one.time_split == TimeSplit(
        productive=260 - 110 - 4 - 56, lost=56, saving=4, startup=10, shutdown=5
    )
    assert split.wall == 400
    assert split.waiting == 35


def test_the_time_of_a_step_that_was_thinned_out():
    """The time of a missing step is interpolated between its neighbours."""
    first = trained(100, (100, 0, 0), (200, 100, 0), saving=0)
    attempts = [attempt(1, 90, 200, "crash", 0), attempt(2, 200, 250, "crash", 25)]
    (one, _), _ = split_of(attempts, [first, trained(210, (210, 26, 0), (250, 40, 0))], [(90, 0)])
    assert (one.lost_since, one.time_split.lost, one.time_split.productive) == (125, 75, 25)


def test_a_corrupt_checkpoint_loses_the_steps_of_two_attempts():
    """The third attempt resumes before the second: the lost steps of both count once each."""
    measures = [trained(0, (0, 0, 0), (100, 100, 0)), trained(110, (110, 101, 0), (200, 190, 0)),
                trained(210, (210, 51, 0), (400, 200, 0))]  # fmt: skip
    attempts = [
        attempt(1, 0, 100, "preemption", 0),
        attempt(2, 100, 200, "crash", 100),
        attempt(3, 200, 400, "finished", 50),
    ]
    found, split = split_of(attempts, measures, [(0, 0)])
    assert [one.time_split.lost for one in found] == [50, 90, 0]
    assert split.wall == 400


def test_an_attempt_without_an_end_record():
    """After its node failed: it trained until its last sign of life, and waited from then on."""
    first = trained(110, (110, 1, 0), (200, 40, 0))
    attempts = [attempt(1, 100, None, "node-failure", 0), attempt(2, 500, 600, "finished", 40)]
    found, split = split_of(attempts, [first, trained(520, (520, 41, 0), (600, 60, 0))], [(100, 0)])
    assert found[0].ended_at == 200
    assert split == TimeSplit(productive=90 + 80, startup=10 + 20, waiting=300)


def test_an_active_run():
    """An active run trains until now; one that waits again has waited since its last attempt's end."""
    measure = trained(110, (110, 1, 0), (200, 40, 0))
    running = [attempt(1, 100, None, "", 0)]
    assert split_of(running, [measure], [(90, 0)], until=210)[1] == TimeSplit(
        productive=100, startup=10, waiting=10
    )
    assert split_of(running, [Metrics()], [(90, 0)], until=210)[1] == TimeSplit(
        startup=110, waiting=10
    )
    assert split_of([], [], [(90, 0)], until=210)[1] == TimeSplit(waiting=120)


def test_a_run_that_waits_for_its_next_attempt():
    """A requeued run has waited since its last attempt."""
    measure = trained(110, (110, 1, 0), (200, 40, 0), left=200)
    _, split = split_of([attempt(1, 100, 205, "preemption", 0)], [measure], [(90, 0)], until=305)
    assert split == TimeSplit(productive=90, startup=10, shutdown=5, waiting=10 + 100)


def test_the_time_between_stop_and_resume_is_not_counted():
    """Stopped by a person at 200, resumed at 5000: the time in between is not counted."""
    measures = [
        trained(110, (110, 1, 0), (200, 40, 0), left=200),
        trained(5070, (5070, 41, 0), (5100, 60, 0), left=5100),
    ]
    attempts = [
        attempt(1, 100, 200, "stop", 0, decision="end"),
        attempt(2, 5050, 5100, "finished", 40),
    ]
    submissions = [(90, 0), (5000, 1)]
    assert split_of(attempts, measures, submissions)[1] == TimeSplit(
        productive=90 + 30, startup=10 + 20, waiting=10 + 50
    )
    assert split_of(attempts[:1], measures[:1], submissions, until=5040)[1].waiting == 10 + 40
    assert split_of(attempts[:1], measures[:1], submissions[:1])[1].waiting == 10


def test_a_script_that_reports_nothing():
    """Training time is unknown, so no ratio is reported; the waiting time is known."""
    _, split = split_of([attempt(1, 100, 200, "finished", None)], [Metrics()], [(90, 0)])
    assert split == TimeSplit(unknown=100, waiting=10)
    assert split.ettr is None


def test_an_attempt_that_could_not_start():
    """All of it counts as startup if other attempts of the run have trained."""
    attempts = [attempt(1, 100, 150, "crash", None), attempt(2, 160, 260, "finished", 0)]
    _, split = split_of(
        attempts, [Metrics(), trained(170, (170, 1, 0), (260, 9, 0), left=260)], [(100, 0)]
    )
    assert split == TimeSplit(productive=90, startup=50 + 10, waiting=10)


def test_no_records():
    """Without submissions, attempts and clocks all parts are zero or unknown."""
    assert split_of([], [], [])[1] == TimeSplit()
    assert TimeSplit().ettr is None
    assert split_of([attempt(1, None, None, "", None)], [Metrics()], [])[1] == TimeSplit()


@pytest.mark.parametrize("shift", [-1000, -20, 0, 20, 1000])
def test_the_parts_add_up_even_if_clocks_differ(shift):
    """Records of several machines may be inconsistent: no part is negative or counted twice."""
    measures = [
        trained(110 + shift, (110 + shift, 1, 0), (200 + shift, 40, 9), saving=9, left=205 + shift),
        Metrics(),
    ]
    attempts = [attempt(1, 100, 210, "crash", 0), attempt(2, 300, 320, "crash", 20)]
    _, split = split_of(attempts, measures, [(90, 0)])
    assert split.wall == pytest.approx(320 - 90)
    assert min(vars(split).values()) >= 0


@pytest.mark.parametrize(("nodes", "count"), [
    ("", 0), ("n1", 1), ("n[1-2]", 2), ("n[01-10,12]", 11), ("n1,gpu[3,5-6],m", 5), ("r[1-2]n[1-3]", 6), ("gpu-a.b", 1),
])  # fmt: skip
def test_nodes_of_a_list(nodes, count):
    """Node lists are counted as by scontrol show hostnames."""
    assert count_nodes(nodes) == count
