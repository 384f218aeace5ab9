"""The results of handover.py as a page: the kinds of stops, what each cost, and the aims."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from cluster_runs import REQUEUE_DELAY

FAST = 10  # seconds from the last step to the start of an attempt that waits for no delay
AIM = 1  # steps lost at a stop that a signal announces


@dataclass(frozen=True)
class Stop:
    """A kind of stop; without `after_step`, the time limit of `minutes` is the stop."""

    name: str
    partition: str
    minutes: int
    signalled: bool
    after_step: bool = True


PREEMPTION = Stop("preemption (grace 15 s)", "low", 10, signalled=True)
TIME_LIMIT = Stop("time limit (signal 30 s before)", "main", 1, signalled=True, after_step=False)
NODE_CRASH = Stop("node crash", "main", 10, signalled=False)
STOPS = {"preemption": PREEMPTION, "time-limit": TIME_LIMIT, "node-crash": NODE_CRASH}


LABELS = {
    "clusterrun": "clusterrun",
    "requeue": "clusterrun, `requeue.by: requeue`",
    "successor": "clusterrun, `requeue.by: successor`",
    "recipe": "sbatch script with a trap on `B:USR1`, `scontrol requeue`, save_state",
    "submitit": "submitit Checkpointable, accelerate as a subprocess",
    "in-process": "submitit Checkpointable, training in process",
}


@dataclass(frozen=True)
class Outcome:
    """The cost of a stop.

    `seconds` is from the last step before to the first one after, None if a person resubmitted.
    """

    way: str
    stop: str
    lost: int | None
    seconds: float | None
    start: float | None = None
    """Seconds from the new attempt's start to its first step; clusterrun only."""


def table(found: list[Outcome]) -> list[str]:
    heads = ["stop", "way", "restarted by itself", "steps lost", "last step to first step",
             "of which start-up", "relative to clusterrun"]  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", "|---|---|---|---|---|---|--:|"]
    pairs = dict.fromkeys((o.stop, o.way) for o in found)
    return lines + [row(found, stop, way) for stop, way in pairs]


def row(found: list[Outcome], stop: str, way: str) -> str:
    here = [o for o in found if (o.stop, o.way) == (stop, way)]
    back = [o for o in here if o.seconds is not None]
    ours = seconds_of(found, stop, "clusterrun")
    took = seconds_of(found, stop, way)
    ratio = f"{statistics.median(took) / statistics.median(ours):.2f}" if took and ours else ""
    by_itself = f"{len(back)} of {len(here)}"
    cells = [
        STOPS[stop].name,
        LABELS[way],
        by_itself if len(back) == len(here) else f"**{by_itself}**",
    ]
    starts = summary([o.start for o in back if o.start is not None], ".1f", " s")
    return f"| {' | '.join([*cells, lost_in(here), summary(took, '.1f', ' s'), starts, ratio])} |"


def seconds_of(found: list[Outcome], stop: str, way: str) -> list[float]:
    return [o.seconds for o in found if (o.stop, o.way) == (stop, way) and o.seconds is not None]


def lost_in(here: list[Outcome]) -> str:
    """Return the steps lost; those of trainings that a person resubmitted are separate."""
    alone = summary([o.lost for o in here if o.seconds is not None and o.lost is not None], ".0f")
    helped = summary([o.lost for o in here if o.seconds is None and o.lost is not None], ".0f")
    never = sum(o.lost is None for o in here)
    words = [
        alone,
        f"by hand {helped}" if helped else "",
        f"never restarted {never}" if never else "",
    ]
    return "; ".join(word for word in words if word)


def summary(values: list[int] | list[float], form: str, unit: str = "") -> str:
    """Return the median and all values."""
    each = ", ".join(format(value, form) for value in sorted(values))
    return f"{statistics.median(values):{form}}{unit} ({each})" if values else ""


def verdict(found: list[Outcome]) -> str:
    signalled = [
        o
        for o in found
        if o.way in ("clusterrun", "requeue", "successor") and STOPS[o.stop].signalled
    ]
    if not signalled:
        return ""
    most = max((o.lost for o in signalled if o.lost is not None), default=0)
    met = most <= AIM and all(o.seconds is not None for o in signalled)
    return (
        f"Aim: clusterrun restarts by itself and loses at most {AIM} step at any stop that a "
        f"signal announces. Most steps lost in {len(signalled)} such stops: {most}. "
        f"{'Met.' if met else '**Missed.**'}"
    )


def fast(found: list[Outcome]) -> str:
    """Return whether a successor starts as fast as aimed for, without the training's start-up."""
    here = [
        o
        for o in found
        if o.way == "successor" and STOPS[o.stop].signalled and o.seconds is not None
    ]
    took = [o.seconds - o.start for o in here if o.seconds is not None and o.start is not None]
    if not took:
        return ""
    met = "Met." if max(took) <= FAST else "**Missed.**"
    return (
        "Aim: with a successor, without start-up (from the new attempt's start to its first step, "
        f"mostly accelerate's), at most {FAST} s. Maximum in {len(took)} signalled stops: "
        f"{max(took):.1f} s. {met}"
    )


def page(found: list[Outcome], made: list[str], expedited: bool = False) -> list[str]:
    """Write the page of results."""
    delay = (
        f"A requeued job waits {REQUEUE_DELAY}-{REQUEUE_DELAY + 1} s here (`cred_expire`), and "
        f"120 s by Slurm's default: on most clusters add {120 - REQUEUE_DELAY} s to every time in "
        "the table except a successor's. The preempting job takes 3 s."
    )
    if expedited:
        delay += (
            " This cluster allows expedited requeues, which `clusterrun` uses automatically; they "
            "have no delay."
        )
    how = (
        "Two nodes with one process each, 0.1 s per step, a checkpoint every 50 steps; in one "
        "round all ways are stopped at the same step, or by the same time limit. Median, then all "
        "values. `by hand`: a person had to resubmit the job."
    )
    aim = [line for text in (verdict(found), fast(found)) if text for line in (text, "")]
    return ["# What a stop costs", "", *made, how, delay, "", *aim, *table(found)]
