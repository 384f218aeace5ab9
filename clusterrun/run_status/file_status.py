"""The status of a run according to its own files."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from math import isfinite

from clusterrun.run_folder.attempts import describe_end
from clusterrun.run_folder.causes import Cause, meaning_of
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.job_ids import job_after, job_ids, read_job
from clusterrun.run_folder.metric_values import MetricValues, parse_metrics
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import number, read_record, whole
from clusterrun.slurm.states import State

TYPE_CHECKING = False  # importing `typing` adds 6 ms to each start
if TYPE_CHECKING:
    from typing import Any

# A cancellation is recorded before the final kill, and corrected if Slurm reports another cause.
_PROVISIONAL_SECONDS = 120.0


@dataclass(frozen=True)
class RunStatus:
    """The status of a run. Times are seconds since the epoch."""

    run_id: str
    """The id that commands take."""
    state: State
    """What the run is doing, or how it ended."""
    reason: str
    """Why it is in this state: Slurm's reason if pending, a request, or the cause of its end."""
    job_id: str
    """The Slurm id of its most recent job; `<array>_<task>` for a task of an array."""
    attempt: int
    """The current or most recent attempt; 0 before the first."""
    step: int | None
    """The number of optimizer steps done."""
    total_steps: int | None
    """The total number of optimizer steps."""
    loss: float | None
    """The last logged loss."""
    nodes: str
    """The nodes of the current or last attempt, as a Slurm node list."""
    exit_code: int | None
    """The exit code of the last launch; None while the run is active."""
    folder: str
    """The run folder."""
    job_ids: tuple[str, ...] = ()
    """All jobs of the run, oldest first; several after a `resume` or a successor job."""
    excluded_nodes: tuple[str, ...] = ()
    """The nodes that the next jobs of the run exclude, each with the reason."""
    tags: tuple[str, ...] = ()
    """The words of `slurm.comment`."""
    submitted_at: int | None = None
    """The time of the last submission."""
    time_limit_at: int | None = None
    """When the job reaches its time limit; None if it has none, or Slurm was not queried."""
    ended_at: int | None = None
    """When it ended, if that is recorded."""
    tasks: tuple[RunStatus, ...] = ()
    """The tasks of a job array, each a run of its own."""
    parameters: str = ""
    """The values of the spec's `parameters`, as `lr=3e-4 name=small`."""
    code: str = ""
    """The commit that it was submitted with, and what was not committed."""
    loss_not_finite_since: int | None = None
    """The step since which the logged losses are NaN or infinite; None if the last one is
    finite."""
    metrics: dict[str, MetricValues] = field(default_factory=dict)
    """The last and the best values by name: `loss`, and what the script logs."""

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        values["state"] = self.state.value
        values["metrics"] = {name: asdict(one) for name, one in self.metrics.items()}
        values["loss"] = (
            self.loss if self.loss is not None and isfinite(self.loss) else None
        )  # JSON has no NaN
        return {**values, "tasks": [task.as_dict() for task in self.tasks]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunStatus:
        """Create a status from the values of `as_dict`.

        Raises TypeError, ValueError or KeyError for values of another version.
        """
        lists = {key: tuple(values[key]) for key in ("job_ids", "excluded_nodes", "tags")}
        tasks = tuple(cls.from_dict(task) for task in values.get("tasks", ()))
        metrics = {name: MetricValues(**one) for name, one in values.get("metrics", {}).items()}
        others = {"state": State(values["state"]), "tasks": tasks, "metrics": metrics}
        return cls(**{**values, **lists, **others})


def unknown_status(run: RunRef, reason: str) -> RunStatus:
    """Return the status of a run whose state is unknown, with the reason."""
    folder = str(run.paths.folder)
    return RunStatus(
        run.run_id, State.UNKNOWN, reason, run.job_id, 0, None, None, None, "", None, folder
    )


def status_from_files(run: RunRef) -> RunStatus:
    """Return the status from the files: the recorded end, else RUNNING or PENDING."""
    last = _last_attempt(run)
    begin, end = (read_record(run.paths.begin(last)) if last else {}), last_end(run, last)
    waits = awaits_attempt(run, last)
    state = State.RUNNING if last and not waits else State.PENDING
    if end.get("next") == "end":
        state = State[meaning_of(end.get("cause", "")).state]
        if state is State.FAILED and run.paths.cancelled.exists():
            state = State.CANCELLED  # killed before the script could record that it was cancelled
    progress, intents = read_record(run.paths.progress), _read_intents(run)
    return RunStatus(
        run_id=run.run_id,
        state=state,
        reason=describe_end(end),
        job_id=_read_job_id(run, begin, waits=waits),
        attempt=int(last or 0),
        step=whole(progress.get("step")),
        total_steps=whole(progress.get("total")),
        loss=number(progress.get("loss")),
        nodes="" if waits else begin.get("nodes", ""),
        exit_code=whole(end.get("exit_code")),
        folder=str(run.paths.folder),
        job_ids=job_ids(run.paths),
        excluded_nodes=_list_excluded_nodes(run),
        tags=tuple(_first_value(intents, "comment").replace(",", " ").split()),
        parameters=_first_value(intents, "parameters"),
        code=_first_value(intents, "code"),
        submitted_at=whole(read_record(run.paths.job).get("submitted")),
        ended_at=whole(end.get("ended")) if state.final else None,
        loss_not_finite_since=whole(progress.get("loss_not_finite_since")),
        metrics=parse_metrics(progress),
    )


def _read_intents(run: RunRef) -> list[dict[str, str]]:
    """Return the record of the run's submission, and that of the array of a task."""
    above = [RunPaths(run.paths.folder.parent)] if run.paths.folder.name.startswith("task-") else []
    return [read_record(paths.intent) for paths in (run.paths, *above)]


def _first_value(records: Sequence[Mapping[str, str]], key: str) -> str:
    return next((record[key] for record in records if record.get(key)), "")


def last_end(run: RunRef, last: str | None = None) -> Mapping[str, str]:
    """Return the last attempt's end record; empty while it is running or after a `resume`."""
    last = _last_attempt(run) if last is None else last
    return read_record(run.paths.end(last)) if last and not awaits_attempt(run, last) else {}


def awaits_attempt(run: RunRef, last: str | None = None) -> bool:
    """Return whether the run was resumed and the next attempt has not started."""
    last = _last_attempt(run) if last is None else last
    return bool(last) and read_record(run.paths.intent).get("after") == last


def is_over(known: RunStatus, run: RunRef) -> bool:
    """Return whether the recorded end can no longer be corrected."""
    end = last_end(run, f"{known.attempt:04d}" if known.attempt else "")
    ended = whole(end.get("ended"))
    fresh = (
        end.get("cause") == Cause.CANCEL
        and ended is not None
        and time.time() - ended < _PROVISIONAL_SECONDS
    )
    return known.state.final and not fresh


def is_local(run: RunRef) -> bool:
    """Return whether a run is local, without Slurm."""
    return read_record(run.paths.job).get("local") == "1"


def _list_excluded_nodes(run: RunRef) -> tuple[str, ...]:
    records = [(path.name, read_record(path)) for path in sorted(run.paths.nodes.glob("*"))]
    return tuple(
        f"{name} ({values.get('reason', '')})"
        for name, values in records
        if (whole(values.get("until")) or 0) > time.time()
    )


def _last_attempt(run: RunRef) -> str:
    return (run.paths.attempts() or [""])[-1]


def _read_job_id(run: RunRef, begin: Mapping[str, str], *, waits: bool) -> str:
    if begin and not waits and (job_id := job_after(run.paths, _last_attempt(run))):
        return job_id
    intent, handed = read_record(run.paths.intent), read_record(run.paths.job)
    if intent and handed.get("number") != intent.get("number"):
        return ""  # the recorded job is from before the last `resume`
    return read_job(run.paths.job) or run.job_id
