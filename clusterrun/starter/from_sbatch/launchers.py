"""The kinds of commands that a script starts."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from clusterrun.starter.from_sbatch.words import Word

LAUNCHERS = ("accelerate", "torchrun", "deepspeed")
"""Programs that start one process per GPU."""
RANKS = {**dict.fromkeys(LAUNCHERS, 3), "bash": 2, "python": 2, "other": 1}
"""Higher for the more likely training, if a script starts several commands."""
_PYTHON = re.compile(r"python(3(\.\d+)?)?")
_MODULES = {
    "accelerate.commands.launch": "accelerate",
    "torch.distributed.run": "torchrun",
    "torch.distributed.launch": "torchrun",
    "deepspeed.launcher.runner": "deepspeed",
}
_SHELLS = frozenset({"bash", "sh", "/bin/bash", "/bin/sh"})


def kind_of(words: Sequence[Word]) -> tuple[str, list[Word]]:
    """Return the kind of a command and its words after the launcher; all words without one."""
    texts = [word.text for word in words]
    program = texts[0].rsplit("/", 1)[-1] if texts else ""
    if program == "accelerate" and texts[1:2] == ["launch"]:
        return "accelerate", list(words[2:])
    if program in ("accelerate-launch", "torchrun", "deepspeed"):
        return program.removesuffix("-launch"), list(words[1:])
    if _PYTHON.fullmatch(program):
        return _kind_of_python(words)
    return ("bash" if texts[:1] and texts[0] in _SHELLS and len(texts) > 1 else "other"), list(
        words
    )


def _kind_of_python(words: Sequence[Word]) -> tuple[str, list[Word]]:
    place = 1
    while place < len(words) and words[place].text.startswith("-"):
        flag = words[place].text
        if flag == "-m" and place + 1 < len(words):
            kind = _MODULES.get(words[place + 1].text)
            return (kind, list(words[place + 2 :])) if kind else ("python", list(words))
        if flag in ("-c", "-", "-V", "--version"):
            return "other", list(words)
        place += 2 if flag in ("-W", "-X") else 1
    return ("python", list(words)) if place < len(words) else ("other", list(words))


def script_of_bash(words: Sequence[Word]) -> Word | None:
    """Return the text that `bash -c` runs; None if bash runs a file."""
    for flag, word in itertools.pairwise(words[1:]):
        if flag.text.startswith("-") and "c" in flag.text:
            return word
        if not flag.text.startswith("-"):
            break
    return None
