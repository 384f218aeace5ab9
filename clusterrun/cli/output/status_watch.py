"""`clusterrun status --watch`: a screen that is updated, or in a pipe one line per change."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from clusterrun.cli.output.printed_json import print_json
from clusterrun.cli.output.runs_table import format_runs
from clusterrun.cli.output.screen import format_columns, is_terminal, live_display
from clusterrun.cli.output.status_text import (
    HEADINGS,
    attempt_row,
    complete_status,
    format_status,
    format_status_line,
)
from clusterrun.run_folder.attempts import list_attempts
from clusterrun.run_folder.index import Index
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_status.file_status import RunStatus
from clusterrun.run_status.forecast import outlook
from clusterrun.run_status.named_run import find_run
from clusterrun.run_status.polling import poll_active_runs, poll_run

TYPE_CHECKING = False  # importing `typing` adds 6 ms to each start
if TYPE_CHECKING:
    from clusterrun.run_status.sweep_members import Row

_POLL_S = 2.0  # between two reads of the run folders
_STEP_LINES_EVERY_S = 60.0  # seconds between two lines that differ only in the step


def watch(name: str | None, *, as_json: bool, rows_of: Callable[[RunStatus], list[Row]]) -> int:
    """Show a run until it ends, or all active runs until none is left, or until Ctrl-C."""
    index = Index()
    run = find_run(name, index) if name is not None else None

    def read_statuses() -> list[RunStatus]:
        return [poll_run(run, index)] if run else poll_active_runs(index)

    try:
        if is_terminal() and not as_json:
            _watch_on_terminal(read_statuses, rows_of)
        else:
            _watch_in_lines(read_statuses, as_json=as_json)
    except KeyboardInterrupt:
        print(file=sys.stderr)
    return 0


def _watch_on_terminal(
    read_statuses: Callable[[], list[RunStatus]], rows_of: Callable[[RunStatus], list[Row]]
) -> None:
    with live_display() as show:
        while True:
            statuses = read_statuses()
            show(_format_screen(statuses, rows_of))
            if _all_ended(statuses):
                return
            time.sleep(_POLL_S)


def _watch_in_lines(read_statuses: Callable[[], list[RunStatus]], *, as_json: bool) -> None:
    printed: dict[str, tuple[object, ...]] = {}
    steps_printed_at = 0.0
    while True:
        statuses = read_statuses()
        steps_too = time.monotonic() - steps_printed_at >= _STEP_LINES_EVERY_S
        for status in statuses:
            ahead = outlook(status)
            saved = ahead.last_checkpoint.name if ahead.last_checkpoint else ""
            key = (
                status.state,
                status.reason,
                status.attempt,
                status.job_id,
                saved,
                ahead.activity == "start",
            )
            before = printed.get(status.run_id, ())
            if before[:-1] != key or (steps_too and before[-1] != status.step):
                if as_json:
                    print_json(complete_status(status))
                else:
                    print(
                        f"{time.strftime('%H:%M:%S')}  {format_status_line(status, ahead)}",
                        flush=True,
                    )
                printed[status.run_id], steps_printed_at = (*key, status.step), time.monotonic()
        if _all_ended(statuses):
            return
        time.sleep(_POLL_S)


def _all_ended(statuses: list[RunStatus]) -> bool:
    return all(status.state.final for status in statuses)


def _format_screen(statuses: list[RunStatus], rows_of: Callable[[RunStatus], list[Row]]) -> str:
    if not statuses:
        return "no active runs"
    if len(statuses) > 1:
        return format_runs(statuses)
    attempts = list_attempts(RunPaths(Path(statuses[0].folder)))
    parts = [
        format_status(statuses[0], outlook(statuses[0])),
        _format_tasks(statuses[0], rows_of),
    ]
    parts += (
        [format_columns([HEADINGS, *(attempt_row(attempt, statuses[0]) for attempt in attempts)])]
        if attempts
        else []
    )
    return "\n\n".join(part for part in parts if part)


def _format_tasks(found: RunStatus, rows_of: Callable[[RunStatus], list[Row]]) -> str:
    if not found.tasks:
        return ""
    if rows := rows_of(found):
        from clusterrun.cli.output.sweep_table import format_sweep  # noqa: PLC0415 - only for a sweep

        return format_sweep(rows)
    return format_runs(list(found.tasks))
