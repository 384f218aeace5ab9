"""The words for Slurm's answer to `submit --dry-run`."""

from __future__ import annotations

import pytest

from clusterrun.cli.output.trial_answer import describe_trial

START = "Job 7 to start at 2026-11-30T12:00:00 using 4 processors on nodes n[1-2] in partition main"


@pytest.mark.parametrize(("response", "members", "words"), [
    (f"sbatch: {START}", 0,
     "not queued. Slurm would accept it and start at 2026-11-30 12:00:00 on n[1-2] in partition main, "
     "by its current estimate"),
    (f"sbatch: {START}", 12,
     "not queued. Slurm would accept the sweep of 12 members and start the first one at 2026-11-30 12:00:00 "
     "on n[1-2] in partition main, by its current estimate"),
    ("Job 7 to start at 2026-11-30T12:00:00 using 1 processors on nodes n1", 0,
     "not queued. Slurm would accept it and start at 2026-11-30 12:00:00 on n1, by its current estimate"),
    ("sbatch: lua: your project has 12 h left", 0, "sbatch: lua: your project has 12 h left"),
    ("", 0, "note: no Slurm on this machine, so nothing was checked with Slurm"),
])  # fmt: skip
def test_the_answer_is_a_sentence(response, members, words):
    """Nothing is queued, so the job id in sbatch's line is not shown."""
    assert describe_trial(response, members) == words
