"""`clusterrun validate JOB.yaml`."""

from __future__ import annotations

import argparse
import sys

from clusterrun.cli.options import add_spec_options, print_notes, request_from_options
from clusterrun.cli.output.printed_json import add_json, print_json
from clusterrun.cli.output.sweep_table import format_members
from clusterrun.planning.cluster_limits import refuse_unfit_requests
from clusterrun.planning.preparation import prepare
from clusterrun.planning.validation import list_members, plan_and_render, valid_spec


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_spec_options(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Check a spec, and print every mistake as `file:line: key: message`."""
    prepared = prepare(request_from_options(options))
    plan, _ = plan_and_render(prepared)
    refuse_unfit_requests(prepared)
    if options.json:
        print_json(valid_spec(prepared, plan))
        return 0
    print_notes(prepared)
    each, least = plan.processes_a_node, f"{plan.least_nodes}-" * plan.elastic
    processes = plan.launch.processes or 0
    fewest = f"{(each or 0) * plan.least_nodes}-" * plan.elastic
    count = (
        f"{fewest}{processes} process{'es' * (processes > 1)}"
        if each
        else "one process per GPU that Slurm allocates"
    )
    nodes = f"{least}{plan.nodes} node{'s' * (plan.nodes > 1)}"
    if members := list_members(prepared):
        print(format_members(members))
        count = f"{count}, {len(members)} member{'s' * (len(members) > 1)}"
    print(f"{options.job}: valid: {plan.name}, {nodes}, {count}", file=sys.stderr)
    if prepared.batch.in_words():
        print(f"batch: {prepared.batch.in_words()}", file=sys.stderr)
    return 0
