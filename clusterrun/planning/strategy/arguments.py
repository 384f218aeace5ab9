"""Arguments of a script: those that transformers removed, and accumulation under a Trainer."""

from __future__ import annotations

from collections.abc import Callable

from clusterrun.job_spec.arguments import arguments_of
from clusterrun.job_spec.model import JobSpec
from clusterrun.planning.strategy.given import Given
from clusterrun.planning.strategy.training import Training
from clusterrun.training_script import TrainingScript
from clusterrun.training_script.old_forms import ARGUMENTS


def check_arguments(
    given: Given,
    spec: JobSpec,
    script: TrainingScript | None,
    still_taken: Callable[[str], bool],
) -> None:
    """Note old arguments of TrainingArguments; `given` is the whole spec.

    They are mistakes only if the script is known to hand its arguments on, and they are not
    `still_taken`: some of version 5 take what later ones removed. One that the script has in its
    own source means something by it, and nothing is said.
    """
    for name in sorted(set(arguments_of(spec)) & set(ARGUMENTS)):
        if script is not None and script.mentions(name):
            continue
        words = (
            f"transformers 5 has {ARGUMENTS[name]} in its place"
            if ARGUMENTS[name]
            else "transformers 5 has it no more"
        )
        if script is not None and script.uses_trainer:
            if still_taken(name):
                given.note(_place(spec, name), f"a later {words}")
            else:
                given.fault(_place(spec, name), f"TrainingArguments has no {name}", words)
        else:
            given.note(_place(spec, name), f"if the script hands it to TrainingArguments: {words}")


def _place(spec: JobSpec, name: str) -> list[str | int]:
    """Return where an argument stands, in any of its spellings."""
    for place, word in enumerate(spec.args):
        if str(word).partition("=")[0].lstrip("-").replace("-", "_") == name:
            return ["args", word if isinstance(spec.args, dict) else place]
    return ["args"]


def check_accumulation(given: Given, script: TrainingScript | None, training: Training) -> None:
    """Note accumulation that is set for accelerate although a Trainer passes it its own value."""
    own = training.argument_steps or 1
    if script is not None and script.uses_trainer and training.steps not in (None, own):
        given.fault(
            ["accelerate", "gradient_accumulation_steps"],
            f"{training.steps} here, {own} in args, and a Trainer reads only its own",
            f"args.gradient_accumulation_steps: {training.steps}",
        )
