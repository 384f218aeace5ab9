"""`clusterrun diff RUN [RUN]`."""

from __future__ import annotations

import argparse
import sys

from clusterrun.cli.output.printed_json import add_json, print_json
from clusterrun.cli.output.screen import format_columns
from clusterrun.files.control_characters import make_printable
from clusterrun.reporting.difference import RunDifference, diff

_NOT_SET = "-"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run", metavar="RUN")
    parser.add_argument(
        "other",
        metavar="RUN",
        nargs="?",
        help="the run to compare with; without it, the files as they are now",
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print what differs between two runs, or between a run and the files now."""
    difference = diff(options.run, options.other)
    if options.json:
        print_json(difference)
    else:
        _print_difference(difference)
    return 0


def _print_difference(difference: RunDifference) -> None:
    runs = ((difference.first, difference.first_code), (difference.second, difference.second_code))
    codes = [(name, code) for name, code in runs if name and code]
    width = max((len(name) for name, _ in codes), default=0)
    for name, code in codes:
        print(f"{name:<{width}}  {code.in_words()}")
    withheld = sorted({name for _, code in codes for name in code.withheld})
    if withheld:
        print(f"note: not recorded, because they show a secret: {', '.join(withheld)}",
              file=sys.stderr)  # fmt: skip
    _print_spec(difference)
    if difference.patch:
        print()
        for line in difference.patch.splitlines():
            print(make_printable(line))
    elif difference.fault:
        print(f"note: the code was not compared: {difference.fault}", file=sys.stderr)
    else:
        print("the code is the same", file=sys.stderr)


def _print_spec(difference: RunDifference) -> None:
    if difference.second is None:
        return
    if not difference.spec:
        print("the specs are the same", file=sys.stderr)
        return
    rows = [
        (one.key, *(_NOT_SET if value is None else value for value in (one.first, one.second)))
        for one in difference.spec
    ]
    print(format_columns([("KEY", difference.first, difference.second), *rows]))
