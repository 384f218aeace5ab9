"""What the doctor found: one fact, how it is to be taken, and the remedy."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARNING, PROBLEM = "ok", "warning", "problem"


@dataclass(frozen=True)
class Finding:
    """One fact about this cluster.

    A warning costs a run something; with a problem a run would not work.
    """

    topic: str
    """What was looked at."""
    verdict: str
    """ok, warning or problem."""
    message: str
    """The fact, in words."""
    fix: str = ""
    """What to do; empty where nothing is amiss."""


def ok(topic: str, what: str, remedy: str = "") -> Finding:
    """Return a fact that stands in no run's way."""
    return Finding(topic, OK, what, remedy)


def warning(topic: str, what: str, remedy: str) -> Finding:
    """Return a fact that costs runs something."""
    return Finding(topic, WARNING, what, remedy)


def problem(topic: str, what: str, remedy: str) -> Finding:
    """Return a fact that keeps runs from working."""
    return Finding(topic, PROBLEM, what, remedy)
