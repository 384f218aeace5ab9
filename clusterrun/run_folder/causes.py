"""Why an attempt ended: the words that the job script records, and what they mean to people.

The rule by which a cause is found is in docs/concepts/survival.md, as bash in templates/functions.
A record may have a word that is not here, of a newer version or a damaged disk: it is shown as is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Cause(str, Enum):
    """A cause as it is recorded."""

    FINISHED = "finished"
    STOP = "stop"
    CANCEL = "cancel"
    REQUEUE = "requeue"
    TIME_LIMIT = "time-limit"
    PREEMPTION = "preemption"
    NODE_FAILURE = "node-failure"
    BAD_NODE = "bad-node"
    FAILED_START = "failed-start"
    NO_RESTART = "no-restart"
    HANG = "hang"
    CRASH = "crash"
    FENCED = "fenced"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Meaning:
    """What a cause means to people."""

    words: str
    """How the attempt ended, in a few words for a table."""
    means: str
    """The same as a sentence."""
    fix: str = ""
    """What the user can do; of a crash and a hang the log says more."""
    state: str = "FAILED"
    """The state of a run that ended so for good, as in slurm.states."""


MEANINGS = {
    Cause.FINISHED: Meaning("finished", "it has done all its steps", state="COMPLETED"),
    Cause.STOP: Meaning(
        "saved and left, as asked",
        "a person asked it to save and leave (`clusterrun stop`)",
        state="STOPPED",
    ),
    Cause.CANCEL: Meaning(
        "cancelled", "a person ended it (`clusterrun cancel`, `scancel`)", state="CANCELLED"
    ),
    Cause.REQUEUE: Meaning(
        "requeued", "a requeue was asked for (`clusterrun requeue`, `scontrol requeue`)"
    ),
    Cause.TIME_LIMIT: Meaning(
        "time limit",
        "its time limit came; it is asked to save before that",
        "more `slurm.time`, if each attempt is too short to get anywhere",
        "TIMEOUT",
    ),
    Cause.PREEMPTION: Meaning(
        "preempted",
        "Slurm gave its nodes to a job with a higher priority",
        "a partition or a QOS that is not preempted, if it happens too often",
        "PREEMPTED",
    ),
    Cause.NODE_FAILURE: Meaning(
        "a node failed",
        "a node failed, was rebooted, or was cut off",
        "`sinfo -R` may say why; where it is always the same node, tell the site",
        "NODE_FAIL",
    ),
    Cause.BAD_NODE: Meaning(
        "a node was not fit",
        "a node failed the check before the launch",
        "its reason stands there; the run leaves it out for a day",
    ),
    Cause.FAILED_START: Meaning(
        "could not start",
        "it could not start: its environment, or the run folder",
        "mend what the reason names",
    ),
    Cause.NO_RESTART: Meaning(
        "must not be restarted",
        "the training script forbade another start (`run.must_not_restart`, exit code 93)",
        "mend what the reason names",
    ),
    Cause.HANG: Meaning(
        "hung",
        "there was no sign of life for longer than `hang` allows",
        "the rank that stands elsewhere than the others is mostly the one to look at",
    ),
    Cause.CRASH: Meaning("crashed", "a rank failed", "look at the end of its log"),
    Cause.FENCED: Meaning("left to a newer attempt", "a newer attempt has taken over"),
    Cause.UNKNOWN: Meaning(
        "ended for an unknown reason",
        "it was ended, and nothing recorded why",
        "`sacct -j JOB` and logs/slurm-*.out may say why",
    ),
}


def meaning_of(word: str) -> Meaning:
    """Return the meaning of a recorded cause; an unknown word is returned as it is."""
    try:
        return MEANINGS[Cause(word)]
    except ValueError:
        return Meaning(word, word)
