"""What Slurm reports about a pending job, with only the calls that its reason needs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from clusterrun.slurm.commands import CommandResult, NoAnswer, call

_FORMAT = "%i|%T|%r|%S|%P|%Q|%D|%l|%E|%V"


@dataclass(frozen=True)
class PendingJob:
    """A job as squeue shows it; times in Slurm's format, or empty."""

    job_id: str
    state: str
    reason: str
    start: str
    """When Slurm expects it to start, or when it started."""
    partition: str
    priority: int | None
    nodes: str
    """The number of nodes that it requests."""
    time_limit: str
    dependency: str
    submitted: str


@dataclass(frozen=True)
class PartitionLimits:
    """The limits of a partition that can keep jobs pending, from scontrol."""

    state: str
    max_time: str
    max_nodes: str
    total_nodes: str


def pending_job(job_id: str) -> PendingJob | None:
    """Query squeue for one job; None if it does not know it. Raises NoAnswer if squeue fails."""
    answer = call(
        [
            "squeue",
            "--noheader",
            "--states=all",
            "--array",
            f"--jobs={job_id}",
            f"--format={_FORMAT}",
        ]
    )
    if answer.code and "Invalid job id" in answer.err:
        return None
    jobs = [
        _parse_job(line)
        for line in _output_lines("squeue", answer)
        if line.count("|") >= _FORMAT.count("|")
    ]
    return jobs[0] if jobs else None


def _parse_job(line: str) -> PendingJob:
    *head, dependency_and_time = line.split("|", 8)
    dependency, _, submitted = dependency_and_time.rpartition("|")
    job_id, state, reason, start, partition, priority, nodes, limit = (
        part.strip() for part in head
    )
    return PendingJob(
        job_id,
        state,
        reason,
        _time_or_empty(start),
        partition,
        int(priority) if priority.isdecimal() else None,
        nodes,
        limit,
        "" if dependency in ("(null)", "") else dependency,
        _time_or_empty(submitted.strip()),
    )


def jobs_ahead(partition: str, priority: int) -> int:
    """Count the visible pending jobs of a partition with a higher priority."""
    answer = call(
        [
            "squeue",
            "--noheader",
            "--array",
            "--states=PENDING",
            f"--partition={partition}",
            "--format=%Q",
        ]
    )
    return sum(
        1
        for line in _output_lines("squeue", answer)
        if line.strip().isdecimal() and int(line) > priority
    )


def partition_names() -> list[str]:
    """List all partitions that sinfo shows. Raises NoAnswer if sinfo fails."""
    return _output_lines("sinfo", call(["sinfo", "--noheader", "--format=%R"]))


def partition_limits(name: str) -> PartitionLimits:
    """Query scontrol for a partition."""
    text = "\n".join(
        _output_lines("scontrol", call(["scontrol", "show", "partition", "--oneliner", name]))
    )
    values = dict(re.findall(r"\b(\w+)=(\S+)", text))
    return PartitionLimits(
        *(values.get(key, "") for key in ("State", "MaxTime", "MaxNodes", "TotalNodes"))
    )


@dataclass(frozen=True)
class Reservation:
    """A reservation as scontrol shows it."""

    name: str
    start: str
    end: str
    nodes: str
    maintenance: bool


def reservations() -> list[Reservation]:
    """Query scontrol for all reservations."""
    lines = _output_lines("scontrol", call(["scontrol", "show", "reservation", "--oneliner"]))
    records = [dict(re.findall(r"\b(\w+)=(\S+)", line)) for line in lines]
    return [
        Reservation(
            one["ReservationName"],
            one.get("StartTime", ""),
            one.get("EndTime", ""),
            one.get("Nodes", ""),
            "MAINT" in one.get("Flags", ""),
        )
        for one in records
        if "ReservationName" in one
    ]


def nodes_by_state(partition: str) -> dict[str, int]:
    """Count a partition's nodes by sinfo's state names, such as `idle`, `mixed`, `drained`."""
    counts: dict[str, int] = {}
    for line in _output_lines(
        "sinfo", call(["sinfo", "--noheader", f"--partition={partition}", "--format=%D|%T"])
    ):
        number, _, state = line.strip().partition("|")
        word = state.rstrip("*~#!%$@^-+")
        counts[word] = counts.get(word, 0) + (int(number) if number.isdecimal() else 0)
    return counts


def excluded_nodes(job_id: str) -> str:
    """Return the excluded nodes of a job (`ExcNodeList=`) in Slurm's format."""
    text = "\n".join(
        _output_lines("scontrol", call(["scontrol", "show", "job", "--oneliner", job_id]))
    )
    match = re.search(r"\bExcNodeList=(\S+)", text)
    return match[1] if match and match[1] != "(null)" else ""


def _time_or_empty(time: str) -> str:
    return "" if time in ("N/A", "Unknown", "") else time


def _output_lines(command: str, answer: CommandResult) -> list[str]:
    if answer.code:
        raise NoAnswer(
            f"{command}: {answer.err.splitlines()[-1] if answer.err else 'failed'}",
            "try again later",
        )
    return answer.out.splitlines()
