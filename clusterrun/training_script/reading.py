"""Reading a training script: the one place that opens and parses it."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path

from clusterrun.files.reading import read_bytes
from clusterrun.training_script.script import TrainingScript

MOST_BYTES = 1_000_000
"""A larger file is data, whatever its name."""


def read_script(path: Path, name: str = "") -> TrainingScript | None:
    """Read and parse a script; `name` is what messages call it, by default the file's name.

    None for what is no regular file, too large, not UTF-8, or no Python of this version.
    """
    text = read_script_text(path)
    return None if text is None else parse_script(name or path.name, text)


def read_script_text(path: Path) -> str | None:
    """Return a script's text; None for what is no regular file, too large, or not UTF-8."""
    try:
        # Python ignores a byte order mark, too
        return read_bytes(path, MOST_BYTES).decode("utf-8-sig")
    except (OSError, ValueError):
        return None


def parse_script(name: str, text: str) -> TrainingScript | None:
    """Parse a script; None if it is no Python of this version."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as an invalid "\d": they are the script's own
            return TrainingScript(name, text, ast.parse(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def script_file(script: str | None, module: str | None) -> str:
    """Return the path of a script, or of a module in the working folder; empty for neither."""
    return script or (f"{module.replace('.', '/')}.py" if module else "")
