"""Why an attempt ended: the cause that it recorded, and what its log says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from clusterrun.diagnosis.answer import FirstFailure, Stopped
from clusterrun.diagnosis.findings import first_failure, ranks_that_said
from clusterrun.diagnosis.log_tail import Tail, read_tail
from clusterrun.diagnosis.stacks import places
from clusterrun.run_folder.attempts import Attempt
from clusterrun.run_folder.causes import Cause, meaning_of
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record, whole
from clusterrun.run_logs.attribution import attributed
from clusterrun.run_logs.ranks import Ranks, ranks_of, spans

_LOG_TELLS = (Cause.CRASH, Cause.HANG, Cause.FAILED_START, Cause.UNKNOWN, "")


def why_stopped(paths: RunPaths, attempt: Attempt) -> Stopped:
    """Say why an attempt ended; the log is read where the cause alone does not say it."""
    meaning = meaning_of(attempt.cause)
    answer = Stopped(attempt.number, attempt.cause, attempt.words, meaning.means, meaning.fix)
    if attempt.cause not in _LOG_TELLS:
        return answer
    log = paths.log(f"{attempt.number:04d}")
    tail = _tail(log)
    if tail is None:
        return answer
    failure = failure_of(log, tail)
    if failure is None or failure.kind == "killed":
        failure = _known_to_slurm(paths, attempt, failure) or failure
    if failure is not None:
        failure = _placed(failure, paths, attempt.number)
        failure = _without_the_silent(failure, tail, ranks_of(paths, attempt.number))
    elif attempt.cause == Cause.CRASH:
        answer = replace(
            answer, do=f"the log names no error that is known here: look at the end of {log}"
        )
    stood = tuple(places(attributed(tail.text.split("\n")))) if attempt.cause == Cause.HANG else ()
    return replace(
        answer,
        failure=failure if attempt.cause != Cause.HANG or failure is None or not stood else None,
        places=stood,
    )


def _known_to_slurm(
    paths: RunPaths, attempt: Attempt, failure: FirstFailure | None
) -> FirstFailure | None:
    """Slurm may say in its own file why a process was killed: the memory of the job was used up."""
    log = paths.logs / f"slurm-{attempt.job_id}.out"
    tail = _tail(log)
    found = failure_of(log, tail) if tail else None
    if found is None or found.kind != "host-out-of-memory":
        return None
    return found if failure is None else replace(found, rank=failure.rank, node=failure.node)


def failure_of(log: Path, tail: Tail) -> FirstFailure | None:
    """Find the failure that came first in the end of a log."""
    found = first_failure(tail.text)
    if found is None:
        return None
    number = None if tail.first is None else tail.first + found.number - 1
    return FirstFailure(
        found.failure.name,
        found.failure.means,
        found.failure.do,
        found.line,
        found.rank,
        found.node,
        found.exit_code,
        str(log),
        number,
        tail.skipped,
    )


def _without_the_silent(failure: FirstFailure, tail: Tail, ranks: Ranks) -> FirstFailure:
    """Of ranks that waited for others in vain, name the others: those that do not say so."""
    if failure.kind not in ("nccl-time-out", "collective-time-out") or not ranks.per_node:
        return failure
    waited = ranks_that_said(tail.text, failure.kind)
    others = sorted(set(range(ranks.per_node * len(ranks.nodes))) - waited)
    if not others or not waited:
        return failure
    return replace(failure, do=f"{failure.do}; ranks that do not say it: {spans(others)}")


def _placed(failure: FirstFailure, paths: RunPaths, attempt: int) -> FirstFailure:
    """Name the node: by the rank, else by the task that ended first in its own right."""
    node = ranks_of(paths, attempt).node_of(failure.rank) or failure.node
    return replace(failure, node=node or _first_node(paths, attempt))


def _first_node(paths: RunPaths, attempt: int) -> str:
    """Return the node whose task failed first; empty where several did in the same second."""
    records = [read_record(path) for path in paths.events.glob(f"attempt-{attempt:04d}.node-*")]
    failed = [
        one
        for one in records
        if one.get("exit_code") != "0" and not one.get("asked") and not one.get("followed")
    ]
    ends = sorted(
        (whole(one.get("ended")) or 0, one.get("name") or one.get("node", "")) for one in failed
    )
    if not ends or (len(ends) > 1 and ends[0][0] == ends[1][0]):
        return ""
    return ends[0][1]


def _tail(log: Path) -> Tail | None:
    try:
        return read_tail(log)
    except OSError:
        return None
