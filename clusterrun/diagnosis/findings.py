"""Find the failure that came first, in the text of a log.

That is neither the first nor the last error in the log. The launcher's summary names the rank that
died first; for each rank, the error that ended it counts, not one that it survived; and an error
that follows from the loss of another rank counts only if nothing else failed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from clusterrun.diagnosis.classification import (
    EXCEPTION,
    EXITED,
    SIGNALS,
    classify_exception,
    classify_output,
)
from clusterrun.diagnosis.failures import CAUSE, ECHO, Failure
from clusterrun.diagnosis.launcher_summary import RootCause, find_root_cause
from clusterrun.run_logs.attribution import AttributedLine, attribute_lines

_LONGEST = 400
_MESSAGE_LINES = 6
_CHAIN_LINES = 120
_RAISED = re.compile(
    r"^(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*"
    r"(?:Error|Exception|Interrupt|Exit|Iteration|Failure|Timeout)\b(?::|$)"
)
# An exception of another name, such as `somewhere.OutOfLuck: ...`; only at the end of a traceback.
_ENDS_TRACEBACK = re.compile(r"^(?:(?:[A-Za-z_]\w*\.)+[A-Za-z_]\w*|[A-Z]\w*[a-z]\w*)(?:: |$)")
_TRACEBACK = re.compile(r"^\s*Traceback \(most recent call last\):")
_CHAINED = re.compile(
    r"^(?:During handling of the above exception|The above exception was the direct cause)"
)
_NEW_MESSAGE = re.compile(r"^(?:[EWI]\d{4} |Traceback |srun: |slurmstepd|clusterrun: |={20}|-{20})")
# The messages of the launcher, srun or Slurm after a process has died: the error is above them.
_NOTICED = re.compile(
    r"Sending process \d+ closing signal|failed \(exitcode: |^srun: error: .*(?:Exited with|task)|"
    r"^slurmstepd.*\*\*\* (?:STEP|JOB)"
)


@dataclass(frozen=True)
class LogFailure:
    """A failure that a log shows."""

    failure: Failure
    line: str
    number: int
    """The line's number in the text."""
    rank: int | None = None
    node: str = ""
    exit_code: int | None = None
    """The exit code of the process that died first, if logged; negative for a signal."""


def first_failure(text: str, first: int = 1) -> LogFailure | None:
    """Find the first failure; `first` is the number of the text's first line."""
    lines = list(attribute_lines(text.split("\n"), first))
    root = find_root_cause(lines)
    failure = _choose_first(_find_failures(lines), root, _first_notice(lines))
    if root is None:
        return failure
    if failure is None:
        return LogFailure(EXITED, root.text, root.number, root.rank, root.host, root.exit_code)
    same = failure.rank in (None, root.rank)
    rank, node = (root.rank, root.host) if same else (failure.rank, failure.node)
    return LogFailure(
        failure.failure, failure.line, failure.number, rank, node, root.exit_code if same else None
    )


def ranks_with_failure(text: str, name: str) -> set[int]:
    """Return the ranks with a failure of this class in a text."""
    failures = _find_failures(list(attribute_lines(text.split("\n"))))
    return {one.rank for one in failures if one.failure.name == name and one.rank is not None}


def _first_notice(lines: Sequence[AttributedLine]) -> int | None:
    return next((line.line_number for line in lines if _NOTICED.search(line.text)), None)


def _find_failures(lines: Sequence[AttributedLine]) -> list[LogFailure]:
    """List everything that looks like a failure, in log order."""
    failures, tracing = [], set[int | None]()
    for index, line in enumerate(lines):
        if _TRACEBACK.match(line.text):
            tracing.add(line.rank)
            continue
        failure = classify_output(line.text)
        ends = line.rank in tracing and _ENDS_TRACEBACK.match(line.text)
        if failure is None and (_RAISED.match(line.text) or ends):
            failure = classify_exception(_exception_message(lines, index))
            tracing.discard(line.rank)
        if failure is not None:
            failures.append(
                LogFailure(
                    failure, line.text.strip()[:_LONGEST], line.line_number, line.rank, line.node
                )
            )
        elif _CHAINED.match(line.text):
            failures.append(LogFailure(_CHAIN, line.text, line.line_number, line.rank))
    return failures


_CHAIN = Failure("chain", "", "", weight=ECHO + 1)


def _exception_message(lines: Sequence[AttributedLine], index: int) -> str:
    """Return an exception's line and the following lines of its message."""
    message = [lines[index].text]
    for line in lines[index + 1 : index + _MESSAGE_LINES]:
        if (
            line.rank != lines[index].rank
            or _NEW_MESSAGE.match(line.text)
            or _RAISED.match(line.text)
        ):
            break
        message.append(line.text)
    return "\n".join(message)


def _choose_first(
    findings: Sequence[LogFailure], root: RootCause | None, noticed: int | None
) -> LogFailure | None:
    real = [one for one in findings if one.failure is not _CHAIN]
    memory = next(
        (
            one
            for one in real
            if one.failure.name == "host-out-of-memory" and "oom" in one.line.lower()
        ),
        None,
    )
    if memory and (root is None or root.signal == 9):
        return memory
    causes = [one for one in real if one.failure.weight == CAUSE]
    before = [one for one in causes if noticed is None or one.number <= noticed] or causes
    ends = _find_final_errors(before, findings)
    if root is not None:
        mine = [one for one in ends if one.rank == root.rank] or [
            one for one in ends if one.rank is None
        ]
        if mine:
            return mine[0]
        if root.signal in SIGNALS and root.signal != 6:
            return LogFailure(SIGNALS[root.signal], root.text, root.number, root.rank, root.host)
    if ends:
        return min(ends, key=lambda one: one.number)
    later = sorted(real, key=lambda one: (one.failure.weight, one.number))
    if root is not None and root.signal and (not later or later[0].failure.weight == ECHO):
        return LogFailure(
            SIGNALS.get(root.signal, EXITED), root.text, root.number, root.rank, root.host
        )
    return later[0] if later and later[0].failure.weight < ECHO else None


def _find_final_errors(
    causes: Sequence[LogFailure], findings: Sequence[LogFailure]
) -> list[LogFailure]:
    """Find the error that ended each rank: the last one, or its cause."""
    failures = []
    for rank in dict.fromkeys(one.rank for one in causes):
        mine = [one for one in findings if one.rank == rank]
        last = max((one for one in causes if one.rank == rank), key=lambda one: one.number)
        failures.append(_trace_origin(last, mine))
    return failures


def _trace_origin(last: LogFailure, mine: Sequence[LogFailure]) -> LogFailure:
    """Return the first of equal errors without a rank, or the cause of a general error."""
    origin, chained = last, False
    for one in reversed(
        [one for one in mine if last.number - _CHAIN_LINES < one.number < last.number]
    ):
        if one.failure is _CHAIN:
            chained = True
        elif one.failure is origin.failure and one.line == origin.line and origin.rank is None:
            origin = one
        elif chained and origin.failure is EXCEPTION and one.failure.weight == CAUSE:
            origin, chained = one, False
        elif not chained:
            break
    return origin
