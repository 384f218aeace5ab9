"""The `checkpoint` section: how often to save, and where any script's checkpoints are found.

A message may go on below its first line with what to do about it.
"""

from __future__ import annotations

import re
import shlex

from clusterrun import units

CHECKPOINT = "{checkpoint}"
RUN_DIR = "{run_dir}"
EVERY_FORMS = "10min, 90s, 2h, 500 steps or auto"
# transformers.TrainingArguments and accelerate's examples call it so
RESUME = ("--resume_from_checkpoint", CHECKPOINT)

_PLACEHOLDER = re.compile(r"\{[A-Za-z_]\w*\}")
_EXPANDED = re.compile(r"~|.*\$[A-Za-z_{(]")


def check_interval(text: str) -> str:
    """Return an interval as protocol 1 of the training library reads it.

    The unit is s, min, h or steps; `auto` stays as it is.
    """
    if text == "auto":
        return text
    steps = units.steps_of(text)
    try:
        seconds = units.seconds_of_duration(text, forms=EVERY_FORMS) if steps is None else 0.0
    except ValueError as error:
        hint = "write a whole number of steps" if "step" in text else str(error).partition("\n")[2]
        raise ValueError(f"{text[:80]!r} is not an interval\n{hint}") from error
    if not (seconds or steps):
        raise ValueError("an interval of zero")
    return units.format_interval(seconds) if steps is None else f"{steps} steps"


def check_pattern(text: str) -> str:
    """Check the pattern of checkpoints.

    Only {run_dir} is filled in, so that whatever a shell would expand is refused.
    """
    if _EXPANDED.match(text):
        raise ValueError(
            f"{text[:80]!r}: neither ~ nor a variable is expanded here\n"
            f"write the whole path, or one relative to the working folder; {RUN_DIR} is the run's "
            "own folder"
        )
    _refuse_placeholders(text, RUN_DIR)
    return text


def split_words(text: str) -> tuple[str, ...]:
    """Split a line as a shell splits it, and evaluate nothing."""
    try:
        found = tuple(shlex.split(text))
    except ValueError as error:
        raise ValueError(f"{text[:80]!r} is no shell words: {str(error).lower()}") from error
    if not found:
        raise ValueError("empty; false appends nothing to the arguments")
    return found


def check_resume_words(given: tuple[str, ...]) -> tuple[str, ...]:
    """Check the words that hand a checkpoint to the script; none at all is fine."""
    for word in given:
        _refuse_placeholders(word, CHECKPOINT)
    if given and not any(CHECKPOINT in word for word in given):
        raise ValueError(
            f"has no {CHECKPOINT}, the newest one\n{' '.join(RESUME)}, or whatever the script reads"
        )
    return given


def _refuse_placeholders(text: str, known: str) -> None:
    for found in _PLACEHOLDER.findall(text):
        if found != known:
            raise ValueError(f"{found} stands for nothing here\n{known} is what is filled in")
