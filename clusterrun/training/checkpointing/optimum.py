"""The interval between saves that minimizes the lost time, for `every: auto`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from clusterrun.run_folder.causes import Cause
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import number, read_record

_FIRST_S = 120.0  # until the first save, which measures its duration
_MIN_S, _MAX_S = 30.0, 3600.0
_MIN_SAVES = 10  # the shortest interval in durations of a save: saves take at most a tenth of it
# Initially a run counts as interrupted once in four hours. This pseudo-observation is the prior of
# a Poisson rate: it limits the weight of one early interruption, or of none so far, and fades as
# the run gets longer.
_PRIOR_SECONDS, _PRIOR_COUNT = 4 * 3600.0, 1
# Interruptions without a warning. A time limit, a stop and a cancellation are known long enough
# ahead.
_INTERRUPTIONS = {Cause.PREEMPTION, Cause.NODE_FAILURE, Cause.CRASH, Cause.REQUEUE}


class Optimum:
    """The interval between two saves, in seconds, for `every: auto`.

    `last_save` returns the duration of the run's last save in seconds, None before the first. The
    interruptions are read from the run's records each time. One process decides for all.
    """

    def __init__(
        self,
        paths: RunPaths,
        last_save: Callable[[], float | None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._paths, self._last_save, self._clock = paths, last_save, clock

    def __call__(self) -> float:
        """Return the interval that minimizes the lost time, by what was observed so far."""
        save_seconds = self._last_save()
        if save_seconds is None:
            return _FIRST_S
        try:
            return best_interval(
                save_seconds, mean_seconds_between_interruptions(self._paths, self._clock())
            )
        except OSError:  # a file server that is briefly unavailable must not end the training
            return best_interval(save_seconds, _PRIOR_SECONDS)


def best_interval(save_seconds: float, between: float) -> float:
    """Return the seconds between saves that minimize the sum of saving time and lost work.

    sqrt(2 * seconds of a save * mean seconds between interruptions), within bounds. The rule is
    from J. W. Young, A first order approximation to the optimum checkpoint interval, 1974, and J.
    T. Daly, A higher order estimate of the optimum checkpoint interval for restart dumps, 2006.
    """
    return max(
        min(math.sqrt(2 * save_seconds * between), _MAX_S), _MIN_S, _MIN_SAVES * save_seconds
    )


def mean_seconds_between_interruptions(paths: RunPaths, now: float) -> float:
    """Return the mean seconds between interruptions of this run, as far as observed."""
    names = paths.attempts()
    spans = [_attempt_span(paths, name, now, last=name == names[-1]) for name in names]
    seconds = _PRIOR_SECONDS + sum(lasted for lasted, _ in spans)
    return seconds / (_PRIOR_COUNT + sum(interrupted for _, interrupted in spans))


def _attempt_span(paths: RunPaths, name: str, now: float, *, last: bool) -> tuple[float, bool]:
    """Return how many seconds an attempt lasted, and whether it was interrupted."""
    end = read_record(paths.end(name))
    if not end and not last:
        return 0.0, True  # ended without a record, at an unknown time
    began = number(read_record(paths.begin(name)).get("began"))
    ended = number(end.get("ended")) if end else now
    lasted = max(ended - began, 0.0) if began is not None and ended is not None else 0.0
    return lasted, end.get("cause") in _INTERRUPTIONS
