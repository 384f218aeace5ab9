"""The arguments of the training script by name, from a mapping or a list of words."""

from __future__ import annotations

from typing import Any

from clusterrun.job_spec.model import JobSpec
from clusterrun.training_script.arguments import argument_name


def arguments_of(spec: JobSpec) -> dict[str, Any]:
    """Return the arguments by name, with underscores instead of dashes; a bare flag is True."""
    if isinstance(spec.args, dict):
        return {argument_name(key): value for key, value in spec.args.items()}
    words, values = [str(word) for word in spec.args], {}
    for word, after in zip(words, [*words[1:], "--"], strict=False):
        name, equals, value = word.partition("=")
        if _is_flag(name):
            values[argument_name(name)] = value if equals else True if _is_flag(after) else after
    return values


def _is_flag(word: str) -> bool:
    """Return whether argparse reads a word as a flag; a negative number is not one."""
    return word.startswith("-") and not word[1:2].isdigit() and word[1:2] != "."
