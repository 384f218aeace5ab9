"""The values of the `checkpoint` section: intervals, patterns, and arguments to resume with.

The second line of an error message, if it has one, is the hint.
"""

from __future__ import annotations

import re
import shlex

from clusterrun import units

CHECKPOINT = "{checkpoint}"
RUN_DIR = "{run_dir}"
EVERY_FORMS = "10min, 90s, 2h, 500 steps or auto"
# the name in transformers.TrainingArguments and accelerate's examples
RESUME = ("--resume_from_checkpoint", CHECKPOINT)

_PLACEHOLDER = re.compile(r"\{[A-Za-z_]\w*\}")
_EXPANDED = re.compile(r"~|.*\$[A-Za-z_{(]")


def check_interval(text: str) -> str:
    """Return an interval as protocol 1 of the training library reads it.

    The unit is s, min, h or steps; `auto` is returned unchanged.
    """
    if text == "auto":
        return text
    steps = units.steps_of(text)
    try:
        seconds = units.seconds_of_duration(text, forms=EVERY_FORMS) if steps is None else 0.0
    except ValueError as error:
        raise ValueError(_explain_interval(text, str(error))) from error
    if not (seconds or steps):
        raise ValueError(f"must be longer than zero\nwrite {EVERY_FORMS}")
    return units.format_interval(seconds) if steps is None else f"{steps} steps"


def _explain_interval(text: str, fault: str) -> str:
    if text.isdecimal():
        units_in_order = "{0} steps or {0}s" if len(text) > 2 else "{0}min or {0} steps"
        return f"{text[:80]} has no unit\nwrite {units_in_order.format(text[:80])}"
    hint = "write a whole number of steps" if "step" in text else fault.partition("\n")[2]
    return f"{text[:80]!r} is not an interval\n{hint}"


def check_pattern(text: str) -> str:
    """Check the pattern of checkpoints and return it.

    Only {run_dir} is replaced, so anything that a shell would expand is refused.
    """
    if _EXPANDED.match(text):
        raise ValueError(
            f"{text[:80]!r}: ~ and variables are not expanded\n"
            f"write an absolute path, or one relative to the working folder; {RUN_DIR} is the "
            "run folder"
        )
    _refuse_placeholders(text, RUN_DIR)
    return text


def split_words(text: str) -> tuple[str, ...]:
    """Split a line into words as a shell does, without expansions."""
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise ValueError(
            f"{text[:80]!r} cannot be split into words: {str(error).lower()}\n"
            "close the quotes, or write a list of words"
        ) from error
    if not words:
        raise ValueError("empty\nwrite false to append nothing to the arguments")
    return words


def check_resume_words(words: tuple[str, ...]) -> tuple[str, ...]:
    """Check the words that make a script resume; there may be none.

    A script that finds its own checkpoint needs no {checkpoint}.
    """
    for word in words:
        _refuse_placeholders(word, CHECKPOINT)
    if words[-1:] == RESUME[:1]:
        raise ValueError(f"{CHECKPOINT} is missing\nwrite it as in {' '.join(RESUME)}")
    return words


def _refuse_placeholders(text: str, known: str) -> None:
    for placeholder in _PLACEHOLDER.findall(text):
        if placeholder != known:
            raise ValueError(f"unknown placeholder {placeholder}; only {known} is available")
