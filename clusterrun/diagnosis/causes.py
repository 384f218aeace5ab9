"""What each cause of an attempt's end means, as a table; docs/survival.md has the rule by which it is found."""

from __future__ import annotations

# The cause: what it means, what the user can do. Of a crash and a hang the log says more.
CAUSES = {
    "finished": ("it has done all its steps", ""),
    "stop": ("a person asked it to save and leave (`clusterrun stop`)", ""),
    "cancel": ("a person ended it (`clusterrun cancel`, `scancel`)", ""),
    "requeue": ("a requeue was asked for (`clusterrun requeue`, `scontrol requeue`)", ""),
    "time-limit": (
        "its time limit came; it is asked to save before that",
        "more `slurm.time`, if each attempt is too short to get anywhere",
    ),
    "preemption": (
        "Slurm gave its nodes to a job with a higher priority",
        "a partition or a QOS that is not preempted, if it happens too often",
    ),
    "node-failure": (
        "a node failed, was rebooted, or was cut off",
        "`sinfo -R` may say why; where it is always the same node, tell the site",
    ),
    "bad-node": (
        "a node failed the check before the launch", "its reason stands there; the run leaves it out for a day",
    ),
    "unknown": (
        "Slurm ended it for a reason that clusterrun does not know",
        "read slurmstepd's line in logs/slurm-*.out, and report its reason",
    ),
    "failed-start": ("it could not start: its environment, or the run folder", "mend what the reason names"),
    "no-restart": (
        "the training script forbade another start (`run.must_not_restart`, exit code 93)",
        "mend what the reason names",
    ),
    "hang": (
        "there was no sign of life for longer than `hang` allows",
        "the rank that stands elsewhere than the others is mostly the one to look at",
    ),
    "crash": ("a rank failed", "look at the end of its log"),
    "fenced": ("a newer attempt has taken over", ""),
}  # fmt: skip

STATES = {
    "VANISHED": "Slurm knows the job no more, and it wrote no end: `sacct -j JOB` and logs/slurm-*.out may say why",
    "NO_ANSWER": "Slurm does not answer, so what the run does now is not known; ask again later",
    "OUT_OF_MEMORY": "Slurm ended it, because it used more memory than it may: more `slurm.mem`",
}


def pause_after(crashes: int) -> int:
    """Return the pause after so many crashes, in seconds; the rule is `pause_after` of templates/functions."""
    return min(5 * int(3 ** min(max(crashes - 1, 0), 9)), 300)
