"""From what is known of a run to the question that can be answered."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from clusterrun.errors import Problem, SpecError
from clusterrun.estimate.activations import Work
from clusterrun.estimate.architecture import Architecture
from clusterrun.estimate.asked import Asked
from clusterrun.estimate.model_file import find_config, read_architecture
from clusterrun.estimate.needs import Question
from clusterrun.estimate.parameters import parameters_of
from clusterrun.spec import Loaded

_HINT = "give --parameters, such as 7B, or --config, a folder with a config.json or the file"


def question_of(asked: Asked, model: Architecture | None, parameters: int | None = None) -> Question:
    """Put together what is asked; without `parameters` they are counted, so that one of both must be there.

    Raises SpecError where neither is.
    """
    count = parameters or (parameters_of(model) if model is not None else None)
    if count is None:
        raise SpecError([Problem("", "", "the size of the model is not known", _HINT)])
    work = None
    if asked.sequence is not None:
        work = Work(asked.batch or 1, asked.sequence, checkpointing=asked.checkpointing, eager=asked.eager)
    mixed = asked.precision != "no"
    return Question(count, asked.processes, mixed=mixed, model=model, work=work, gpu_memory=asked.gpu_memory)


def model_of(asked: Asked, loaded: Loaded, folder: Path, environment: Mapping[str, str]) -> Architecture:
    """Read the model that a spec's own arguments name, relative to `folder`, the working folder.

    Raises SpecError where they name none, or one whose config is not on this machine.
    """
    if asked.model is None:
        what = "its arguments name no model: config_name and model_name_or_path are read"
        raise SpecError([Problem(loaded.line_of("args"), "args", what, _HINT)])
    key, name = asked.model
    path = find_config(name, folder, environment)
    if path is None:
        raise SpecError(
            [Problem(loaded.line_of("args", key), f"args.{key}", f"no config.json of {name} on this machine", _HINT)]
        )
    return read_architecture(path)
