"""A model of one training run under failures and announced stops; all times are in seconds.

Failures are random, at a constant rate (a Poisson process). So are preemptions, while time limits
are periodic; a signal announces both. The ETTR is the share of the time that becomes training that
counts.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from clusterrun.training.checkpointing.optimum import _PRIOR_COUNT as PRIOR_COUNT
from clusterrun.training.checkpointing.optimum import _PRIOR_SECONDS as PRIOR_SECONDS
from clusterrun.training.checkpointing.optimum import best_interval

NEVER = math.inf

Rule = Callable[
    [float, int], float
]  # from seconds trained and interruptions so far, the seconds between saves


@dataclass(frozen=True)
class Answer:
    """How a way of running handles one kind of stop."""

    restart: float
    """Seconds from the last step before to the first one after, without a large job's start."""
    saves: bool
    """Whether the state is saved because of the stop."""


@dataclass(frozen=True)
class Way:
    """A way of running: its name, its handling of each kind of stop, and when and how it saves."""

    name: str
    answers: dict[str, Answer]
    rule: Rule
    save: float
    overhead: float = 0.0
    """Share of a step's time that the stop check takes."""


@dataclass(frozen=True)
class World:
    """The stops of a run: mean seconds between failures and preemptions, and the time limit."""

    between_failures: float
    between_preemptions: float = NEVER
    limit: float = NEVER
    start: float = 0.0
    """Seconds from the processes' start to the first step at this size, on top of the measured."""


def fixed(seconds: float) -> Rule:
    """Save at a fixed interval."""
    return lambda _trained, _seen: seconds


def learned(save: float) -> Rule:
    """Save as `checkpoint.every: auto` does: by the Young-Daly rule, from past interruptions."""
    return lambda trained, seen: best_interval(
        save, (PRIOR_SECONDS + trained) / (PRIOR_COUNT + seen)
    )


def ettr(way: Way, world: World, seconds: float, chance: random.Random) -> float:
    """Return the share of a run of `seconds` that becomes training that counts."""
    now, useful, held, seen = 0.0, 0.0, 0.0, 0
    while now < seconds:
        kind, lasted = next_stop(world, chance)
        lasted = min(lasted, seconds - now)
        useful += attempt(way, world, lasted, kind, held, seen) * (1 - way.overhead)
        held += lasted
        seen += kind != "limit"
        now += lasted + way.answers[kind].restart
    return useful / now


def next_stop(world: World, chance: random.Random) -> tuple[str, float]:
    """Return the kind of stop that ends the next attempt, and after how many seconds."""
    times = {
        "failure": chance.expovariate(1 / world.between_failures)
        if world.between_failures < NEVER
        else NEVER,
        "preemption": chance.expovariate(1 / world.between_preemptions)
        if world.between_preemptions < NEVER
        else NEVER,
        "limit": world.limit,
    }
    kind = min(times, key=lambda name: times[name])
    return kind, times[kind]


def attempt(way: Way, world: World, lasted: float, kind: str, held: float, seen: int) -> float:
    """Return the seconds of training that an attempt saves in checkpoints."""
    at, kept = world.start, 0.0
    if way.answers[kind].saves:
        lasted -= way.save  # the stop is announced, and the save comes last
    while True:
        interval = way.rule(held + at, seen)
        if at + interval + way.save > lasted:
            break
        at += interval + way.save
        kept += interval
    return kept + (max(lasted - at, 0.0) if way.answers[kind].saves else 0.0)


def mean_ettr(way: Way, world: World, seconds: float, runs: int, seed: int) -> tuple[float, float]:
    """Return the mean of `runs` simulated runs and its standard error."""
    found = [ettr(way, world, seconds, random.Random(f"{seed}-{number}")) for number in range(runs)]  # noqa: S311
    mean = sum(found) / runs
    spread = math.sqrt(sum((value - mean) ** 2 for value in found) / max(runs - 1, 1))
    return mean, spread / math.sqrt(runs)


def formula(
    between: float, interval: float, save: float, restart: float, start: float = 0.0
) -> float:
    """Return the ETTR if only failures stop a run, and each one loses its whole interval.

    The time until an interval is saved is that of J. T. Daly, A higher order estimate of the
    optimum checkpoint interval for restart dumps, 2006; as in the simulation, no failure occurs
    during `restart`.
    """
    cycle = (
        (between + restart)
        * math.exp(start / between)
        * (math.exp((interval + save) / between) - 1)
    )
    return interval / cycle


def meta_formula(between: float, interval: float, save: float, restart: float) -> float:
    """Return the ETTR to first order, without the wait in the queue.

    As A. Kokolis and others estimate it (2025).
    """
    return (1 - (restart + interval / 2) / between) / (1 + save / interval)
