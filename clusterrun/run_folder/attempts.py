"""Read a run's attempts from its records: when each ran, how it ended, and what that cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from clusterrun.run_folder.causes import Cause, meaning_of
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record, whole

_NO_END_RECORD = "node failure (no end record)"


@dataclass(frozen=True)
class Attempt:
    """One attempt of a run.

    Times are in seconds since the epoch, steps are optimizer steps; None if unknown.
    """

    number: int
    """Its number, starting from 1."""
    job_id: str
    """The job in which it ran."""
    nodes: str
    """The nodes on which it ran."""
    started_at: int | None
    """When its script started."""
    ended_at: int | None
    """When its script ended."""
    seconds: int | None
    """Its duration; None while it runs, or if its end was not recorded."""
    cause: str
    """The recorded cause of its end; empty while it runs."""
    summary: str
    """The cause in words."""
    resumed_from_step: int | None
    """The step from which it resumed."""
    last_step: int | None
    """The step that it reached; while it runs, its current step."""
    steps_lost: int | None
    """Steps that a later attempt had to repeat; None until one has resumed."""
    checkpoint: str
    """The checkpoint from which it resumed; empty at step 0, or if not reported yet."""
    exit_code: int | None
    """The exit code of its launch."""
    decision: str
    """What the job script decided: continue, by-slurm or end; empty while it runs."""
    script_edited: bool = False
    """Whether its training script has another text than in the attempt before it."""


def list_attempts(paths: RunPaths) -> list[Attempt]:
    """List the attempts of a run, oldest first."""
    names = paths.attempts()
    attempts = [_read_attempt(paths, name, last=name == names[-1]) for name in names]
    digests = [read_record(paths.script_digest(name)).get("sha256") for name in names]
    return [
        replace(
            one,
            steps_lost=_count_steps_lost(one, attempts[index + 1 :]),
            script_edited=_is_edited(digests[: index + 1]),
        )
        for index, one in enumerate(attempts)
    ]


def _is_edited(digests: Sequence[str | None]) -> bool:
    """Return whether the last known digest differs from the one before it."""
    *earlier, last = digests
    before = [one for one in earlier if one]
    return bool(last and before) and last != before[-1]


def describe_script_edits(attempts: Sequence[Attempt]) -> str:
    """Return between which attempts the training script was edited; empty if it was not."""
    edits = [f"{one.number - 1} and {one.number}" for one in attempts if one.script_edited]
    if not edits:
        return ""
    return f"the training script was edited between attempts {', '.join(edits)}"


def describe_end(end: Mapping[str, str]) -> str:
    """Describe how an attempt ended, from its end record."""
    cause = end.get("cause", "")
    code = end.get("exit_code", "?")
    words = meaning_of(cause).words
    words = f"{words} with exit code {code}" if cause == Cause.CRASH else words
    return f"{words}: {end['reason']}" if end.get("reason") else words


def _read_attempt(paths: RunPaths, name: str, *, last: bool) -> Attempt:
    begin, end, resumed = (
        read_record(path) for path in (paths.begin(name), paths.end(name), paths.resumed(name))
    )
    end_is_missing = not last and not end
    # an end record without an exit code was written by the next attempt
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
        cause=Cause.NODE_FAILURE.value if end_is_missing else end.get("cause", ""),
        summary=_NO_END_RECORD if end_is_missing else describe_end(end),
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
    """Return the step that an attempt reached: as its training process recorded, or `progress`."""
    if step_from is None:
        return None
    progress = read_record(paths.progress) if end is None else end
    steps = [whole(read_record(paths.trainer(name)).get("step")), whole(progress.get("step"))]
    known = [step for step in steps if step is not None]
    if not known:
        return step_from if end is None else None
    return max(step_from, known[0])  # `progress` may still be the previous attempt's


def _count_steps_lost(one: Attempt, later: list[Attempt]) -> int | None:
    if one.cause == Cause.FINISHED:
        return 0
    resume_step = next(
        (each.resumed_from_step for each in later if each.resumed_from_step is not None), None
    )
    if resume_step is None or one.last_step is None:
        return None
    return max(one.last_step - resume_step, 0)
