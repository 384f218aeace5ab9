"""Run a small job on two nodes, or one, to check shared folder, clocks, Python and rendezvous."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from clusterrun.errors import ClusterError
from clusterrun.files.reading import read_text
from clusterrun.planning.preparation import Request
from clusterrun.planning.template_folders import template_folder
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.records import number, read_record, whole, write_whole
from clusterrun.run_status.control import cancel, run_status
from clusterrun.run_status.file_status import RunStatus
from clusterrun.site_checks.software import ASK
from clusterrun.submission.submitting import submit
from clusterrun.upkeep.cleaning import remove_run

NAME = "clusterrun-doctor"
_LOOK_SECONDS = 0.1
_ASK_SECONDS = 3.0  # between two queries to Slurm
_END_SECONDS = 30.0  # for the job's last records


@dataclass
class Exchange:
    """A file exchange with one node; times are Unix seconds of this machine's clock."""

    here: float
    pong: float | None = None
    clock: float | None = None
    """The node's clock when it saw our file."""

    @property
    def delay(self) -> float | None:
        """Seconds from our file to the answer."""
        return None if self.pong is None else self.pong - self.here

    @property
    def skew(self) -> float | None:
        """How far the node's clock is ahead, within half of the delay."""
        if self.pong is None or self.clock is None:
            return None
        return self.clock - (self.here + self.pong) / 2


@dataclass
class Visit:
    """The reports of one job on the nodes."""

    run_id: str
    folder: str
    state: str = ""
    reason: str = ""
    exchanges: dict[int, Exchange] = field(default_factory=dict)
    reports: dict[int, dict[str, str]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every node has reported everything."""
        counts = [whole(report.get("nodes")) for report in self.reports.values()]
        return bool(counts) and len(counts) >= (counts[0] or 1)


def visit_nodes(
    request: Request, timeout: float, report_progress: Callable[[str], None] = lambda _: None
) -> Visit:
    """Run the checks as a job and return the reports of the nodes.

    `request` gives profile, overrides and environment; `timeout` is in seconds, including
    the time in the queue. The job is cancelled after the timeout and at Ctrl-C; a completed run
    is removed. Raises SpecError for a mistake in the profile, ClusterError if Slurm refuses.
    """
    index = Index(request.environment)
    index.make()
    source = (
        index.folder / f"{NAME}.yaml"
    )  # a fixed path, so that an interrupted submission is continued
    write_whole(source, json.dumps(check_spec()))
    before = {run.run_id for run in index.all()}
    try:
        run = submit(replace(request, source=str(source)))
        report_progress(
            f"queued as job {run.job_id}; it is cancelled at Ctrl-C or after {timeout:g} s"
        )
        visit = _follow_run(run, time.monotonic() + timeout, report_progress)
    except BaseException:
        for visiting_run in index.all():
            if visiting_run.run_id.startswith(NAME) and visiting_run.run_id not in before:
                cancel(visiting_run.run_id, index)
        raise
    if visit.complete:
        remove_run(run, index)
    return visit


def check_spec() -> dict[str, object]:
    """Return the job spec of the checks; the profile has everything else."""
    script = (template_folder() / "doctor" / "node.sh").read_text(encoding="utf-8")
    versions = base64.b64encode(ASK.encode()).decode()
    return {
        "name": NAME,
        "command": f"doctor_versions={versions}\n{script}",
        "slurm": {"nodes": "1-2", "time": "10"},
        "requeue": {"on": []},
        "hang": False,
        "node_check": False,
        "notify": [],
    }


def _follow_run(run: RunRef, end: float, report_progress: Callable[[str], None]) -> Visit:
    visit = Visit(run.run_id, str(run.paths.folder))
    queried_at, state = time.monotonic(), None
    while not visit.complete:
        _answer_nodes(run, visit)
        if time.monotonic() - queried_at > _ASK_SECONDS:
            state, queried_at = _report_status(run, state, report_progress), time.monotonic()
            if state.state.final:
                _answer_nodes(run, visit)
                break
        if time.monotonic() > end:
            visit.state, visit.reason = "TIMEOUT", run_status(run).reason
            cancel(run.run_id)
            return visit
        time.sleep(_LOOK_SECONDS)
    return _wait_for_end(run, visit)


def _report_status(
    run: RunRef, before: RunStatus | None, report_progress: Callable[[str], None]
) -> RunStatus:
    now = run_status(run)
    if before is None or (now.state, now.reason) != (before.state, before.reason):
        report_progress(
            f"{now.state.value}{f' ({now.reason})' if now.reason not in ('', 'None') else ''}"
        )
    return now


def _wait_for_end(run: RunRef, visit: Visit) -> Visit:
    """Wait until the run has ended, so that nothing writes into its folder."""
    end = time.monotonic() + _END_SECONDS
    now = run_status(run)
    while not now.state.final and time.monotonic() < end:
        time.sleep(1)
        now = run_status(run)
    visit.state, visit.reason = now.state.value, now.reason
    return visit


def _answer_nodes(run: RunRef, visit: Visit) -> None:
    """Answer new nodes, and read their answers and reports."""
    folder = run.paths.folder / "output"
    for place in _list_files(folder):
        kind, _, name = place.name.partition("-")
        node = whole(name)
        if node is None:
            continue
        if kind == "here" and node not in visit.exchanges:
            visit.exchanges[node] = Exchange(time.time())
            write_whole(folder / f"ping-{node}", "")
        elif kind == "pong" and node in visit.exchanges and visit.exchanges[node].pong is None:
            visit.exchanges[node].pong = time.time()
            visit.exchanges[node].clock = number(read_text(place).strip())
        elif kind == "report" and node not in visit.reports:
            visit.reports[node] = read_record(place)


def _list_files(folder: Path) -> Sequence[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ClusterError(
            f"{folder}: {error.strerror}", "check that the run root still exists"
        ) from error
