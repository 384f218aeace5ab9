"""`clusterrun compare RUN...`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from clusterrun.cli.options import add_metric
from clusterrun.cli.output.printed_json import add_json, print_json
from clusterrun.cli.output.screen import print_table
from clusterrun.reporting.comparison import ComparedRun, RunComparison, compare_runs
from clusterrun.reporting.run_report import write_page
from clusterrun.run_folder.metric_values import LOSS
from clusterrun.run_status.metric_choice import format_value


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("runs", metavar="RUN", nargs="+", help="the runs, or a sweep")
    add_metric(parser)
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--html", metavar="FILE", help="write a self-contained page with the curves")
    add_json(shape)


def run(options: argparse.Namespace) -> int:
    """Print the values in which runs differ, and their metric, or write a page with the curves."""
    if options.html:
        write_comparison(Path(options.html), options.runs, options.metric, options.goal)
        return 0
    comparison = compare_runs(options.runs, metric=options.metric, goal=options.goal)
    if options.json:
        print_json(comparison.runs)
    else:
        _print_comparison(comparison)
    return 0


def write_comparison(path: Path, names: list[str], metric: str | None, goal: str | None) -> None:
    """Write a page with the curves of runs. Raises ClusterError if the file cannot be written."""
    from clusterrun.reporting.page.comparison_page import render_comparison  # noqa: PLC0415 - it needs Jinja2

    comparison = compare_runs(names, metric=metric, goal=goal, curves=True)
    write_page(path, render_comparison(comparison))
    print(f"wrote {path}", file=sys.stderr)


def _print_comparison(comparison: RunComparison) -> None:
    paths = list(dict.fromkeys(path for one in comparison.runs for path in one.values))
    name = comparison.metric.name
    last = () if name == LOSS else (name.upper(),)
    heading = ("RUN", *paths, "STATE", "STEP", "LOSS", *last, "BEST", "AT STEP")
    print_table([heading, *(_make_cells(one, paths) for one in comparison.runs)])


def _make_cells(one: ComparedRun, paths: list[str]) -> tuple[str, ...]:
    last = () if one.metric == LOSS else (format_value(one.last),)
    return (
        one.run_id,
        *(one.values.get(path, "") for path in paths),
        one.state.value,
        "" if one.step is None else str(one.step),
        format_value(one.loss),
        *last,
        format_value(one.best),
        "" if one.best_step is None else str(one.best_step),
    )
