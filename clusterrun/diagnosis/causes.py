"""What states mean of which no attempt recorded a cause, and the pause after a crash."""

from __future__ import annotations

STATES = {
    "VANISHED": "Slurm knows the job no more, and it wrote no end: `sacct -j JOB` and logs/slurm-*.out may say why",
    "NO_ANSWER": "Slurm does not answer, so what the run does now is not known; ask again later",
    "OUT_OF_MEMORY": "Slurm ended it, because it used more memory than it may: more `slurm.mem`",
}


def pause_after(crashes: int) -> int:
    """Return the pause after so many crashes, in seconds; the rule is `compute_pause` of templates/functions."""
    return min(5 * int(3 ** min(max(crashes - 1, 0), 9)), 300)
