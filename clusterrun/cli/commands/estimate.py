"""`clusterrun estimate JOB.yaml`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from clusterrun import units
from clusterrun.cli.options import add_overrides, add_parameters, option_type
from clusterrun.cli.output.printed_json import add_json, print_json
from clusterrun.cli.output.screen import format_columns
from clusterrun.estimation.answers import (
    MOST,
    EstimateRequest,
    PlannedRun,
    make_estimate,
    parameter_count,
)
from clusterrun.estimation.comparison import Comparison
from clusterrun.estimation.sweep_estimate import estimate_sweep
from clusterrun.planning.member_specs import list_member_specs
from clusterrun.planning.preparation import Prepared, Request, prepare
from clusterrun.results import SweepMember

_count = option_type(lambda text: units.whole_number(text, least=1, most=MOST))
_parameters = option_type(parameter_count)
_HEADINGS = (
    "STRATEGY",
    "WEIGHTS",
    "GRADIENTS",
    "OPTIMIZER",
    "STATES",
    "BUFFERS",
    "ACTIVATIONS",
    "TOTAL",
    "ON CPU",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add = parser.add_argument
    add(
        "job",
        metavar="JOB.yaml",
        nargs="?",
        help="the job spec; its values are the defaults of the options",
    )
    add_overrides(parser)
    add_parameters(parser)
    add("--profile", help="the file with the site's defaults, such as gpu_memory")
    model = parser.add_mutually_exclusive_group()
    model.add_argument(
        "--config",
        type=Path,
        help="the model: a transformers config.json, or a folder that has one",
    )
    model.add_argument(
        "--parameters",
        type=_parameters,
        metavar="COUNT",
        help="the number of parameters, such as 7.5B",
    )
    add("--gpus", type=_count, help="total number of GPUs")
    add(
        "--gpu-memory",
        type=option_type(units.bytes_of_size),
        metavar="SIZE",
        help="memory of each GPU, such as 80GB",
    )
    add(
        "--batch",
        type=_count,
        help="batch size per GPU (default: the spec's arguments, or 1)",
    )
    add("--sequence", type=_count, help="sequence length in tokens")
    add("--checkpointing", action="store_true", default=None, help="use activation checkpointing")
    add(
        "--eager",
        action="store_true",
        default=None,
        help="count attention scores (attn_implementation: eager)",
    )
    add("--precision", choices=["no", "fp16", "bf16", "fp8"], help="accelerate's mixed_precision")
    add_json(parser, ", in bytes")


def run(options: argparse.Namespace) -> int:
    """Print the memory that a run needs on each GPU with every strategy."""
    request = EstimateRequest(
        **{field.name: getattr(options, field.name) for field in fields(EstimateRequest)}
    )
    prepared = _prepare(options)
    members = plan_members(prepared) if prepared else []
    sweep = estimate_sweep(request, members) if members else None
    comparison = sweep.comparison if sweep else make_estimate(request, _plan_run(prepared))
    if options.json:
        print_json(sweep.values() if sweep else comparison.values())
        return 0
    print(_format_table(comparison))
    for line in [*comparison.words(), *(sweep.words() if sweep else [])]:
        print(line)
    for note in comparison.notes():
        print(f"note: {note}", file=sys.stderr)
    return 0


def _prepare(options: argparse.Namespace) -> Prepared | None:
    """Load the spec; the files that it names may be missing."""
    if not options.job:
        return None
    return prepare(Request(options.job, tuple(options.overrides), options.profile))


def plan_members(prepared: Prepared) -> list[tuple[SweepMember, PlannedRun]]:
    """Return the members of a sweep as planned runs; none without a sweep."""
    environment = prepared.request.environment
    return [
        (member, PlannedRun(loaded, prepared.work_dir, environment, prepared.script))
        for member, loaded in list_member_specs(prepared)
    ]


def _plan_run(prepared: Prepared | None) -> PlannedRun | None:
    if prepared is None:
        return None
    environment = prepared.request.environment
    return PlannedRun(prepared.loaded, prepared.work_dir, environment, prepared.script)


def _format_table(comparison: Comparison) -> str:
    known = comparison.question.gpu_memory is not None
    rows = [[*_HEADINGS, *(["FITS"] if known else []), ""]]
    for needs in comparison.rows:
        states, mark = needs.states, "<- this run" if needs.strategy == comparison.own else ""
        sizes = (
            states.weights,
            states.gradients,
            states.optimizer,
            states.total,
            needs.buffers,
            needs.activations,
            needs.total,
            states.host,
        )
        fits = (
            [needs.fits(comparison.question.gpu_memory)]
            if comparison.question.gpu_memory is not None
            else []
        )
        rows.append([needs.strategy.name, *map(comparison.amount, sizes), *fits, mark])
    return "\n".join([comparison.title(), "", format_columns(rows), ""])
