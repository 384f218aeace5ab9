"""Reading of a training script: the only place that opens and parses it."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path

from clusterrun.files.reading import read_bytes
from clusterrun.training_script.script import TrainingScript

MOST_BYTES = 1_000_000
"""A larger file is data, whatever its name."""


def read_script(path: Path, name: str = "") -> TrainingScript | None:
    """Read and parse a script; `name` is its name in messages, by default the file's.

    None if it is not a regular file, too large, not UTF-8, or not Python of this version.
    """
    text = read_script_text(path)
    return None if text is None else parse_script(name or path.name, text)


def read_script_text(path: Path) -> str | None:
    """Return a script's text; None if it is not a regular file, too large, or not UTF-8."""
    try:
        # Python ignores a byte order mark, too
        return read_bytes(path, MOST_BYTES).decode("utf-8-sig")
    except (OSError, ValueError):
        return None


def parse_script(name: str, text: str) -> TrainingScript | None:
    """Parse a script; None if it is not Python of this version."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as for an invalid "\d"
            return TrainingScript(name, text, ast.parse(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def find_syntax_error(text: str) -> tuple[int, str] | None:
    """Return line and message of a script's syntax error for this Python; None without one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except SyntaxError as error:
        return error.lineno or 1, error.msg
    except (ValueError, RecursionError, MemoryError):
        return None
    return None


def script_file(script: str | None, module: str | None) -> str:
    """Return the path of a script, or of a module in the working folder; empty for neither."""
    return script or (f"{module.replace('.', '/')}.py" if module else "")
