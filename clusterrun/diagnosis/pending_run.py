"""Why a run is pending: Slurm's reason and the details that explain it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from clusterrun.diagnosis.answer import Waiting
from clusterrun.diagnosis.reason_text import explain_reason
from clusterrun.errors import ClusterError
from clusterrun.run_status.file_status import RunStatus
from clusterrun.slurm.node_lists import node_names
from clusterrun.slurm.pending import (
    PartitionLimits,
    PendingJob,
    excluded_nodes,
    jobs_ahead,
    nodes_by_state,
    partition_limits,
    pending_job,
    reservations,
)
from clusterrun.slurm.queue import NO_REASON

_ABOUT_NODES = (
    "Resources",
    "ReqNodeNotAvail",
    "Nodes required",
    "NodeDown",
    "BadConstraints",
    "PartitionNodeLimit",
    "Priority",
)
_MOST_RESERVATIONS = 5
_Found = TypeVar("_Found")
_UP = ("idle", "mixed", "allocated", "completing", "planned")


def why_waiting(status: RunStatus) -> Waiting:
    """Explain why a run is pending, or that Slurm is not responding."""
    if not status.job_id:
        return Waiting(
            "",
            status.reason,
            f"run `clusterrun resume {status.run_id}`, or `clusterrun submit` again",
            temporary=False,
            expected_start="",
            jobs_ahead=None,
        )
    try:
        job = pending_job(status.job_id)
    except ClusterError as error:
        return Waiting(
            "", error.what, error.hint, temporary=True, expected_start="", jobs_ahead=None
        )
    if job is None or job.state != "PENDING":
        return Waiting(
            "",
            status.reason or "it is between two attempts",
            "check again in a minute",
            temporary=True,
            expected_start="",
            jobs_ahead=None,
        )
    return _explain_job(status, job)


def _explain_job(status: RunStatus, job: PendingJob) -> Waiting:
    explanation = explain_reason(job.reason)
    means = explanation.meaning
    if explanation.code.startswith("BeginTime") and status.attempt:
        means = (
            "a requeued job waits for Slurm's requeue delay (slurm.conf's cred_expire, 120 s by "
            "default) or for its pause after a crash"
        )
    names = {"job": job.job_id, "partition": job.partition, "run": status.run_id}
    facts, ahead = list(_collect_facts(status, job)), None
    if explanation.code in ("Priority", "Resources") and job.priority is not None:
        ahead = _query_or_none(lambda: jobs_ahead(job.partition, job.priority or 0))
    return Waiting(
        "" if explanation.code == NO_REASON else explanation.code,
        _fill_placeholders(means, names),
        _fill_placeholders(explanation.fix, names),
        explanation.temporary,
        job.start,
        ahead,
        tuple(facts),
    )


def _fill_placeholders(text: str, names: dict[str, str]) -> str:
    return re.sub(r"\{(job|partition|run)\}", lambda name: names[name[1]], text)


def _query_or_none(question: Callable[[], _Found]) -> _Found | None:
    """Return what Slurm reports; None if it is not responding, as the reason is known anyway."""
    try:
        return question()
    except ClusterError:
        return None


def _collect_facts(status: RunStatus, job: PendingJob) -> Iterator[str]:
    """Yield the details of a reason, in numbers."""
    if job.dependency:
        yield f"it depends on {job.dependency}"
    if job.reason.startswith("Partition"):
        limits = _query_or_none(lambda: partition_limits(job.partition))
        if limits:
            yield _describe_limits(limits, job)
    if job.reason.replace("_", " ").startswith(_ABOUT_NODES):
        yield from _describe_nodes(status, job)
    if job.reason.startswith(("ReqNodeNotAvail", "Reservation")):
        yield from _describe_reservations()


def _describe_limits(limits: PartitionLimits, job: PendingJob) -> str:
    return (
        f"partition {job.partition}: state {limits.state}, at most {limits.max_time} and "
        f"{limits.max_nodes} of {limits.total_nodes} nodes; it requests {job.time_limit} and "
        f"{job.nodes} nodes"
    )


def _describe_reservations() -> Iterator[str]:
    for one in (_query_or_none(reservations) or [])[:_MOST_RESERVATIONS]:
        what = " (maintenance)" if one.maintenance else ""
        yield f"reservation {one.name}{what} has {one.nodes} from {one.start} to {one.end}"


def _describe_nodes(status: RunStatus, job: PendingJob) -> Iterator[str]:
    states = _query_or_none(lambda: nodes_by_state(job.partition))
    if not states:
        return
    words = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    yield f"it requests {job.nodes} of the {sum(states.values())} nodes of {job.partition}: {words}"
    if not status.excluded_nodes:
        return
    excluded = node_names(_query_or_none(lambda: excluded_nodes(job.job_id)) or "")
    up = sum(number for state, number in states.items() if state.startswith(_UP))
    least = re.match(r"\d+", job.nodes)
    if least and up - len(excluded) < int(least[0]):
        yield (
            f"the job excludes {', '.join(status.excluded_nodes)}, which leaves too few nodes. "
            "To use them again, remove their files from nodes/ in the run folder, "
            "stop the run and resume it"
        )
    else:
        yield f"excluded nodes: {', '.join(status.excluded_nodes)}"
