"""`clusterrun clean`."""

from __future__ import annotations

import argparse
import sys

from clusterrun.clean import Plan, Removal, Wish, age_of, carry_out, plan_clean
from clusterrun.cli.amounts import ago, in_bytes
from clusterrun.cli.as_json import add_json, print_json
from clusterrun.cli.progress_bar import progress
from clusterrun.cli.screen import print_table
from clusterrun.errors import Problem, SpecError
from clusterrun.slurm.states import State

_HEADINGS = ("RUN", "STATE", "AGE", "SIZE", "REMOVED")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add = parser.add_argument
    add("--older-than", type=_age, metavar="AGE", help="what ended, or was saved, longer ago: 30d, 2w, 12h, 90min")
    add("--state", type=_states, metavar="STATES", default=frozenset(),
        help="runs that ended so: completed,failed,cancelled ...")  # fmt: skip
    add("--keep", type=_count, metavar="N", help="the newest N runs stay, or with --checkpoints those of each run")
    add("--rehearsals", action="store_true", help="what `clusterrun rehearse` has left")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--runs", action="store_true", help="whole runs, their logs and results too (the default)")
    what.add_argument("--checkpoints", action="store_true", help="checkpoints only; the newest whole one stays")
    add("--dry-run", action="store_true", help="only show what would go")
    add("-y", "--yes", action="store_true", help="do not ask")
    add_json(parser)


def _age(text: str) -> float:
    try:
        return age_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _states(text: str) -> frozenset[State]:
    known = {state.value: state for state in State if state.final}
    words = [word.strip().upper() for word in text.split(",")]
    wrong = [word for word in words if word not in known]
    if wrong:
        names = ", ".join(name.lower() for name in known)
        raise argparse.ArgumentTypeError(f"{wrong[0].lower()!r} is not a state in which runs end: {names}")
    return frozenset(known[word] for word in words)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Show what would go, ask, and remove it."""
    wish = Wish(options.older_than, options.state, options.keep, options.rehearsals, options.checkpoints)
    plan = plan_clean(wish)
    for text in plan.notes:
        _note(text)
    if not options.json:
        _show(plan)
    ask = bool(plan.removals) and not options.dry_run
    if ask and not (options.yes or _asked(plan)):
        print("nothing was removed", file=sys.stderr)
        return 1
    gone: list[Removal] = []
    if ask:
        with progress("removing") as tell:
            gone = carry_out(plan, tell=tell, note=_note)
    if options.json:
        _as_json(plan, gone)
    if ask:
        print(f"{_things(gone)} removed, {in_bytes(sum(one.size for one in gone))} freed", file=sys.stderr)
    return 0


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)


def _as_json(plan: Plan, gone: list[Removal]) -> None:
    listed = [{**one.as_dict(), "removed": one in gone} for one in plan.removals]
    print_json({"removals": listed, "bytes": plan.size, "notes": plan.notes})


def _asked(plan: Plan) -> bool:
    if not sys.stdin.isatty():
        raise SpecError([Problem("", "", "nobody can be asked here", "--yes removes what was shown, without asking")])
    print(f"remove {_things(plan.removals)}, {in_bytes(plan.size)}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _show(plan: Plan) -> None:
    if not plan.removals:
        print("nothing fits", file=sys.stderr)
        return
    print_table([_HEADINGS, *map(_row, plan.removals)])


def _row(one: Removal) -> tuple[str, ...]:
    what = {"run": "the run", "rest": f"the rest of {one.path.name}"}.get(one.kind, one.path.name)
    return one.run.run_id, one.state, ago(one.age), in_bytes(one.size), what


def _things(removals: tuple[Removal, ...] | list[Removal]) -> str:
    runs, others = sum(one.kind == "run" for one in removals), sum(one.kind != "run" for one in removals)
    words = [f"{runs} run{'s' * (runs != 1)}"] if runs or not others else []
    return ", ".join([*words, *([f"{others} checkpoint{'s' * (others != 1)}"] if others else [])])
