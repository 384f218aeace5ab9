"""Why an attempt ended, from its recorded cause and its log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from clusterrun.diagnosis.answer import FirstFailure, Stopped
from clusterrun.diagnosis.findings import first_failure, ranks_with_failure
from clusterrun.diagnosis.log_tail import Tail, read_tail
from clusterrun.diagnosis.stacks import read_hang_locations
from clusterrun.run_folder.attempts import Attempt
from clusterrun.run_folder.causes import Cause, meaning_of
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record, whole
from clusterrun.run_logs.attribution import attribute_lines
from clusterrun.run_logs.ranks import Ranks, format_ranges, read_ranks

_CAUSES_IN_LOG = (Cause.CRASH, Cause.HANG, Cause.FAILED_START, Cause.UNKNOWN, "")


def why_stopped(paths: RunPaths, attempt: Attempt) -> Stopped:
    """Return why an attempt ended; read the log if the cause alone does not explain it."""
    meaning = meaning_of(attempt.cause)
    answer = Stopped(attempt.number, attempt.cause, attempt.summary, meaning.means, meaning.fix)
    if attempt.cause not in _CAUSES_IN_LOG:
        return answer
    log = paths.log(f"{attempt.number:04d}")
    tail = _read_tail_if_any(log)
    if tail is None:
        return answer
    failure = find_failure(log, tail)
    if failure is None or failure.kind == "killed":
        failure = _find_slurm_failure(paths, attempt, failure) or failure
    if failure is not None:
        failure = _locate_failure(failure, paths, attempt.number)
        failure = _name_absent_ranks(failure, tail, read_ranks(paths, attempt.number))
    elif attempt.cause == Cause.CRASH:
        answer = replace(answer, fix=f"the log shows no known error: look at the end of {log}")
    locations = (
        tuple(read_hang_locations(attribute_lines(tail.text.split("\n"))))
        if attempt.cause == Cause.HANG
        else ()
    )
    return replace(
        answer,
        failure=failure
        if attempt.cause != Cause.HANG or failure is None or not locations
        else None,
        hang_locations=locations,
    )


def _find_slurm_failure(
    paths: RunPaths, attempt: Attempt, failure: FirstFailure | None
) -> FirstFailure | None:
    """Find an out-of-memory kill in Slurm's own log."""
    log = paths.logs / f"slurm-{attempt.job_id}.out"
    tail = _read_tail_if_any(log)
    first = find_failure(log, tail) if tail else None
    if first is None or first.kind != "host-out-of-memory":
        return None
    return first if failure is None else replace(first, rank=failure.rank, node=failure.node)


def find_failure(log: Path, tail: Tail) -> FirstFailure | None:
    """Find the first failure in the end of a log."""
    failure = first_failure(tail.text)
    if failure is None:
        return None
    number = None if tail.first is None else tail.first + failure.number - 1
    return FirstFailure(
        failure.failure.name,
        failure.failure.meaning,
        failure.failure.fix,
        failure.line,
        failure.rank,
        failure.node,
        failure.exit_code,
        str(log),
        number,
        tail.skipped,
    )


def _name_absent_ranks(failure: FirstFailure, tail: Tail, ranks: Ranks) -> FirstFailure:
    """Name the ranks that the others waited for: those that report no timeout."""
    if failure.kind not in ("nccl-time-out", "collective-time-out") or not ranks.per_node:
        return failure
    waited = ranks_with_failure(tail.text, failure.kind)
    others = sorted(set(range(ranks.per_node * len(ranks.nodes))) - waited)
    if not others or not waited:
        return failure
    return replace(
        failure, fix=f"{failure.fix}; ranks that do not report it: {format_ranges(others)}"
    )


def _locate_failure(failure: FirstFailure, paths: RunPaths, attempt: int) -> FirstFailure:
    """Add the node of the rank, or of the task that failed first."""
    node = read_ranks(paths, attempt).node_of(failure.rank) or failure.node
    return replace(failure, node=node or _find_first_failed_node(paths, attempt))


# Keys of a task that did not fail by itself; the last two are those of 0.1.0.
_NOT_BY_ITSELF = ("stop_request", "another_node_failed", "asked", "followed")


def _find_first_failed_node(paths: RunPaths, attempt: int) -> str:
    """Return the node whose task failed first; empty if several did in the same second."""
    records = [read_record(path) for path in paths.events.glob(f"attempt-{attempt:04d}.node-*")]
    failed = [
        one
        for one in records
        if one.get("exit_code") != "0" and not any(map(one.get, _NOT_BY_ITSELF))
    ]
    ends = sorted(
        (whole(one.get("ended")) or 0, one.get("name") or one.get("node", "")) for one in failed
    )
    if not ends or (len(ends) > 1 and ends[0][0] == ends[1][0]):
        return ""
    return ends[0][1]


def _read_tail_if_any(log: Path) -> Tail | None:
    try:
        return read_tail(log)
    except OSError:
        return None
