"""Read a run's attempts from its records: when each ran, how it ended, and what that cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from clusterrun.run_folder.causes import Cause, meaning_of
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record, whole

_NO_END_RECORD = "node failure (it never said how it ended)"


@dataclass(frozen=True)
class Attempt:
    """One attempt of a run.

    Times are in seconds since the epoch, steps are optimizer steps; None if unknown.
    """

    number: int
    """From 1 on."""
    job_id: str
    """The job it ran in."""
    nodes: str
    """Where it ran."""
    started_at: int | None
    """When its script began."""
    ended_at: int | None
    """When its script ended."""
    seconds: int | None
    """How long it lasted; None while it runs, and where it never said that it ended."""
    cause: str
    """The protocol's word for how it ended; empty while it runs."""
    summary: str
    """The same for people."""
    resumed_from_step: int | None
    """The step it went on from."""
    last_step: int | None
    """The step it reached; of one that runs, the step it is at."""
    steps_lost: int | None
    """Steps that a later attempt had to train again; None until one has resumed."""
    checkpoint: str
    """What it went on from; empty where it began at step 0, or has not said yet."""
    exit_code: int | None
    """Of its launch."""
    decision: str
    """What the script decided: continue, by-slurm or end; empty while it runs."""


def list_attempts(paths: RunPaths) -> list[Attempt]:
    """List the attempts of a run, oldest first."""
    names = paths.attempts()
    found = [_read_attempt(paths, name, last=name == names[-1]) for name in names]
    return [
        replace(one, steps_lost=_count_steps_lost(one, found[index + 1 :]))
        for index, one in enumerate(found)
    ]


def describe_end(end: Mapping[str, str]) -> str:
    """Say for people how an attempt ended, from the record that it wrote."""
    cause = end.get("cause", "")
    code = end.get("exit_code", "?")
    words = meaning_of(cause).words
    words = f"{words} with exit code {code}" if cause == Cause.CRASH else words
    return f"{words}: {end['reason']}" if end.get("reason") else words


def _read_attempt(paths: RunPaths, name: str, *, last: bool) -> Attempt:
    begin, end, resumed = (
        read_record(path) for path in (paths.begin(name), paths.end(name), paths.resumed(name))
    )
    silent = not last and not end
    # an end without an exit code was written by the attempt after it
    began, ended = (
        whole(begin.get("began")),
        whole(end.get("ended")) if "exit_code" in end else None,
    )
    step_from = whole(resumed.get("step")) if resumed.get("state") == "resumed" else None
    return Attempt(
        number=int(name),
        job_id=begin.get("job_id", ""),
        nodes=begin.get("nodes", ""),
        started_at=began,
        ended_at=ended,
        seconds=None if began is None or ended is None else max(ended - began, 0),
        cause=Cause.NODE_FAILURE.value if silent else end.get("cause", ""),
        summary=_NO_END_RECORD if silent else describe_end(end),
        resumed_from_step=step_from,
        last_step=_find_step_reached(paths, name, end if end or not last else None, step_from),
        steps_lost=None,
        checkpoint=resumed.get("checkpoint", ""),
        exit_code=whole(end.get("exit_code")),
        decision=end.get("next", ""),
    )


def _find_step_reached(
    paths: RunPaths, name: str, end: Mapping[str, str] | None, step_from: int | None
) -> int | None:
    """Find the step that an attempt reached: its trainer's record, else `progress` at its end."""
    if step_from is None:
        return None
    shown = read_record(paths.progress) if end is None else end
    steps = [whole(read_record(paths.trainer(name)).get("step")), whole(shown.get("step"))]
    known = [step for step in steps if step is not None]
    if not known:
        return step_from if end is None else None
    return max(step_from, known[0])  # `progress` may still show the attempt before


def _count_steps_lost(one: Attempt, later: list[Attempt]) -> int | None:
    if one.cause == Cause.FINISHED:
        return 0
    resumed = next(
        (attempt.resumed_from_step for attempt in later if attempt.resumed_from_step is not None),
        None,
    )
    if resumed is None or one.last_step is None:
        return None
    return max(one.last_step - resumed, 0)
