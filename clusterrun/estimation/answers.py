"""The estimate for a run, and the warning before a run that cannot fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clusterrun import units
from clusterrun.errors import Problem, SpecError
from clusterrun.estimation.comparison import Comparison, compare_strategies
from clusterrun.estimation.model_file import read_architecture
from clusterrun.estimation.needs import Question, needs_of
from clusterrun.estimation.question import model_of, question_of
from clusterrun.estimation.run_size import RunSize, read_run_size
from clusterrun.estimation.verdict import smallest_change
from clusterrun.job_spec import Loaded
from clusterrun.training_script import TrainingScript

MOST = 10**15  # beyond any machine, and small enough to convert to float


@dataclass(frozen=True)
class EstimateRequest:
    """The values that a user passes; None: from the spec. Sizes are in bytes."""

    config: Path | None = None
    """The model: a folder with transformers' config.json, or the file."""
    parameters: int | None = None
    gpus: int | None = None
    """The total."""
    gpu_memory: int | None = None
    batch: int | None = None
    sequence: int | None = None
    checkpointing: bool | None = None
    eager: bool | None = None
    precision: str | None = None


@dataclass(frozen=True)
class PlannedRun:
    """A spec, its script, its working folder, and the environment of the user's shell."""

    loaded: Loaded
    work_dir: Path
    environment: Mapping[str, str]
    script: TrainingScript | None


def parameter_count(text: str) -> int:
    """Return the number of `7.5B`, `350M` or `124439808`. Raises ValueError for anything else."""
    return units.count_of(text, MOST)


def make_estimate(request: EstimateRequest, planned: PlannedRun | None = None) -> Comparison:
    """Estimate the memory that a run needs on each GPU, with every strategy.

    Raises SpecError if there is nothing to estimate, or the model is not known.
    """
    if planned is None and request.config is None and request.parameters is None:
        hint = "pass JOB.yaml, --parameters or --config"
        raise SpecError([Problem("", "", "nothing to estimate", hint)])
    run = _complete_run_size(request, planned)
    return compare_strategies(_make_question(request, run, planned), run, own=planned is not None)


def _complete_run_size(request: EstimateRequest, planned: PlannedRun | None) -> RunSize:
    """Return the size of a spec's run, overridden by the user's values."""
    run = RunSize(gpus_per_node=1)
    if planned is not None:
        run = read_run_size(planned.loaded, planned.work_dir, planned.script)
    names = ("gpu_memory", "batch", "sequence", "checkpointing", "eager", "precision")
    changes: dict[str, Any] = {
        name: value for name in names if (value := getattr(request, name)) is not None
    }
    if request.gpus is not None:
        each = run.gpus_per_node or request.gpus
        changes |= {
            "processes": request.gpus,
            "nodes": -(-request.gpus // each),
            "gpus_per_node": each,
        }
    if request.parameters is not None or request.config is not None:
        changes["model"] = None
    return replace(run, **changes)


def _make_question(request: EstimateRequest, run: RunSize, planned: PlannedRun | None) -> Question:
    if request.parameters is not None:
        return question_of(run, None, request.parameters)
    if request.config is not None:
        return question_of(run, read_architecture(request.config))
    assert planned is not None  # noqa: S101 - for the type checker: without a spec, one of both is set
    variables = {**planned.environment, **planned.loaded.spec.environment.variables}
    return question_of(run, model_of(run, planned.loaded, planned.work_dir, variables))


def cannot_fit(
    loaded: Loaded,
    work_dir: Path,
    environment: Mapping[str, str],
    script: TrainingScript | None,
) -> str:
    """Return a warning if the states of a spec's model alone exceed its GPUs' memory, else "".

    Empty, too, if the model, the strategy or the GPU memory is not known.
    """
    if loaded.gpu_memory is None:
        return ""
    run = read_run_size(loaded, work_dir, script)
    if run.model is None or run.strategy is None or not run.gpus_per_node:
        return ""
    try:
        question = question_of(run, model_of(run, loaded, work_dir, environment))
    except (SpecError, OSError):
        return ""
    states = needs_of(question, run.strategy).states.total
    if states <= loaded.gpu_memory:
        return ""
    needed = f"{states / 1e9:.1f} GB per GPU for weights, gradients and optimizer alone"
    change = smallest_change(question, run.strategy, run.gpus_per_node)
    memory = f"but has {loaded.gpu_memory / 1e9:.1f} GB"
    return f"the run cannot fit: {run.strategy.name} needs {needed}, {memory}\n  hint: use {change}"
