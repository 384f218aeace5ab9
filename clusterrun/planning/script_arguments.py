"""Checks of a spec's arguments against the command line that its training script accepts."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from clusterrun.errors import Problem
from clusterrun.job_spec import Loaded
from clusterrun.job_spec.yaml_text import KeyPath, dotted
from clusterrun.planning.strategy.check import environment_folder
from clusterrun.planning.strategy.installed import find_arguments_class
from clusterrun.training_script import TrainingScript
from clusterrun.training_script.command_line import CommandLine
from clusterrun.training_script.parsers import read_command_line

_MAX_LISTED = 10


def check_script_arguments(
    loaded: Loaded, work_dir: Path, script: TrainingScript | None
) -> list[Problem]:
    """Return arguments that the script refuses; none if its text does not show all it accepts.

    A library's arguments are those of the run's own environment.
    """
    if script is None:
        return []
    folder = environment_folder(loaded, work_dir)
    command_line = (
        read_command_line(script, partial(find_arguments_class, folder))
        if folder is not None
        else read_command_line(script)
    )
    if command_line is None:
        return []
    options = [*_list_options(loaded)]
    return [
        *(
            _explain_unknown(loaded, place, option, script, command_line)
            for place, option in options
            if not command_line.accepts(option)
        ),
        *_find_missing(loaded, {option for _, option in options}, script, command_line),
        *_find_wrong_values(loaded, script, command_line),
    ]


def _find_wrong_values(
    loaded: Loaded, script: TrainingScript, command_line: CommandLine
) -> Iterator[Problem]:
    """Yield values that argparse refuses, except those that only the job knows."""
    args = loaded.spec.args if isinstance(loaded.spec.args, dict) else {}
    for key, value in args.items():
        option = key if key.startswith("-") else f"--{key}"
        rule = command_line.rules.get(option)
        if rule is None or not isinstance(value, str) or "{" in value or "$" in value:
            continue
        fault = rule.describe_fault(value)
        if fault:
            what = f"{value[:80]!r} is refused by {script.file_name}: {fault}"
            yield Problem(loaded.line_of("args", key), dotted(("args", key)), what, "")


def _list_options(loaded: Loaded) -> Iterator[tuple[KeyPath, str]]:
    """Yield the long options that the script receives, each with its place in the spec."""
    spec = loaded.spec
    if isinstance(spec.args, dict):
        for key, value in spec.args.items():
            if value is not None and value is not False:
                yield ("args", key), key if key.startswith("-") else f"--{key}"
    else:
        yield from _options_in([str(word) for word in spec.args], ("args",))
    if spec.checkpoint.path is not None:
        for _, option in _options_in(spec.checkpoint.resume, ()):
            yield ("checkpoint", "resume"), option


def _options_in(words: list[str] | tuple[str, ...], path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    for number, word in enumerate(words):
        if word == "--":
            return
        if word.startswith("--"):
            yield (*path, number), word.partition("=")[0]


def _explain_unknown(
    loaded: Loaded, place: KeyPath, option: str, script: TrainingScript, command_line: CommandLine
) -> Problem:
    options = command_line.options - {"--help"}
    known = sorted(
        name
        for name in options
        # HfArgumentParser accepts both spellings
        if name.startswith("--")
        and not ("-" in name[2:] and f"--{name[2:].replace('-', '_')}" in options)
    )
    near = difflib.get_close_matches(option, known, n=1, cutoff=0.7)
    listed = ", ".join(known[:_MAX_LISTED]) + ", ..." * (len(known) > _MAX_LISTED)
    hint = (
        f"did you mean {near[0].removeprefix('--')}?"
        if near
        else f"use one of {listed}"
        if known
        else f"remove it: {script.file_name} has no arguments"
    )
    what = f"{script.file_name} has no argument {option}"
    return Problem(loaded.line_of(*place), dotted(place), what, hint)


def _underscored(option: str) -> str:
    """Return the other spelling that HfArgumentParser accepts."""
    return f"--{option[2:].replace('-', '_')}"


def _find_missing(
    loaded: Loaded, options: set[str], script: TrainingScript, command_line: CommandLine
) -> Iterator[Problem]:
    for names in command_line.required:
        is_set = any(
            name == option or name.startswith(option) for name in names for option in options
        )
        if not is_set:
            name = min(
                (one for one in names), key=lambda one: (not one.startswith("--"), "-" in one[2:])
            )
            what = f"{name}, which {script.file_name} requires, is missing"
            hint = f"add args: {{{name.lstrip('-')}: ...}}"
            yield Problem(loaded.line_of("args"), "args", what, hint)
