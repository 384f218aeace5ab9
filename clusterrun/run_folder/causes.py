"""The causes of an attempt's end: the words that the job script records, and their meaning.

docs/concepts/survival.md describes how the cause is found; templates/functions/72-cause.sh
implements it. A record may contain another word, from a newer version or a damaged disk; it is
shown unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Cause(str, Enum):
    """A cause, with the word that is recorded for it."""

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
    """The meaning of a cause for users."""

    words: str
    """How the attempt ended, in a few words for a table."""
    means: str
    """How the attempt ended, as a sentence."""
    fix: str = ""
    """What the user can do; after a crash or a hang the log has more details."""
    state: str = "FAILED"
    """The state of a run whose last attempt ended with this cause, as in slurm.states."""


MEANINGS = {
    Cause.FINISHED: Meaning("finished", "training is complete", state="COMPLETED"),
    Cause.STOP: Meaning(
        "stopped on request",
        "a stop was requested (`clusterrun stop`); the run saved a checkpoint and exited",
        state="STOPPED",
    ),
    Cause.CANCEL: Meaning(
        "cancelled",
        "the run was cancelled (`clusterrun cancel` or `scancel`)",
        state="CANCELLED",
    ),
    Cause.REQUEUE: Meaning(
        "requeued", "a requeue was requested (`clusterrun requeue` or `scontrol requeue`)"
    ),
    Cause.TIME_LIMIT: Meaning(
        "time limit",
        "the job reached its time limit; the run is asked to save before that",
        "increase `slurm.time` if an attempt is too short to make progress",
        "TIMEOUT",
    ),
    Cause.PREEMPTION: Meaning(
        "preempted",
        "Slurm gave the nodes to a job with a higher priority",
        "use a partition or QOS that is not preempted if this happens too often",
        "PREEMPTED",
    ),
    Cause.NODE_FAILURE: Meaning(
        "node failure",
        "a node failed, rebooted, or lost its connection",
        "`sinfo -R` may show why; if it is always the same node, report it to your site",
        "NODE_FAIL",
    ),
    Cause.BAD_NODE: Meaning(
        "bad node",
        "a node failed the check before the launch, or could not start its task",
        "see the reason; the run excludes the node for a day",
    ),
    Cause.FAILED_START: Meaning(
        "failed to start",
        "the environment or the run folder could not be set up",
        "fix what the reason names",
    ),
    Cause.NO_RESTART: Meaning(
        "must not be restarted",
        "the training script forbade a restart (`run.must_not_restart` or exit code 93)",
        "fix what the reason names",
    ),
    Cause.HANG: Meaning(
        "hung",
        "the run made no progress for longer than `hang` allows",
        "look first at the rank whose stack differs from those of the others",
    ),
    Cause.CRASH: Meaning("crashed", "a rank failed", "look at the end of its log"),
    Cause.FENCED: Meaning("replaced by a newer attempt", "a newer attempt has taken over"),
    Cause.UNKNOWN: Meaning(
        "ended for an unknown reason",
        "Slurm ended the job for a reason that clusterrun does not know",
        "`sacct -j JOB` and logs/slurm-*.out may show why",
    ),
}


def meaning_of(word: str) -> Meaning:
    """Return the meaning of a recorded cause; an unknown word is its own meaning."""
    try:
        return MEANINGS[Cause(word)]
    except ValueError:
        return Meaning(word, word)
