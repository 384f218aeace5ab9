"""`clusterrun list`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from clusterrun.cli.options import add_metric
from clusterrun.cli.output.printed_json import add_json, print_json
from clusterrun.cli.output.runs_table import print_runs
from clusterrun.run_status.file_status import RunStatus
from clusterrun.run_status.listing import list_runs, parse_filter
from clusterrun.run_status.metric_choice import Metric, choose_metric, sort_by_value


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--state", default="", help="only runs in these states, such as running or failed,timeout"
    )
    parser.add_argument(
        "--since",
        default="",
        metavar="TIME",
        help="only runs that are active or ended within this time, such as 2d or 12h",
    )
    parser.add_argument(
        "--name",
        default="",
        metavar="GLOB",
        help="only runs whose name or id matches, such as 'gpt2*'",
    )
    parser.add_argument("--tag", default="", help="only runs with this word in slurm.comment")
    parser.add_argument(
        "--sort",
        choices=("best", "last", "step", "name"),
        help="by the best or the last value of the metric, the step, or the name "
        "(default: active runs, then the others, each newest first)",
    )
    add_metric(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the active runs, then those that have ended, each newest first."""
    statuses = list_runs(only=parse_filter(options.state, options.since, options.name, options.tag))
    metric = choose_metric(None, options.metric, options.goal)
    if options.sort:
        statuses = _sort_runs(statuses, options.sort, metric)
    if options.json:
        print_json([status.as_dict() for status in statuses])
    else:
        print_runs(statuses, metric)
    return 0


def _sort_runs(statuses: Sequence[RunStatus], sort: str, metric: Metric) -> list[RunStatus]:
    """Sort runs; those without the value come last, in their order."""

    def key(status: RunStatus) -> tuple[int, float, str]:
        best = metric.best(status)
        values: dict[str, object] = {
            "best": best[0] if best else None,
            "last": metric.last(status),
            "step": status.step,
        }
        if sort == "name":
            return 0, 0.0, status.run_id
        descending = metric.goal == "max" and sort != "step"
        return sort_by_value(values[sort], descending=descending)

    return sorted(statuses, key=key)
