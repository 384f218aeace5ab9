"""A finding of the doctor: a fact, its verdict, and its fix."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARNING, PROBLEM = "ok", "warning", "problem"


@dataclass(frozen=True)
class Finding:
    """One fact about this cluster.

    A warning costs runs something; a problem keeps them from working.
    """

    topic: str
    """What was checked."""
    verdict: str
    """ok, warning or problem."""
    message: str
    """The fact."""
    fix: str = ""
    """What to do; empty if no action is needed."""


def ok(topic: str, what: str, fix: str = "") -> Finding:
    """Return a fact that does not affect runs."""
    return Finding(topic, OK, what, fix)


def warning(topic: str, what: str, fix: str) -> Finding:
    """Return a fact that costs runs something."""
    return Finding(topic, WARNING, what, fix)


def problem(topic: str, what: str, fix: str) -> Finding:
    """Return a fact that keeps runs from working."""
    return Finding(topic, PROBLEM, what, fix)
