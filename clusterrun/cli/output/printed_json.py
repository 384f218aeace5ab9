"""The output of `--json`: one value on stdout, also for an error."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict, is_dataclass

from clusterrun.errors import ClusterError, ClusterrunError, Problem, SpecError


def add_json(parser: argparse._ActionsContainer, also: str = "") -> None:
    """Add the option; `also` is appended to its help."""
    parser.add_argument(
        "--json", action="store_true", help=f"print JSON{also}; see `clusterrun schema COMMAND`"
    )


def print_json(answer: object) -> None:
    """Print a value; a dataclass as an object, NaN and infinity as null."""
    print(json.dumps(_as_json_value(answer), default=str), flush=True)


def print_failure(error: ClusterrunError) -> None:
    """Print why the command failed, instead of its output."""
    problems = error.problems if isinstance(error, SpecError) else [_make_problem(error)]
    print_json({"problems": list(problems)})


def _make_problem(error: ClusterrunError) -> Problem:
    return (
        Problem("", "", error.what, error.hint)
        if isinstance(error, ClusterError)
        else Problem("", "", str(error))
    )


def _as_json_value(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return _as_json_value(asdict(value))
    if isinstance(value, dict):
        return {key: _as_json_value(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json_value(inner) for inner in value]
    if isinstance(value, str):  # a file name may not be UTF-8, but JSON is
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return None if isinstance(value, float) and not math.isfinite(value) else value
