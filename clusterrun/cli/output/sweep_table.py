"""A sweep as a table: one row per member, with its values, its state, its step and its loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from clusterrun.cli.output.screen import format_columns
from clusterrun.errors import Problem, SpecError
from clusterrun.results import SweepMember
from clusterrun.run_status.file_status import RunStatus

SORT_KEYS = ("number", "loss", "state", "step")


@dataclass(frozen=True)
class Row:
    """One member with its status."""

    member: SweepMember
    status: RunStatus

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON."""
        values = self.status.as_dict()
        kept = ("run_id", "state", "reason", "step", "total_steps", "loss", "folder")
        return {
            "number": self.member.number,
            "name": self.member.name,
            "values": self.member.values,
            **{key: values[key] for key in kept},
        }


def format_members(members: Sequence[SweepMember]) -> str:
    """Format the members of a sweep that is not queued yet."""
    paths = list_paths(members)
    heading = ("MEMBER", "NAME", *map(_shorten, paths))
    rows = [
        (str(one.number), one.name, *(one.values.get(path, "") for path in paths))
        for one in members
    ]
    return format_columns([heading, *rows])


def sweep_rows(found: RunStatus, members: Sequence[SweepMember], sort: str = "loss") -> list[Row]:
    """Return the members with their status, sorted; a member without the value comes last.

    `sort` is one of SORT_KEYS or a path. Raises SpecError for anything else.
    """
    paths = list_paths(members)
    names = {**{path: path for path in paths}, **{_shorten(path): path for path in paths}}
    if sort not in SORT_KEYS and sort not in names:
        hint = f"use one of {', '.join([*SORT_KEYS, *paths])}"
        raise SpecError([Problem("--sort", "", f"{sort!r} is not a column", hint)])
    tasks = {task.run_id: task for task in found.tasks}
    rows = [
        Row(one, task)
        for one in members
        if (task := tasks.get(f"{found.run_id}-{one.number}")) is not None
    ]
    return sorted(rows, key=lambda row: (*_sort_key(row, names.get(sort, sort)), row.member.number))


def format_sweep(rows: Sequence[Row]) -> str:
    """Format the members of a sweep for people."""
    paths = list_paths([row.member for row in rows])
    heading = ("MEMBER", *map(_shorten, paths), "STATE", "STEP", "LOSS", "REASON")
    return format_columns([heading, *(_cells(row, paths) for row in rows)])


def write_csv(rows: Sequence[Row]) -> str:
    """Return the members of a sweep as CSV, with the complete paths as headings."""
    import csv  # noqa: PLC0415 - only with --csv
    import io  # noqa: PLC0415 - only with --csv

    paths = list_paths([row.member for row in rows])
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["run_id", "name", *paths, "state", "step", "total_steps", "loss"])
    for row in rows:
        status, values = row.status, row.member.values
        facts = (status.step, status.total_steps, status.loss)
        writer.writerow(
            [
                status.run_id,
                row.member.name,
                *(values.get(path, "") for path in paths),
                status.state.value,
                *("" if one is None else one for one in facts),
            ]
        )
    return file.getvalue()


def list_paths(members: Sequence[SweepMember]) -> list[str]:
    """List the paths that the members set, in the order of the sweep."""
    return [*dict.fromkeys(path for one in members for path in one.values)]


def _cells(row: Row, paths: Sequence[str]) -> tuple[str, ...]:
    status = row.status
    step = "" if status.step is None else str(status.step)
    step += f"/{status.total_steps}" if step and status.total_steps else ""
    loss = "" if status.loss is None else f"{status.loss:.4f}"
    values = [row.member.values.get(path, "") for path in paths]
    reason = "" if status.reason == "None" else status.reason
    return str(row.member.number), *values, status.state.value, step, loss, reason


def _shorten(path: str) -> str:
    return path.removeprefix("args.").removeprefix("environment.variables.")


def _sort_key(row: Row, sort: str) -> tuple[int, float, str]:
    """Return the key of one column: numbers first, in their order, then texts, then nothing."""
    status = row.status
    facts = {"number": row.member.number, "loss": status.loss, "step": status.step}
    value = facts.get(sort, status.state.value if sort == "state" else row.member.values.get(sort))
    try:
        number = float(value if value is not None else "nan")
    except ValueError:
        return 1, 0.0, str(value)
    return (2, 0.0, "") if math.isnan(number) else (0, number, "")
