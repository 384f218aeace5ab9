"""The summary of torch's launcher: which of its ranks died first, when, and how."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from clusterrun.run_logs.attribution import AttributedLine

_HEADING = "Root Cause (first observed failure):"
_FIELD = re.compile(r"^\s+(time|host|rank|exitcode|traceback)\s*: (.*)$")
_SIGNAL = re.compile(r"Signal (\d+) \(")


@dataclass(frozen=True)
class RootCause:
    """The rank of a node that died first."""

    time: str
    """`YYYY-MM-DD_HH:MM:SS` by the clock of the node."""
    host: str
    rank: int | None
    exit_code: int | None
    signal: int | None
    text: str
    number: int


def find_root_cause(lines: Sequence[AttributedLine]) -> RootCause | None:
    """Return the rank that died first according to all summaries; None without a summary."""
    return min(
        _parse_summaries(lines), key=lambda root: (root.time, root.exit_code == -15), default=None
    )


def _parse_summaries(lines: Sequence[AttributedLine]) -> Iterator[RootCause]:
    for index, line in enumerate(lines):
        if _HEADING in line.text:
            fields = [
                (match[1], match[2], near)
                for near in lines[index + 1 : index + 14]
                if (match := _FIELD.match(near.text))
            ]
            yield _parse_root_cause({name: value for name, value, _ in fields}, fields, line)


def _parse_root_cause(
    values: dict[str, str],
    fields: Sequence[tuple[str, str, AttributedLine]],
    heading: AttributedLine,
) -> RootCause:
    code = re.match(r"-?\d+", values.get("exitcode", ""))
    rank = re.match(r"\d+", values.get("rank", ""))
    signal = _SIGNAL.search(values.get("traceback", ""))
    exit_code = int(code[0]) if code else None
    place = next(
        (near for name, _, near in fields if name == ("traceback" if signal else "exitcode")),
        heading,
    )
    number = (
        int(signal[1])
        if signal
        else -exit_code
        if exit_code is not None and exit_code < 0
        else None
    )
    host = values.get("host", "").partition(".")[0]
    return RootCause(
        values.get("time", ""),
        "" if host == "localhost" else host,
        int(rank[0]) if rank else None,
        exit_code,
        number,
        place.text.strip(),
        place.line_number,
    )
