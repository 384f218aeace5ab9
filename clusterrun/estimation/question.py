"""From what is known of a run to the question that can be answered."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from clusterrun.errors import Problem, SpecError
from clusterrun.estimation.activations import Work
from clusterrun.estimation.architecture import Architecture, architecture_of
from clusterrun.estimation.asked import Asked
from clusterrun.estimation.model_file import find_config, read_architecture
from clusterrun.estimation.needs import Question
from clusterrun.estimation.parameters import parameters_of
from clusterrun.estimation.script_model import Built, Named
from clusterrun.job_spec import Loaded

_HINT = "give --parameters, such as 7B, or --config, a folder with a config.json or the file"


def question_of(
    asked: Asked, model: Architecture | None, parameters: int | None = None
) -> Question:
    """Assemble a question; without `parameters` they are counted from the `architecture`.

    Raises SpecError where neither is.
    """
    count = parameters or (parameters_of(model) if model is not None else None)
    if count is None:
        raise SpecError([Problem("", "", "the size of the model is not known", _HINT)])
    work = None
    if asked.sequence is not None:
        work = Work(
            asked.batch or 1, asked.sequence, checkpointing=asked.checkpointing, eager=asked.eager
        )
    mixed = asked.precision != "no"
    return Question(
        count, asked.processes, mixed=mixed, model=model, work=work, gpu_memory=asked.gpu_memory
    )


def model_of(
    asked: Asked, loaded: Loaded, folder: Path, environment: Mapping[str, str]
) -> Architecture:
    """Read the model that a spec's arguments name, relative to `folder`, or that its script uses.

    Raises SpecError where there is none, one whose config is not on this machine, or one that is
    not known before the script runs.
    """
    model = asked.model
    if model is None:
        what = (
            "no model is named: config_name, model_name_or_path and what the script loads or "
            "builds are read"
        )
        raise SpecError([Problem(loaded.line_of("args"), "args", what, _HINT)])
    if isinstance(model, Built):
        if model.unknown:
            what = f"{model.kind} takes values that are known when the script runs only"
            raise SpecError([Problem(model.place, ", ".join(model.unknown), what, _HINT)])
        return architecture_of(model.config, model.place)
    path = find_config(model.name, folder, environment)
    if path is None:
        raise SpecError([_not_here(model, loaded)])
    return read_architecture(path)


def _not_here(model: Named, loaded: Loaded) -> Problem:
    what = f"no config.json of {model.name} on this machine"
    section, dot, key = model.place.partition("args.")
    if section or not dot:
        return Problem(model.place, "", what, _HINT)
    return Problem(loaded.line_of("args", key), model.place, what, _HINT)
