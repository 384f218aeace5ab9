"""`clusterrun status --watch`: one screen that is kept up to date; piped, a line for each change."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from clusterrun.cli.output.printed_json import print_json
from clusterrun.cli.output.runs_table import table
from clusterrun.cli.output.screen import is_terminal, kept_up_to_date
from clusterrun.cli.output.status_answer import all_known
from clusterrun.cli.output.status_words import HEADINGS, in_a_line, in_words, row
from clusterrun.cli.output.table import in_columns
from clusterrun.run_folder.attempts import list_attempts
from clusterrun.run_folder.index import Index
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_status.forecast import outlook
from clusterrun.run_status.from_files import RunStatus
from clusterrun.run_status.polling import watched, watched_living

_SECONDS = 2.0  # between two looks into run folders
_STEPS_EVERY = 60.0  # seconds between two lines that tell of nothing but steps


def watch(name: str | None, *, as_json: bool) -> int:
    """Show a run until it has ended, or all that live until none does; Ctrl-C ends it, too."""
    index = Index()
    run = index.find(name) if name is not None else None

    def look() -> list[RunStatus]:
        return [watched(run, index)] if run else watched_living(index)

    try:
        if is_terminal() and not as_json:
            _on_a_terminal(look)
        else:
            _in_lines(look, as_json=as_json)
    except KeyboardInterrupt:
        print(file=sys.stderr)
    return 0


def _on_a_terminal(look: Callable[[], list[RunStatus]]) -> None:
    with kept_up_to_date() as show:
        while True:
            found = look()
            show(_screen(found))
            if _is_over(found):
                return
            time.sleep(_SECONDS)


def _in_lines(look: Callable[[], list[RunStatus]], *, as_json: bool) -> None:
    told: dict[str, tuple[object, ...]] = {}
    steps_told = 0.0
    while True:
        found = look()
        steps_too = time.monotonic() - steps_told >= _STEPS_EVERY
        for status in found:
            ahead = outlook(status)
            saved = ahead.last_checkpoint.name if ahead.last_checkpoint else ""
            key = (
                status.state,
                status.reason,
                status.attempt,
                status.job_id,
                saved,
                ahead.doing == "start",
            )
            before = told.get(status.run_id, ())
            if before[:-1] != key or (steps_too and before[-1] != status.step):
                if as_json:
                    print_json(all_known(status))
                else:
                    print(f"{time.strftime('%H:%M:%S')}  {in_a_line(status, ahead)}", flush=True)
                told[status.run_id], steps_told = (*key, status.step), time.monotonic()
        if _is_over(found):
            return
        time.sleep(_SECONDS)


def _is_over(found: list[RunStatus]) -> bool:
    return all(status.state.final for status in found)


def _screen(found: list[RunStatus]) -> str:
    if not found:
        return "no run lives"
    if len(found) > 1:
        return table(found)
    attempts = list_attempts(RunPaths(Path(found[0].folder)))
    parts = [
        in_words(found[0], outlook(found[0])),
        table(list(found[0].tasks)) if found[0].tasks else "",
    ]
    parts += (
        [in_columns([HEADINGS, *(row(attempt, found[0]) for attempt in attempts)])]
        if attempts
        else []
    )
    return "\n\n".join(part for part in parts if part)
