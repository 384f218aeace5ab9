"""`clusterrun why [RUN]`: the most recent run without RUN."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from clusterrun.cli.output.printed_json import add_json, print_json
from clusterrun.cli.output.screen import coloured, style_of
from clusterrun.diagnosis import Why, why
from clusterrun.diagnosis.answer import FirstFailure, Liveness, Next, Stopped, Waiting


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run", metavar="RUN", nargs="?", default="last")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print why a run is in its state."""
    answer = why(options.run)
    if options.json:
        print_json(answer)
    else:
        print(format_why(answer))
    return 0


def format_why(answer: Why) -> str:
    """Format an answer for people: headings, and one fact per line."""
    job = f", job {answer.job_id}" if answer.job_id else ""
    lines = [f"{answer.run_id}: {coloured(answer.state, style_of(answer.state))}{job}"]
    if answer.reason and answer.waiting is None and answer.stopped is None:
        lines.append(answer.reason)
    if answer.warning:
        lines.append(coloured(answer.warning, style_of("bad")))
    if answer.waiting:
        lines += ["", "why it is not running", *map(_indent, _format_waiting(answer.waiting))]
    if answer.liveness:
        lines += ["", "is it making progress", *map(_indent, _format_alive(answer.liveness))]
    if answer.stopped:
        which = (
            f"why attempt {answer.stopped.attempt} stopped"
            if answer.stopped.attempt
            else "why it stopped"
        )
        lines += ["", which, *map(_indent, _format_stopped(answer.stopped))]
    lines += ["", "what comes next", *map(_indent, _format_next(answer.next))]
    return "\n".join(lines)


def _indent(line: str) -> str:
    return f"  {line}"


def _format_waiting(waiting: Waiting) -> Iterator[str]:
    yield f"{waiting.reason}: {waiting.meaning}" if waiting.reason else waiting.meaning
    yield from waiting.details
    if waiting.jobs_ahead is not None:
        yield f"pending jobs with a higher priority in the partition: {waiting.jobs_ahead}"
    if waiting.expected_start:
        yield f"Slurm expects it to start at {waiting.expected_start}"
    if not waiting.temporary:
        yield "this needs action: waiting does not help"
    if waiting.fix:
        yield f"fix: {waiting.fix}"


def _format_alive(alive: Liveness) -> Iterator[str]:
    verdict = {
        True: coloured("yes", style_of("good")),
        False: coloured("no", style_of("bad")),
        None: "unknown",
    }
    yield f"{verdict[alive.looks_alive]}: {alive.summary}"


def _format_stopped(stopped: Stopped) -> Iterator[str]:
    if stopped.summary:
        yield stopped.summary
    if stopped.failure is None:
        if stopped.meaning and stopped.meaning != stopped.summary:
            yield stopped.meaning
        for place in stopped.hang_locations:
            own = (
                f", called from {place.script_call}"
                if place.script_call and place.script_call != place.innermost_call
                else ""
            )
            yield f"rank {place.rank} on {place.node} was in {place.innermost_call}{own}"
        if stopped.fix:
            yield f"fix: {stopped.fix}"
        return
    yield from _format_failure(stopped.failure)


def _format_failure(failure: FirstFailure) -> Iterator[str]:
    who = " ".join(
        word
        for word in (
            f"rank {failure.rank}" if failure.rank is not None else "",
            f"on {failure.node}" if failure.node else "",
        )
        if word
    )
    yield f"{failure.kind}: {failure.meaning}"
    yield f"{f'first failure: {who}: ' if who else ''}{coloured(failure.line, style_of('bad'))}"
    yield f"{failure.log}{f':{failure.line_number}' if failure.line_number else ''}"
    if failure.unread_bytes:
        yield f"(the first {failure.unread_bytes / 1e6:.0f} MB of the log were not read)"
    yield f"fix: {failure.fix}"


def _format_next(next_: Next) -> Iterator[str]:
    yield next_.summary
    if next_.command:
        purpose = "end it now" if next_.command.startswith("clusterrun cancel") else "resume"
        yield f"to {purpose}: {next_.command}"
