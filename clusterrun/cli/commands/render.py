"""`clusterrun render JOB.yaml`: the script on stdout, which `sbatch` can read from a pipe."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from clusterrun.cli.options import add_spec_options, print_notes, request_from_options
from clusterrun.cli.output.printed_json import add_json, print_json
from clusterrun.cli.output.screen import print_table
from clusterrun.errors import Problem, SpecError
from clusterrun.planning.plan import make_plan
from clusterrun.planning.preparation import Prepared, prepare
from clusterrun.planning.script import render


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_spec_options(parser)
    parser.add_argument(
        "--explain",
        action="store_true",
        help="print each value and where it comes from instead of the script",
    )
    add_json(parser, ", with --explain")


def run(options: argparse.Namespace) -> int:
    """Print the script; a file that is missing on this machine is only a warning."""
    if options.json and not options.explain:
        raise SpecError(
            [Problem("--json", "", "requires --explain", "use render --explain --json")]
        )
    prepared = prepare(request_from_options(options))
    print_notes(prepared)
    for problem in prepared.problems:
        print(f"warning: {problem}", file=sys.stderr)
    if options.explain:
        _print_explanation(prepared, as_json=options.json)
    else:
        sys.stdout.write(render(make_plan(prepared)))
    return 0


def _print_explanation(prepared: Prepared, *, as_json: bool) -> None:
    from clusterrun.planning.explanation import explain  # noqa: PLC0415 - not for the script

    origins = explain(prepared)
    if as_json:
        print_json(origins)
        return
    rows = [(one.key, _shorten(one.value), one.layer, one.where) for one in origins]
    print_table([("KEY", "VALUE", "FROM", "WHERE"), *rows])


def _shorten(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    text = f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)
    line = text.partition("\n")[0]
    return line if len(text) <= 60 and line == text else f"{line[:57]}..."
