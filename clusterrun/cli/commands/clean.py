"""`clusterrun clean`."""

from __future__ import annotations

import argparse
import sys

from clusterrun.cli.options import count_option, duration_option
from clusterrun.cli.output.printed_json import add_json, print_json
from clusterrun.cli.output.progress_bar import progress
from clusterrun.cli.output.screen import print_table
from clusterrun.errors import Problem, SpecError
from clusterrun.slurm.states import State
from clusterrun.units import format_age, format_size
from clusterrun.upkeep.cleaning import as_cleanup, carry_out
from clusterrun.upkeep.cleanup_plan import (
    CleanupPlan,
    Criteria,
    Removal,
    parse_states,
    plan_clean,
)

_HEADINGS = ("RUN", "STATE", "AGE", "SIZE", "REMOVED")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add = parser.add_argument
    add(
        "--older-than",
        type=duration_option,
        metavar="AGE",
        help="only what ended or was saved longer ago, such as 30d, 2w, 12h or 90min",
    )
    add(
        "--state",
        type=_parse_states,
        metavar="STATES",
        default=frozenset(),
        help="only runs in these states, such as completed,failed,cancelled",
    )
    add(
        "--keep",
        type=count_option,
        metavar="N",
        help="keep the newest N runs, or with --checkpoints the newest N of each run",
    )
    add("--rehearsals", action="store_true", help="only the runs of `clusterrun rehearse`")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--runs",
        action="store_true",
        help="remove whole runs, with their logs and results (default)",
    )
    what.add_argument(
        "--checkpoints",
        action="store_true",
        help="remove checkpoints only; the newest complete one of each run stays",
    )
    add("--dry-run", action="store_true", help="only show what would be removed")
    add("-y", "--yes", action="store_true", help="remove without a confirmation")
    add_json(parser)


def _parse_states(text: str) -> frozenset[State]:
    try:
        return parse_states(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def run(options: argparse.Namespace) -> int:
    """Show what would be removed, ask for confirmation, and remove it."""
    criteria = Criteria(
        options.older_than, options.state, options.keep, options.rehearsals, options.checkpoints
    )
    plan = plan_clean(criteria)
    for text in plan.notes:
        _print_note(text)
    if not options.json:
        _print_removals(plan)
    ask = bool(plan.removals) and not options.dry_run
    if ask and not (options.yes or _confirm(plan)):
        print("nothing was removed", file=sys.stderr)
        return 1
    removed: list[Removal] = []
    if ask:
        with progress("removing") as report:
            removed = carry_out(plan, report_progress=report, note=_print_note)
    if options.json:
        print_json(as_cleanup(plan, removed))
    if ask:
        freed = format_size(sum(one.size for one in removed))
        print(
            f"{_count_removals(removed)} removed, {freed} freed",
            file=sys.stderr,
        )
    return 0


def _print_note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)


def _confirm(plan: CleanupPlan) -> bool:
    if not sys.stdin.isatty():
        raise SpecError(
            [
                Problem(
                    "",
                    "",
                    "cannot ask for confirmation without a terminal",
                    "use --yes to remove what is listed without a confirmation",
                )
            ]
        )
    print(
        f"remove {_count_removals(plan.removals)}, {format_size(plan.size)}? [y/N] ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _print_removals(plan: CleanupPlan) -> None:
    if not plan.removals:
        print("nothing matches", file=sys.stderr)
        return
    print_table([_HEADINGS, *map(_removal_row, plan.removals)])


def _removal_row(one: Removal) -> tuple[str, ...]:
    what = {"run": "whole run", "rest": f"leftovers of {one.path.name}"}.get(
        one.kind, one.path.name
    )
    return one.run.run_id, one.state, format_age(one.age), format_size(one.size), what


def _count_removals(removals: tuple[Removal, ...] | list[Removal]) -> str:
    runs, others = (
        sum(one.kind == "run" for one in removals),
        sum(one.kind != "run" for one in removals),
    )
    words = [f"{runs} run{'s' * (runs != 1)}"] if runs or not others else []
    return ", ".join([*words, *([f"{others} checkpoint{'s' * (others != 1)}"] if others else [])])
