"""`clusterrun logs RUN`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from clusterrun.cli.output.printed_json import add_json, print_json
from clusterrun.cli.output.screen import RANKS, coloured, uses_colours
from clusterrun.run_logs.filters import LogFilter
from clusterrun.run_logs.reading import AttemptChoice, LogLine, last_attempt, log_lines, logs
from clusterrun.units import whole_number


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run", metavar="RUN", nargs="?", default="last")
    parser.add_argument(
        "-f",
        "--follow",
        action="store_true",
        help="follow the output until the run has ended, also after a requeue",
    )
    parser.add_argument(
        "--attempt",
        type=_parse_attempt,
        metavar="N",
        help="only this attempt, or `all` (default: the last attempt)",
    )
    parser.add_argument("--rank", type=int, metavar="R", help="only lines that show this rank")
    parser.add_argument(
        "--node", metavar="NODE", help="only lines that are known to be from this node"
    )
    add_json(parser, ", one object per line")
    parser.add_argument(
        "--grep", metavar="PATTERN", help="only lines that match this regular expression"
    )


def run(options: argparse.Namespace) -> int:
    """Print a run's output; on a terminal, each rank's lines have a color of their own."""
    log_filter = LogFilter(options.rank, options.node, options.grep)
    if options.json:
        return _print_json_lines(options, log_filter)
    if options.attempt is None:
        _name_earlier_attempts(options.run)
    if uses_colours():
        return _print_coloured(options, log_filter)
    for piece in logs(
        options.run,
        attempt=options.attempt,
        follow=options.follow,
        rank=options.rank,
        node=options.node,
        grep=options.grep,
    ):
        sys.stdout.write(piece)
        sys.stdout.flush()
    return 0


def _name_earlier_attempts(run: str) -> None:
    """Say that only the last attempt is shown, if there are others."""
    last = last_attempt(run)
    if last > 1:
        earlier = "--attempt 1" if last == 2 else f"--attempt 1 to {last - 1}"
        words = f"showing attempt {last}; for earlier ones use {earlier}, or --attempt all"
        print(words, file=sys.stderr, flush=True)


def _print_json_lines(options: argparse.Namespace, log_filter: LogFilter) -> int:
    for entry in log_lines(options.run, log_filter, attempt=options.attempt, follow=options.follow):
        print_json({"attempt": entry.attempt, **asdict(entry.line)})
    return 0


def _parse_attempt(word: str) -> AttemptChoice:
    if word == "all":
        return "all"
    try:
        return whole_number(word, least=1)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{word[:80]!r} is neither an attempt number nor `all`"
        ) from error


def _print_coloured(options: argparse.Namespace, log_filter: LogFilter) -> int:
    attempt = None
    for entry in log_lines(options.run, log_filter, attempt=options.attempt, follow=options.follow):
        if attempt not in (None, entry.attempt):
            print(f"---- attempt {entry.attempt}", file=sys.stderr, flush=True)
        attempt = entry.attempt
        sys.stdout.write(_label_line(entry))
        sys.stdout.flush()
    return 0


def _label_line(entry: LogLine) -> str:
    """Prefix a line with its rank and node in the rank's color; return other lines unchanged."""
    rank, node = entry.line.rank, entry.line.node
    if rank is None:
        return entry.raw
    label = f"rank {rank} {node}".rstrip()
    end = "\n" if entry.raw.endswith("\n") else ""
    return f"{coloured(f'{label} |', RANKS[rank % len(RANKS)])} {entry.line.text}{end}"
