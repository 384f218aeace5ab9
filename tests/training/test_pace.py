"""How often the ranks exchange stop requests depends on the length of their steps."""

from __future__ import annotations

from itertools import count, pairwise

from clusterrun.training.stopping.pace import Pace


class Clock:
    """A clock that advances only by calls."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def exchange_steps(seconds: list[float]) -> list[int]:
    """Return the steps at which ranks with steps of these seconds exchange requests; all agree one
    step later.
    """
    clock = Clock()
    pace, steps, proposal = Pace(clock), [], 0
    for step, taken in zip(count(1), seconds, strict=False):
        clock.now += taken
        passes = pace.skips_step()
        pace.follow(proposal)
        if not passes:
            steps.append(step)
            proposal = pace.propose()
    return steps


def test_ranks_exchange_at_every_long_step() -> None:
    """If a step takes longer than the interval between two exchanges, none is skipped."""
    assert exchange_steps([1.0] * 6) == [1, 2, 3, 4, 5, 6]


def test_ranks_exchange_at_every_second_medium_step() -> None:
    """If two steps fit between two exchanges, every second one has an exchange, as soon as their
    length is known.
    """
    assert exchange_steps([0.09] * 9) == [1, 2, 3, 5, 7, 9]


def test_ranks_exchange_at_least_at_every_eighth_step() -> None:
    """However short steps are, at most seven in a row are skipped, and the number rises gradually."""
    steps = exchange_steps([0.001] * 60)
    gaps = [after - before for before, after in pairwise(steps)]
    assert gaps == sorted(gaps)
    assert (gaps[0], gaps[-1]) == (1, 8)


def test_long_steps_after_short_ones_soon_have_an_exchange_each() -> None:
    """When steps become long, at most seven are skipped; one more until all know; then none."""
    steps = exchange_steps([0.001] * 60 + [5.0] * 20)
    first = next(step for step in steps if step > 60)
    assert first <= 68
    assert [step for step in steps if step > first] == list(range(first + 2, 81))


def test_after_an_evaluation_every_step_has_an_exchange() -> None:
    """An exchange between two steps says nothing about the length of steps."""
    clock = Clock()
    pace = Pace(clock)
    pace.follow(3)
    clock.now += 0.001
    assert pace.propose() == 0
