"""How often the ranks ask each other depends on how long their steps take."""

from __future__ import annotations

from itertools import count, pairwise

from clusterrun.training.stopping.pace import Pace


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def asked_at(seconds: list[float]) -> list[int]:
    """The steps at which ranks whose steps took these seconds ask each other, all of one mind one step later."""
    clock = Clock()
    pace, asked, proposal = Pace(clock), [], 0
    for step, taken in zip(count(1), seconds, strict=False):
        clock.now += taken
        passes = pace.skips_step()
        pace.follow(proposal)
        if not passes:
            asked.append(step)
            proposal = pace.propose()
    return asked


def test_long_steps_are_asked_one_by_one() -> None:
    """Where a step takes longer than the interval between two exchanges, no step passes by."""
    assert asked_at([1.0] * 6) == [1, 2, 3, 4, 5, 6]


def test_two_steps_of_a_tenth_of_a_second_are_asked_once() -> None:
    """Where two steps fit between two exchanges, every second is asked, as soon as their length is known."""
    assert asked_at([0.09] * 9) == [1, 2, 3, 5, 7, 9]


def test_short_steps_are_asked_every_eighth_at_most() -> None:
    """However short steps are, no more than seven in a row pass by, and it comes to that step by step."""
    asked = asked_at([0.001] * 60)
    gaps = [after - before for before, after in pairwise(asked)]
    assert gaps == sorted(gaps)
    assert (gaps[0], gaps[-1]) == (1, 8)


def test_long_steps_after_short_ones_are_asked_one_by_one_soon() -> None:
    """When steps become long, at most seven pass by; one more until all know; then each is asked again."""
    asked = asked_at([0.001] * 60 + [5.0] * 20)
    first = next(step for step in asked if step > 60)
    assert first <= 68
    assert [step for step in asked if step > first] == list(range(first + 2, 81))


def test_after_an_evaluation_steps_are_asked_one_by_one() -> None:
    """An exchange between two steps says nothing about how long steps take."""
    clock = Clock()
    pace = Pace(clock)
    pace.follow(3)
    clock.now += 0.001
    assert pace.propose() == 0
