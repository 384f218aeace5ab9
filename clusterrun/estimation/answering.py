"""From what a user gives, over what a spec says, to the estimate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clusterrun import units
from clusterrun.errors import Problem, SpecError
from clusterrun.estimation.asked import Asked, asked_of
from clusterrun.estimation.model_file import read_architecture
from clusterrun.estimation.needs import Question
from clusterrun.estimation.question import model_of, question_of
from clusterrun.estimation.side_by_side import Report, report_of
from clusterrun.job_spec import Loaded

MOST = 10**15  # beyond any machine; sizes stay numbers that divide


@dataclass(frozen=True)
class Given:
    """What a user gives; None: as the spec says. Sizes are in bytes."""

    config: Path | None = None
    """The model: a folder with transformers' config.json, or the file."""
    parameters: int | None = None
    gpus: int | None = None
    """In all."""
    gpu_memory: int | None = None
    batch: int | None = None
    sequence: int | None = None
    checkpointing: bool | None = None
    eager: bool | None = None
    precision: str | None = None


@dataclass(frozen=True)
class Planned:
    """A spec, the folder that its script runs in, and the environment that it is typed in."""

    loaded: Loaded
    work_dir: Path
    environment: Mapping[str, str]


def parameter_count(text: str) -> int:
    """Return the number of `7.5B`, `350M` or `124439808`. Raises ValueError for anything else."""
    return units.count_of(text, MOST)


def estimate_of(given: Given, planned: Planned | None = None) -> Report:
    """Say what a run would need of each GPU, under every strategy.

    Raises SpecError if there is nothing to estimate, or the model is not known.
    """
    if planned is None and given.config is None and given.parameters is None:
        hint = "give a JOB.yaml, or --parameters or --config"
        raise SpecError([Problem("", "", "nothing to estimate", hint)])
    asked = _asked(given, planned)
    return report_of(_question(given, asked, planned), asked, own=planned is not None)


def _asked(given: Given, planned: Planned | None) -> Asked:
    """Lay what is given over what the spec says."""
    asked = asked_of(planned.loaded, planned.work_dir) if planned else Asked(gpus_per_node=1)
    names = ("gpu_memory", "batch", "sequence", "checkpointing", "eager", "precision")
    changes: dict[str, Any] = {
        name: value for name in names if (value := getattr(given, name)) is not None
    }
    if given.gpus is not None:
        each = asked.gpus_per_node or given.gpus
        changes |= {"processes": given.gpus, "nodes": -(-given.gpus // each), "gpus_per_node": each}
    if given.parameters is not None or given.config is not None:
        changes["model"] = None
    return replace(asked, **changes)


def _question(given: Given, asked: Asked, planned: Planned | None) -> Question:
    if given.parameters is not None:
        return question_of(asked, None, given.parameters)
    if given.config is not None:
        return question_of(asked, read_architecture(given.config))
    assert planned is not None  # noqa: S101 - for the type checker: without a spec one of both was given
    variables = {**planned.environment, **planned.loaded.spec.environment.variables}
    return question_of(asked, model_of(asked, planned.loaded, planned.work_dir, variables))
