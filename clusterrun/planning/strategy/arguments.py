"""Arguments of a script: those that transformers has removed, and a Trainer's accumulation."""

from __future__ import annotations

from collections.abc import Callable

from clusterrun.job_spec.arguments import arguments_of
from clusterrun.job_spec.model import JobSpec
from clusterrun.planning.strategy.config_values import ConfigValues
from clusterrun.planning.strategy.training import Training
from clusterrun.training_script import TrainingScript
from clusterrun.training_script.old_forms import ARGUMENTS


def check_arguments(
    values: ConfigValues,
    spec: JobSpec,
    script: TrainingScript | None,
    still_taken: Callable[[str], bool],
) -> None:
    """Record removed arguments of TrainingArguments; `values` is the whole spec.

    They are mistakes only if the script is known to pass its arguments on, and they are not
    `still_taken`: some releases of version 5 take what later ones removed. A script that mentions
    the name in its own source reads it, so nothing is recorded.
    """
    for name in sorted(set(arguments_of(spec)) & set(ARGUMENTS)):
        if script is not None and script.mentions(name):
            continue
        words = (
            f"transformers 5 replaced it by {ARGUMENTS[name]}"
            if ARGUMENTS[name]
            else "transformers 5 removed it without a replacement"
        )
        if script is not None and script.uses_trainer:
            if still_taken(name):
                values.add_note(_place(spec, name), f"a later {words}")
            else:
                values.add_problem(_place(spec, name), f"TrainingArguments has no {name}", words)
        else:
            values.add_note(
                _place(spec, name), f"if the script passes it to TrainingArguments: {words}"
            )


def _place(spec: JobSpec, name: str) -> list[str | int]:
    """Return the place of an argument, in any of its spellings."""
    for place, word in enumerate(spec.args):
        if str(word).partition("=")[0].lstrip("-").replace("-", "_") == name:
            return ["args", word if isinstance(spec.args, dict) else place]
    return ["args"]


def check_accumulation(
    values: ConfigValues, script: TrainingScript | None, training: Training
) -> None:
    """Record accumulation that is set for accelerate, although a Trainer reads only its own."""
    own = training.argument_steps or 1
    if script is not None and script.uses_trainer and training.steps not in (None, own):
        values.add_problem(
            ["accelerate", "gradient_accumulation_steps"],
            f"{training.steps} here, but {own} in args, and a Trainer reads only its argument",
            f"write args: {{gradient_accumulation_steps: {training.steps}}}",
        )
