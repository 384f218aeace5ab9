"""The pace of exchanges between ranks: each step if steps are long, every few if they are short."""

from __future__ import annotations

import time
from collections.abc import Callable

_INTERVAL_S = 0.25  # between two exchanges: negligible cost, and early enough for any grace time
_MAX_DOUBLINGS = 3  # that is 8 steps: a step may be much longer than the previous ones


class Pace:
    """The number of steps between two exchanges, a power of two, the same on all ranks.

    Each rank proposes a number of doublings from the duration of its steps; all follow the smallest
    proposal, which is the slowest rank's. It grows by one doubling per exchange, and shrinks at
    once.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock  # seconds
        self._doublings = 0
        self._steps = 0  # since the last exchange
        self._last_exchange = 0.0

    def skips_step(self) -> bool:
        """Return whether this step has no exchange; call it once per step."""
        self._steps += 1
        return self._steps < 1 << self._doublings

    def propose(self) -> int:
        """Return this rank's proposal, in doublings; call it at each exchange.

        After an exchange during an evaluation, which does not measure steps, each step exchanges
        again.
        """
        elapsed, steps = self._clock() - self._last_exchange, self._steps
        self._last_exchange, self._steps = self._last_exchange + elapsed, 0
        most = min(self._doublings + 1, _MAX_DOUBLINGS) if steps else 0
        return next(
            (more for more in range(most, 0, -1) if elapsed / steps * (1 << more) <= _INTERVAL_S), 0
        )

    def follow(self, doublings: int) -> None:
        """Use the number of doublings that all ranks agreed on."""
        self._doublings = doublings
