"""`clusterrun estimate JOB.yaml`."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from clusterrun import units
from clusterrun.cli.amounts import option
from clusterrun.cli.as_json import add_json, print_json
from clusterrun.cli.table import in_columns
from clusterrun.errors import Problem, SpecError
from clusterrun.estimate.asked import Asked, asked_of
from clusterrun.estimate.model_file import read_architecture
from clusterrun.estimate.needs import Question
from clusterrun.estimate.question import model_of, question_of
from clusterrun.estimate.report import Report, report_of
from clusterrun.prepare import Prepared, Request, prepare

_MOST = 10**15  # beyond any machine; sizes stay numbers that divide
_count = option(lambda text: units.whole_number(text, least=1, most=_MOST))
_parameters = option(lambda text: units.count_of(text, _MOST))
_HEADINGS = ("STRATEGY", "WEIGHTS", "GRADIENTS", "OPTIMIZER", "STATES", "BUFFERS", "ACTIVATIONS", "TOTAL", "ON CPU")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add = parser.add_argument
    add("job", metavar="JOB.yaml", nargs="?", help="the job spec; what it says is the default of what follows")
    add("--set", dest="overrides", metavar="KEY=VALUE", action="append", default=[], help="as for submit")
    add("--profile", help="the site's defaults, with its gpu_memory")
    model = parser.add_mutually_exclusive_group()
    model.add_argument("--config", type=Path, help="the model: a folder with transformers' config.json, or the file")
    model.add_argument(
        "--parameters",
        type=_parameters,
        metavar="COUNT",
        help="the model's size, such as 7.5B",
    )
    add("--gpus", type=_count, help="GPUs in all")
    add("--gpu-memory", type=option(units.bytes_of_size), metavar="SIZE", help="of each GPU, such as 80GB")
    add(
        "--batch",
        type=_count,
        help="samples on each GPU at a time (default: what the spec's arguments say, or 1)",
    )
    add("--sequence", type=_count, help="tokens of a sample")
    add("--checkpointing", action="store_true", default=None, help="with activation checkpointing")
    add("--eager", action="store_true", default=None, help="attention keeps its scores (attn_implementation: eager)")
    add("--precision", choices=["no", "fp16", "bf16", "fp8"], help="accelerate's mixed_precision")
    add_json(parser, ", in bytes")


def run(options: argparse.Namespace) -> int:
    """Print what a run would need of each GPU, under every strategy."""
    if options.job is None and options.config is None and options.parameters is None:
        raise SpecError([Problem("", "", "nothing to estimate", "give a JOB.yaml, or --parameters or --config")])
    prepared = _prepared(options)
    asked = _asked(options, prepared)
    found = report_of(_question(options, asked, prepared), asked, own=prepared is not None)
    if options.json:
        print_json(found.as_dict())
        return 0
    print(_table(found))
    for line in found.words():
        print(line)
    for note in found.notes():
        print(f"note: {note}", file=sys.stderr)
    return 0


def _prepared(options: argparse.Namespace) -> Prepared | None:
    """Load the spec; the files that it names need not be there yet."""
    return prepare(Request(options.job, tuple(options.overrides), options.profile)) if options.job else None


def _asked(options: argparse.Namespace, prepared: Prepared | None) -> Asked:
    """Lay the options over what the spec says."""
    asked = asked_of(prepared.loaded, prepared.work_dir) if prepared else Asked(gpus_per_node=1)
    names = ("gpu_memory", "batch", "sequence", "checkpointing", "eager", "precision")
    given: dict[str, Any] = {name: value for name in names if (value := getattr(options, name)) is not None}
    if options.gpus is not None:
        each = asked.gpus_per_node or options.gpus
        given |= {"processes": options.gpus, "nodes": -(-options.gpus // each), "gpus_per_node": each}
    if options.parameters is not None or options.config is not None:
        given["model"] = None
    return replace(asked, **given)


def _question(options: argparse.Namespace, asked: Asked, prepared: Prepared | None) -> Question:
    if options.parameters is not None:
        return question_of(asked, None, options.parameters)
    if options.config is not None:
        return question_of(asked, read_architecture(options.config))
    assert prepared is not None  # noqa: S101 - for the type checker: without a spec one of both was given
    variables = {**os.environ, **prepared.loaded.spec.environment.variables}
    return question_of(asked, model_of(asked, prepared.loaded, prepared.work_dir, variables))


def _table(found: Report) -> str:
    known = found.question.gpu_memory is not None
    rows = [[*_HEADINGS, *(["FITS"] if known else []), ""]]
    for needs in found.rows:
        states, mark = needs.states, "<- this run" if needs.strategy == found.own else ""
        sizes = (states.weights, states.gradients, states.optimizer, states.total, needs.buffers, needs.activations,
                 needs.total, states.host)  # fmt: skip
        fits = [needs.fits(found.question.gpu_memory)] if found.question.gpu_memory is not None else []
        rows.append([needs.strategy.name, *map(found.amount, sizes), *fits, mark])
    return "\n".join([found.title(), "", in_columns(rows), ""])
