"""The members of a sweep, from its section of the spec: a pure function of its values."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from clusterrun.errors import Problem
from clusterrun.job_spec.keys import SPEC_KEYS
from clusterrun.job_spec.values import name_kind
from clusterrun.job_spec.yaml_text import KeyPath, dotted
from clusterrun.sweeps.random_values import draw_rows
from clusterrun.sweeps.settings import MemberSetting, Row, describe

MOST_MEMBERS = 1000
"""With the default MaxArraySize, 1001, the indexes of an array are 0 to 1000 (slurm.conf(5))."""
# What the tasks of an array can differ in, because they share the request to Slurm.
_SWEPT = re.compile(r"args\..+|environment\.variables\.[^.]+")
_PARTS = ("grid", "zip", "cases", "random")


class Expansion:
    """The expansion of one sweep: its members, and every mistake in its section."""

    def __init__(self, sweep: Mapping[str, Any], line_of: Callable[[KeyPath], str]) -> None:
        self.problems: list[Problem] = []
        self.rows: list[Row] = []
        self._line_of = line_of
        parts = [
            (key, value) for key, value in sweep.items() if key in _PARTS and value is not None
        ]
        if not parts:
            hint = "add grid: {args.seed: [1, 2, 3]}"
            self._add_problem((), "has no members", hint)
            return
        rows = [self._read_part(key, value) for key, value in parts]
        self._refuse_repeated(rows)
        count = math.prod(len(part) for part in rows)
        if count > MOST_MEMBERS:
            self._add_count((), count)
        if not self.problems:
            self.rows = [tuple(itertools.chain(*chosen)) for chosen in itertools.product(*rows)]
            self._refuse_equal()

    def _add_problem(self, path: KeyPath, what: str, hint: str = "") -> None:
        whole: KeyPath = ("sweep", *path)
        self.problems.append(Problem(self._line_of(whole), dotted(whole), what, hint))

    def _read_part(self, key: str, value: Any) -> list[Row]:
        if key == "cases":
            return self._read_cases(value)
        if not isinstance(value, dict) or not value:
            what = f"must be a mapping of paths, got {name_kind(value) if value else 'none'}"
            self._add_problem((key,), what)
            return []
        if key == "random":
            for path in value.keys() - {"count", "seed"}:
                self._accept_path((key, path), path)
            return draw_rows(value, self._line_of, self._add_problem, MOST_MEMBERS)
        lists = flatten_lists(value)
        columns = [self._read_list(key, place, values) for place, values in lists]
        if key == "grid":
            return self._combine(columns)
        lengths = [len(column) for column in columns]
        if len(set(lengths)) > 1:
            counts = ", ".join(
                f"{'.'.join(place)} has {length}"
                for (place, _), length in zip(lists, lengths, strict=True)
            )
            self._add_problem((key,), f"the lists must have the same length: {counts}")
            return []
        return list(zip(*columns, strict=True))

    def _combine(self, columns: list[list[MemberSetting]]) -> list[Row]:
        count = math.prod(map(len, columns))
        if count > MOST_MEMBERS:  # counted, not made
            self._add_count(("grid",), count)
            return []
        return list(itertools.product(*columns))

    def _add_count(self, path: KeyPath, count: int) -> None:
        what = f"{count} members, at most {MOST_MEMBERS} are allowed"
        self._add_problem(path, what, "split it, or draw some of them with random")

    def _read_list(self, part: str, place: tuple[str, ...], values: Any) -> list[MemberSetting]:
        path = ".".join(place)
        if not self._accept_path((part, *place), path):
            return []
        if not isinstance(values, list):
            hint = "" if isinstance(values, dict) else f"write [{values}]"
            what = f"must be a list of values, got {name_kind(values)}"
            self._add_problem((part, *place), what, hint)
            return []
        if not values:
            self._add_problem((part, *place), "empty list", "add values, or delete the key")
        return [
            MemberSetting(path, value, self._line_of(("sweep", part, *place, number)))
            for number, value in enumerate(values)
        ]

    def _read_cases(self, cases: Any) -> list[Row]:
        if not isinstance(cases, list) or not cases:
            self._add_problem(("cases",), "must be a list of mappings, one per member")
            return []
        rows = []
        for number, case in enumerate(cases):
            if not isinstance(case, dict) or not case:
                what = f"must be a mapping of paths to values, got {name_kind(case)}"
                self._add_problem(("cases", number), what)
                continue
            rows.append(
                tuple(
                    MemberSetting(path, value, self._line_of(("sweep", "cases", number, path)))
                    for path, value in case.items()
                    if self._accept_path(("cases", number, path), path)
                )
            )
        return rows

    def _accept_path(self, place: KeyPath, path: str) -> bool:
        """Return whether a path may differ between the tasks of one array; record if it may not."""
        if _SWEPT.fullmatch(path):
            return True
        if path == "name":
            hint = "write the paths into name, as in run-{args.seed}"
        elif path.replace("-", "_").partition(".")[0] in SPEC_KEYS:
            hint = f"submit one sweep per value, with --set {path}=VALUE"
        else:
            near = f"args.{path}" if "." not in path else ""
            hint = f"did you mean {near}?" if near else "write args.NAME"
        what = "cannot be swept: only args.NAME and environment.variables.NAME can"
        self._add_problem(place, what, hint)
        return False

    def _refuse_repeated(self, parts: list[list[Row]]) -> None:
        """Record paths that two parts set."""
        seen: dict[str, str] = {}
        for rows in parts:
            own = {one.path: one.where for row in rows for one in row}
            for path in own.keys() & seen.keys():
                what = f"{path} is already set at {seen[path]}"
                self.problems.append(Problem(own[path], "sweep", what, "delete one of the two"))
            seen |= own

    def _refuse_equal(self) -> None:
        """Record members with the same values."""
        first: dict[frozenset[tuple[str, str]], int] = {}
        for number, row in enumerate(self.rows):
            key = frozenset(one.identity for one in row)
            if key in first:
                what = f"members {first[key]} and {number} are equal: {describe(row)}"
                where = row[0].where if row else self._line_of(("sweep",))
                self.problems.append(Problem(where, "sweep", what, "delete one of them"))
            first.setdefault(key, number)


def flatten_lists(values: Mapping[str, Any]) -> list[tuple[tuple[str, ...], Any]]:
    """Return each list with its place; `args: {seed: [1]}` is the same as `args.seed: [1]`."""
    found: dict[str, tuple[tuple[str, ...], Any]] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            inner = [((key, *place), one) for place, one in flatten_lists(value)]
        else:
            inner = [((key,), value)]
        found |= {".".join(place): (place, one) for place, one in inner}
    return [*found.values()]
