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
from clusterrun.planning.preparation import Request, prepare

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
    comparison = make_estimate(request, _load_planned(options))
    if options.json:
        print_json(comparison.values())
        return 0
    print(_format_table(comparison))
    for line in comparison.words():
        print(line)
    for note in comparison.notes():
        print(f"note: {note}", file=sys.stderr)
    return 0


def _load_planned(options: argparse.Namespace) -> PlannedRun | None:
    """Load the spec; the files that it names may be missing."""
    if not options.job:
        return None
    prepared = prepare(Request(options.job, tuple(options.overrides), options.profile))
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
