"""Pace the exchange between ranks: every step if steps are long, every few if they are short."""

from __future__ import annotations

import time
from collections.abc import Callable

_SECONDS = 0.25  # between two exchanges of short steps: costs nothing, early enough for any grace
_MOST_DOUBLINGS = 3  # doublings, that is 8 steps: a step may be far longer than those before it


class Pace:
    """The number of steps between two exchanges, a power of two, the same on all ranks.

    Each rank proposes how often to double one step, from the time that its steps took; all follow
    the least proposal, which is the slowest rank's. It grows by one doubling an exchange, and falls
    at once.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock  # seconds
        self._doublings = 0
        self._steps = 0  # since the last exchange
        self._asked_at = 0.0

    def skips_step(self) -> bool:
        """Whether nothing is asked at this step; call it once a step."""
        self._steps += 1
        return self._steps < 1 << self._doublings

    def propose(self) -> int:
        """Return this rank's proposal, in doublings; call it at each exchange.

        An exchange that is not a step's, amid an evaluation, tells nothing about steps: each is
        asked again.
        """
        elapsed, steps = self._clock() - self._asked_at, self._steps
        self._asked_at, self._steps = self._asked_at + elapsed, 0
        most = min(self._doublings + 1, _MOST_DOUBLINGS) if steps else 0
        return next(
            (more for more in range(most, 0, -1) if elapsed / steps * (1 << more) <= _SECONDS), 0
        )

    def follow(self, doublings: int) -> None:
        """Take over what all ranks agreed on."""
        self._doublings = doublings
