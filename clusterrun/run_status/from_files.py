"""What the files of a run say of its state, before anybody asks Slurm."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import isfinite

from clusterrun.run_folder.attempts import describe_end
from clusterrun.run_folder.causes import meaning_of
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.job_ids import job_after, job_ids, read_job
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import number, read_record, whole
from clusterrun.slurm.states import State

TYPE_CHECKING = False  # importing `typing` costs a start 6 ms
if TYPE_CHECKING:
    from typing import Any


@dataclass(frozen=True)
class RunStatus:
    """What is known of a run. Times are seconds since the epoch."""

    run_id: str
    """What commands take."""
    state: State
    """What it does, or how it ended."""
    reason: str
    """Why it is in this state: Slurm's reason while it waits, the cause of its end in words."""
    job_id: str
    """Slurm's id of its last job; of a task `<array>_<task>`."""
    attempt: int
    """The attempt that runs, or ran last; 0 before the first."""
    step: int | None
    """The last optimizer step."""
    total: int | None
    """The last step of the training."""
    loss: float | None
    """The last that was told."""
    nodes: str
    """Where it runs, or ran last, as Slurm writes lists of nodes."""
    exit_code: int | None
    """Of the launch that ended it."""
    folder: str
    """The run folder."""
    job_ids: tuple[str, ...] = ()
    """All jobs of the run, oldest first: more than one after a `resume`, and where a successor went on."""
    avoids: tuple[str, ...] = ()
    """Nodes that the run's next jobs leave out, each with the reason."""
    tags: tuple[str, ...] = ()
    """The words of `slurm.comment`."""
    submitted: int | None = None
    """When it was handed over to Slurm last."""
    ends: int | None = None
    """When the time limit ends its job; None where Slurm was not asked, or there is none."""
    ended: int | None = None
    """When it ended, where it wrote that down."""
    tasks: tuple[RunStatus, ...] = ()
    """Of a job array, its tasks, which are runs of their own."""

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["state"] = self.state.value
        values["loss"] = (
            self.loss if self.loss is not None and isfinite(self.loss) else None
        )  # JSON has no NaN
        return {**values, "tasks": [task.as_dict() for task in self.tasks]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunStatus:
        """Make a status of what `as_dict` returned. Raises TypeError, ValueError or KeyError for another version's."""
        lists = {key: tuple(values[key]) for key in ("job_ids", "avoids", "tags")}
        tasks = tuple(cls.from_dict(task) for task in values.get("tasks", ()))
        return cls(**{**values, **lists, "state": State(values["state"]), "tasks": tasks})


def unseen(run: RunRef, reason: str) -> RunStatus:
    """Say that nothing is known of a run, and why."""
    folder = str(run.paths.folder)
    return RunStatus(
        run.run_id, State.NO_ANSWER, reason, run.job_id, 0, None, None, None, "", None, folder
    )


def from_files(run: RunRef) -> RunStatus:
    """Say what the files tell: the end where there is one, else RUNNING after the first beginning, PENDING before."""
    last = _last(run)
    begin, end = (read_record(run.paths.begin(last)) if last else {}), last_end(run, last)
    waits = awaited(run, last)
    state = State.RUNNING if last and not waits else State.PENDING
    if end.get("next") == "end":
        state = State[meaning_of(end.get("cause", "")).state]
        if state is State.FAILED and run.paths.cancelled.exists():
            state = (
                State.CANCELLED
            )  # the final kill came before the script could tell it from a fault
    progress = read_record(run.paths.progress)
    return RunStatus(
        run_id=run.run_id,
        state=state,
        reason=describe_end(end),
        job_id=_job_id(run, begin, waits=waits),
        attempt=int(last or 0),
        step=whole(progress.get("step")),
        total=whole(progress.get("total")),
        loss=number(progress.get("loss")),
        nodes="" if waits else begin.get("nodes", ""),
        exit_code=whole(end.get("exit_code")),
        folder=str(run.paths.folder),
        job_ids=job_ids(run.paths),
        avoids=_avoided(run),
        tags=tags_of(run),
        submitted=whole(read_record(run.paths.job).get("submitted")),
        ended=whole(end.get("ended")) if state.final else None,
    )


def tags_of(run: RunRef) -> tuple[str, ...]:
    """Return the words of the run's `slurm.comment`; of a task, those of its array."""
    intents = [run.paths.intent, RunPaths(run.paths.folder.parent).intent]
    comment = next(
        (found["comment"] for path in intents if (found := read_record(path)).get("comment")), ""
    )
    return tuple(comment.replace(",", " ").split())


def last_end(run: RunRef, last: str | None = None) -> Mapping[str, str]:
    """Return the end that the last attempt wrote; empty while it runs, and after a `resume` until the next begins."""
    last = _last(run) if last is None else last
    return read_record(run.paths.end(last)) if last and not awaited(run, last) else {}


def awaited(run: RunRef, last: str | None = None) -> bool:
    """Say whether a person resumed the run after its last attempt, and the next has not begun."""
    last = _last(run) if last is None else last
    return bool(last) and read_record(run.paths.intent).get("after") == last


def _avoided(run: RunRef) -> tuple[str, ...]:
    found = [(path.name, read_record(path)) for path in sorted(run.paths.nodes.glob("*"))]
    return tuple(
        f"{name} ({values.get('reason', '')})"
        for name, values in found
        if (whole(values.get("until")) or 0) > time.time()
    )


def _last(run: RunRef) -> str:
    return (run.paths.attempts() or [""])[-1]


def _job_id(run: RunRef, begin: Mapping[str, str], *, waits: bool) -> str:
    if begin and not waits and (job_id := job_after(run.paths, _last(run))):
        return job_id
    intent, handed = read_record(run.paths.intent), read_record(run.paths.job)
    if intent and handed.get("number") != intent.get("number"):
        return ""  # what was handed over before the last `resume` is another job
    return read_job(run.paths.job) or run.job_id
