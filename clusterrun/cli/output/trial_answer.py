"""Slurm's answer to a trial submission, in words."""

from __future__ import annotations

import re

# `sbatch --test-only`; the number is not a job's: nothing is queued
_ESTIMATE = re.compile(
    r"^(?:sbatch: )?Job \d+ to start at (?P<time>\S+) using \d+ processors?"
    r" on nodes? (?P<nodes>\S+)"
    r"(?: in partition (?P<partition>\S+))?$"
)
_NO_SLURM = "note: no Slurm on this machine, so nothing was checked with Slurm"


def describe_trial(slurm_response: str, members: int) -> str:
    """Describe what Slurm answered; without Slurm the response is empty.

    `members` is the number of members of a sweep, 0 for a single run. Lines that are not the
    estimate, such as a message of the site's submit plugin, stay as they are.
    """
    if not slurm_response:
        return _NO_SLURM
    return "\n".join(_describe_line(line, members) for line in slurm_response.splitlines())


def _describe_line(line: str, members: int) -> str:
    estimate = _ESTIMATE.match(line.strip())
    if estimate is None:
        return line
    what = f"the sweep of {members} members and start the first one" if members else "it and start"
    time = estimate["time"].replace("T", " ")
    partition = f" in partition {estimate['partition']}" if estimate["partition"] else ""
    where = f"on {estimate['nodes']}{partition}"
    return f"not queued. Slurm would accept {what} at {time} {where}, by its current estimate"
