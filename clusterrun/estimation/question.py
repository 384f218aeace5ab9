"""The question that an estimate answers, from what is known of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from clusterrun.errors import Problem, SpecError
from clusterrun.estimation.activations import Work
from clusterrun.estimation.architecture import Architecture, architecture_of
from clusterrun.estimation.model_file import find_config, read_architecture
from clusterrun.estimation.needs import Question
from clusterrun.estimation.parameters import parameters_of
from clusterrun.estimation.run_size import RunSize
from clusterrun.job_spec import Loaded
from clusterrun.training_script.models import Built, Named

_HINT = "pass --parameters, such as 7B, or --config with a config.json or its folder"


def question_of(
    run: RunSize, model: Architecture | None, parameters: int | None = None
) -> Question:
    """Return the question for a run; without `parameters` they are counted from `model`.

    Raises SpecError if both are missing.
    """
    count = parameters or (parameters_of(model) if model is not None else None)
    if count is None:
        raise SpecError([Problem("", "", "the size of the model is not known", _HINT)])
    work = None
    if run.sequence is not None:
        work = Work(run.batch or 1, run.sequence, checkpointing=run.checkpointing, eager=run.eager)
    mixed = run.precision != "no"
    return Question(
        count, run.processes, mixed=mixed, model=model, work=work, gpu_memory=run.gpu_memory
    )


def model_of(
    run: RunSize, loaded: Loaded, folder: Path, environment: Mapping[str, str]
) -> Architecture:
    """Return the model that a spec's arguments name, relative to `folder`, or its script uses.

    Raises SpecError if no model is found, its config is not on this machine, or it is not known
    before the script runs.
    """
    model = run.model
    if model is None:
        what = (
            "no model found in config_name, model_name_or_path, or what the script loads or builds"
        )
        raise SpecError([Problem(loaded.line_of("args"), "args", what, _HINT)])
    if isinstance(model, Built):
        if model.unknown:
            what = f"{model.kind} has values that are known only when the script runs"
            raise SpecError([Problem(model.place, ", ".join(model.unknown), what, _HINT)])
        return architecture_of(model.config, model.place)
    path = find_config(model.name, folder, environment)
    if path is None:
        raise SpecError([_report_missing(model, loaded)])
    return read_architecture(path)


def _report_missing(model: Named, loaded: Loaded) -> Problem:
    what = f"no config.json of {model.name} on this machine"
    section, dot, key = model.place.partition("args.")
    if section or not dot:
        return Problem(model.place, "", what, _HINT)
    return Problem(loaded.line_of("args", key), model.place, what, _HINT)
