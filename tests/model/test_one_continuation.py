"""Who continues a run: every interleaving of job scripts, Slurm's events and people's commands.

The model (`world.py`) has the records of one run, up to three jobs, and each script and command
split where another one can come between. It is explored breadth first, so a finding comes with the
shortest way to it. Each rule of the protocol (docs/decisions/0011) is switched off once: without
it, one of the properties breaks.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.model.explore import explore
from tests.model.world import Rules

SUCCESSOR: dict[str, Any] = {"by_successor": True}
CANCEL: dict[str, Any] = {"by_successor": True, "preempt_mode": "cancel"}
GIVES_UP: dict[str, Any] = {"most_crashes": 0}
KEEPS: list[tuple[dict[str, int], dict[str, Any]]] = [
    # events, and how often each may come; settings
    ({"requeue": 1, "resume": 1, "stop": 1}, {}),
    ({"requeue": 1, "resume": 1, "scancel": 1, "kill-client": 1}, {}),
    ({"resume": 2, "requeue": 1, "kill": 1}, {}),
    ({"clean": 1, "resume": 1, "requeue": 1, "preempt": 1}, {}),
    ({"hold": 1, "requeue": 1, "crash": 1}, GIVES_UP),
    ({"preempt": 1, "crash": 2, "kill": 1}, SUCCESSOR),
    ({"preempt": 1, "crash": 1, "node-fail": 1}, CANCEL),
]
KEEPS_EXTENDED: list[tuple[dict[str, int], dict[str, Any]]] = [
    ({"requeue": 1, "kill": 1, "preempt": 1, "crash": 2}, SUCCESSOR),
    ({"requeue": 1, "kill": 1, "resume": 1, "crash": 1, "preempt": 1}, CANCEL),
    ({"requeue": 1, "hold": 1, "resume": 1, "crash": 2}, GIVES_UP),
    ({"requeue": 1, "cancel": 1, "preempt": 1, "resume": 1}, {}),
    ({"requeue": 1, "cancel": 1, "clean": 1, "resume": 1, "node-fail": 1}, {}),
    ({"clean": 1, "kill": 1, "resume": 1, "requeue": 1, "hold": 1}, {}),
    ({"requeue": 2, "hold": 1, "scancel": 1, "preempt": 1}, CANCEL),
    ({"requeue": 2, "resume": 1, "stop": 1}, SUCCESSOR),
    ({"preempt": 2, "crash": 2, "node-fail": 1}, SUCCESSOR),
]


def name(value: object) -> str:
    """Return a short name of a parameter."""
    return ",".join(value) if isinstance(value, dict) else str(value)


@pytest.mark.parametrize(
    ("events", "settings"),
    [
        *KEEPS,
        *(pytest.param(*case, marks=pytest.mark.extended) for case in KEEPS_EXTENDED),
    ],
    ids=name,
)
def test_one_job_continues_a_run(events: dict[str, int], settings: dict[str, Any]) -> None:
    """Never two attempts at once, never a training after the end, never a lost run."""
    found = explore(events, Rules(**settings), most_states=400_000)
    assert found.finding is None, "\n".join([found.finding.what, *found.finding.trace])
    assert found.states > 500


TWICE = "two attempts train at once"
AGAIN = "trains again"
QUEUED = "a second job of a run that trains is in the queue"
MUTATIONS: list[tuple[str, str, dict[str, int], dict[str, Any]]] = [
    # the rule that is switched off, what breaks, the events that show it
    ("keeps_ended", AGAIN, {"hold": 1, "crash": 1}, GIVES_UP),
    ("trusts_log", AGAIN, {"scancel": 1, "requeue": 1}, {}),
    ("confirms", AGAIN, {"requeue": 1, "resume": 1, "stop": 1}, {}),
    ("looks_for_running", AGAIN, {"requeue": 1, "resume": 1, "stop": 1}, {}),
    ("gives_way", QUEUED, {"requeue": 1, "resume": 1, "scancel": 1}, {}),
    ("resume_looks_again", QUEUED, {"requeue": 1, "resume": 1, "scancel": 1}, {}),
    ("cancels_others", QUEUED, {"requeue": 1, "crash": 1}, SUCCESSOR),
    ("records_successor", QUEUED, {"requeue": 1, "kill": 1, "preempt": 1, "crash": 2}, SUCCESSOR),
    ("checks_folder", AGAIN, {"requeue": 1, "clean": 1}, {}),
    ("clean_looks_again", "clean has removed", {"requeue": 1, "clean": 1, "kill": 1}, {}),
    ("clean_locks", "clean has removed", {"stop": 1, "resume": 1, "clean": 1}, {}),
    ("knows_its_resume", "nothing continues", {"requeue": 1, "resume": 1, "stop": 1}, {}),
]
MUTATIONS_EXTENDED: list[tuple[str, str, dict[str, int], dict[str, Any]]] = [
    ("claims", TWICE, {"requeue": 1, "kill": 1, "preempt": 1, "crash": 2}, SUCCESSOR),
    ("current_decides", AGAIN, {"requeue": 1, "kill": 1, "preempt": 1, "crash": 2}, SUCCESSOR),
    ("knows_submitted", AGAIN, {"requeue": 1, "cancel": 1, "preempt": 1, "resume": 1}, {}),
]


@pytest.mark.parametrize(
    ("rule", "what", "events", "settings"),
    [
        *MUTATIONS,
        *(pytest.param(*case, marks=pytest.mark.extended) for case in MUTATIONS_EXTENDED),
    ],
    ids=name,
)
def test_each_rule_is_needed(
    rule: str, what: str, events: dict[str, int], settings: dict[str, Any]
) -> None:
    """The model can fail: without the rule, it finds a way to break a property."""
    found = explore(events, Rules(**{**settings, rule: False}))
    assert found.finding is not None
    assert what in found.finding.what, "\n".join([found.finding.what, *found.finding.trace])
