"""The report of a run: its numbers, its curves, its files."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from clusterrun.errors import ClusterError, Problem, SpecError
from clusterrun.files.reading import read_text
from clusterrun.job_spec import gpus
from clusterrun.reporting.goodput import (
    AttemptTimeline,
    TimeSplit,
    make_timelines,
    measure_waiting,
    total_split,
)
from clusterrun.run_folder.array_members import refuse_array
from clusterrun.run_folder.attempts import Attempt, list_attempts
from clusterrun.run_folder.index import Index, describe_closed_folder
from clusterrun.run_folder.metrics import Metrics, Point, join_points, read_metrics
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record
from clusterrun.run_folder.saved_spec import read_saved_spec, section_of
from clusterrun.run_status.current import run_status
from clusterrun.run_status.file_status import RunStatus
from clusterrun.run_status.named_run import find_run
from clusterrun.slurm.node_lists import count_nodes


@dataclass(frozen=True)
class Hours:
    """Hours of machines, and how many of them were not productive training."""

    used: float
    """The total of all attempts."""
    wasted: float | None
    """None if unknown, for a script that does not use clusterrun.training."""


@dataclass(frozen=True)
class RunReport:
    """The report of a run; see goodput.py for the parts of its time."""

    status: RunStatus
    """The status of the run."""
    attempts: tuple[Attempt, ...]
    """The attempts, oldest first."""
    timeline: tuple[AttemptTimeline, ...]
    """The timeline of each attempt."""
    time_split: TimeSplit
    """The parts of the time, in seconds, and the effective training time ratio
    (ETTR)."""
    submissions: tuple[tuple[float, int], ...]
    """The time of each submission, in seconds since the epoch, and the last attempt before it."""
    node_hours: Hours
    """Hours of whole nodes."""
    gpu_hours: Hours | None
    """None for a run without GPUs."""
    samples_per_second: float | None
    """Samples per second during training; the median."""
    curve: tuple[Point, ...] = field(repr=False)
    """The points of the loss curve, without steps that were trained again."""
    measures: tuple[Metrics, ...] = field(repr=False)
    """The measurements of each attempt: its first step, its stalls, and its exit."""
    spec: str = field(repr=False)
    """The resolved spec."""
    script: str = field(repr=False)
    """The sbatch script."""

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON, without the curves and the files."""
        split = {
            **asdict(self.time_split),
            "wall": self.time_split.wall,
            "allocated": self.time_split.allocated,
        }
        return {
            "status": self.status.as_dict(),
            "ettr": self.time_split.ettr,
            "time_split": split,
            "node_hours": asdict(self.node_hours),
            "gpu_hours": self.gpu_hours and asdict(self.gpu_hours),
            "samples_per_second": self.samples_per_second,
            "attempts": [asdict(one) for one in self.attempts],
            "timeline": [asdict(one) for one in self.timeline],
        }


def report(name: str, index: Index | None = None) -> RunReport:
    """Return the report of a run; `name` is as for `status`.

    Raises SpecError if no run has this name or it is an array, whose tasks are runs; ClusterError
    for another user's run.
    """
    run = find_run(name, index)
    status = run_status(run)
    if status.tasks:
        what, hint = refuse_array(run, "report")
        hint += f"; `clusterrun report {run.run_id} --html FILE` writes a page of all"
        raise SpecError([Problem("", "", what, hint)])
    try:
        return _build_report(run.paths, status)
    except PermissionError as error:
        raise ClusterError(*describe_closed_folder(run.paths.folder)) from error


def is_array(name: str, index: Index | None = None) -> bool:
    """Return whether a name is that of a job array or a sweep, whose tasks are runs."""
    return bool(read_record(find_run(name, index).paths.intent).get("array"))


def _build_report(paths: RunPaths, status: RunStatus) -> RunReport:
    attempts = list_attempts(paths)
    measures = [read_metrics(paths, f"{one.number:04d}") for one in attempts]
    submissions = _read_submissions(paths)
    until = None if status.state.final else time.time()
    timeline = make_timelines(attempts, measures, submissions, until)
    current_wait = measure_waiting(timeline, submissions, until)
    points = join_points(measures)
    rates = sorted(point.rate for point in points if point.rate)
    options = _read_slurm_options(paths)
    nodes = {one.number: count_nodes(one.nodes) for one in attempts}
    gpus = {number: count_gpus(options, count) for number, count in nodes.items()}
    return RunReport(
        status=status,
        attempts=tuple(attempts),
        timeline=tuple(timeline),
        time_split=total_split(timeline, current_wait),
        submissions=tuple(submissions),
        node_hours=machine_hours(timeline, nodes),
        gpu_hours=machine_hours(timeline, gpus) if any(gpus.values()) else None,
        samples_per_second=rates[len(rates) // 2] if rates else None,
        curve=tuple(points),
        measures=tuple(measures),
        spec=_read_text(paths, "source.yaml"),
        script=_read_text(paths, "job.sbatch"),
    )


def write_page(path: Path, text: str) -> None:
    """Write a report's page. Raises ClusterError if the file cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ClusterError(
            f"cannot write {path}: {error.strerror}", "use another file for --html"
        ) from error


def machine_hours(timeline: list[AttemptTimeline], machines: Mapping[int, int]) -> Hours:
    """Return the machine hours, where attempt N had `machines[N]` machines."""
    used = sum(one.time_split.allocated * machines.get(one.number, 0) for one in timeline)
    good = sum(one.time_split.productive * machines.get(one.number, 0) for one in timeline)
    known = not any(one.time_split.unknown for one in timeline)
    return Hours(used / 3600, (used - good) / 3600 if known else None)


def count_gpus(slurm: Mapping[str, Any], nodes: int) -> int:
    """Return the number of GPUs of a job on its nodes, from the options of its spec (sbatch(1))."""
    try:
        return gpus.count_per_node(slurm, nodes) * nodes
    except ValueError:
        return 0


def _read_submissions(paths: RunPaths) -> list[tuple[float, int]]:
    """Return the time of each submission; empty for a script that was piped into sbatch."""
    intents = [read_record(RunPaths(folder).intent) for folder in _candidate_folders(paths)]
    submissions = []
    for word in next((intent["asked"] for intent in intents if intent.get("asked")), "").split():
        moment, _, after = word.partition(":")
        if moment.isdecimal():
            submissions.append((float(moment), int(after) if after.isdecimal() else 0))
    return submissions


def _read_slurm_options(paths: RunPaths) -> Mapping[str, Any]:
    return next(
        filter(
            None, (section_of(read_saved_spec(one), "slurm") for one in _candidate_folders(paths))
        ),
        {},
    )


def _candidate_folders(paths: RunPaths) -> list[Path]:
    """Return the folders that may contain a run's files: its own, and that of a task's array."""
    return [paths.folder, *([paths.folder.parent] if paths.folder.name.startswith("task-") else [])]


def _read_text(paths: RunPaths, name: str) -> str:
    """Return the text of a file of the run or its array; empty if the file is missing."""
    places = [folder / name for folder in _candidate_folders(paths)]
    return next(
        (read_text(place, errors="replace") for place in places if place.is_file()),
        "",
    )
