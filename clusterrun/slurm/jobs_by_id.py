"""Query scontrol for a job by its id; the user's filters and formats do not change its output."""

from __future__ import annotations

import re
from dataclasses import dataclass

from clusterrun.slurm.commands import NoAnswer, call
from clusterrun.slurm.ids import job_id as valid_job_id
from clusterrun.slurm.states import State, state_of

_UNKNOWN = "Invalid job id"


@dataclass(frozen=True)
class JobFacts:
    """One job, or one task of an array."""

    job_id: str
    """The id that SLURM_JOB_ID has in the job."""
    array_id: str
    """The array's job id as sbatch prints it, for a task; else empty."""
    name: str
    user_id: int
    state: State
    command: str
    """The path of the batch script; empty if it came from a pipe."""


def job_facts(job_id: str) -> list[JobFacts]:
    """Query scontrol for a job, or for each task of an array; empty if Slurm does not know the id.

    Raises NoAnswer if scontrol fails.
    """
    if not valid_job_id(job_id):
        return []
    answer = call(["scontrol", "show", "job", "--oneliner", job_id])
    if answer.code and _UNKNOWN in answer.err + answer.out:
        return []
    if answer.code:
        raise NoAnswer(
            f"scontrol: {answer.err.splitlines()[-1] if answer.err else 'failed'}",
            "try again later",
        )
    return [_parse_job(line) for line in answer.out.splitlines() if line.startswith("JobId=")]


def _parse_job(line: str) -> JobFacts:
    user = re.search(r" UserId=.*?\((\d+)\)", line)
    command = _find_value(r" Command=(.*?)(?: SubmitLine=.*?)? WorkDir=", line)  # SubmitLine: 26.05
    return JobFacts(
        job_id=_find_value(r"^JobId=(\d+)", line),
        array_id=_find_value(r" ArrayJobId=(\d+)", line),
        name=_find_value(r" JobName=(.*?) UserId=", line),
        user_id=int(user[1]) if user else -1,
        state=state_of(_find_value(r" JobState=(\S+)", line)),
        command="" if command == "(null)" else command,
    )


def _find_value(pattern: str, line: str) -> str:
    match = re.search(pattern, line)
    return match[1] if match else ""
