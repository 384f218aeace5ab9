"""Random members of a sweep; the same seed gives the same values on every machine."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from typing import Any

from clusterrun.job_spec.values import name_kind
from clusterrun.job_spec.yaml_text import KeyPath, read_scalar
from clusterrun.sweeps.settings import MemberSetting, Row

_KINDS = ("uniform", "log_uniform", "choice")
_TRIES = 1000
AddProblem = Callable[[KeyPath, str, str], None]


def draw_rows(
    section: Mapping[str, Any],
    line_of: Callable[[KeyPath], str],
    add_problem: AddProblem,
    most: int,
) -> list[Row]:
    """Return `count` different members; record every mistake in the section."""
    count, seed = section.get("count"), section.get("seed", 0)
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= most:
        add_problem(("random", "count"), f"must be a whole number from 1 to {most}", "")
        count = 0
    if not isinstance(seed, int) or isinstance(seed, bool):
        add_problem(("random", "seed"), f"must be a whole number, got {name_kind(seed)}", "")
        seed = 0
    paths = {path: value for path, value in section.items() if path not in ("count", "seed")}
    if not paths:
        add_problem(("random",), "draws nothing", "add args.lr: {log_uniform: [1e-5, 1e-3]}")
    faults = [_check(path, value, add_problem) for path, value in paths.items()]
    if not count or not paths or any(faults):
        return []
    # Only Random.random is the same in every version of Python (docs.python.org, "random").
    source = random.Random(int(seed))  # noqa: S311 - not for secrets
    rows: dict[tuple[tuple[str, str], ...], Row] = {}
    for _ in range(_TRIES + count):
        if len(rows) == count:
            break
        row = tuple(
            MemberSetting(path, _draw(value, source), line_of(("sweep", "random", path)))
            for path, value in paths.items()
        )
        rows.setdefault(tuple(one.identity for one in row), row)
    if len(rows) < count:
        what = f"only {len(rows)} different members were drawn, not {count}"
        add_problem(("random", "count"), what, "reduce count, or use grid")
    return [*rows.values()]


def _check(path: str, value: Any, add_problem: AddProblem) -> bool:
    """Return whether a distribution is not valid, which it records."""
    place = ("random", path)
    if not isinstance(value, dict) or len(value) != 1 or next(iter(value)) not in _KINDS:
        hint = "write {uniform: [0, 1]}, {log_uniform: [1e-5, 1e-3]} or {choice: [1, 2]}"
        add_problem(place, "must be one distribution", hint)
        return True
    kind, values = next(iter(value.items()))
    if not isinstance(values, list) or not values:
        add_problem((*place, kind), "must be a list that is not empty", "")
        return True
    if kind == "choice":
        return False
    is_range = len(values) == 2 and all(
        isinstance(one, (int, float)) and not isinstance(one, bool) and math.isfinite(one)
        for one in values
    )
    if not is_range or not values[0] < values[1] or (kind == "log_uniform" and values[0] <= 0):
        limits = "two numbers above 0" if kind == "log_uniform" else "two numbers"
        add_problem((*place, kind), f"must be {limits}, the smaller one first", "")
        return True
    return False


def _draw(distribution: Mapping[str, Any], source: random.Random) -> Any:
    kind, values = next(iter(distribution.items()))
    part = source.random()
    if kind == "choice":
        return values[int(part * len(values))]
    low, high = map(float, values)
    if kind == "log_uniform":
        number = math.exp(math.log(low) + part * (math.log(high) - math.log(low)))
    else:
        number = low + part * (high - low)
    return read_scalar(f"{number:.6g}")
