"""Syntax errors of the training script, if this Python can judge it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from clusterrun.errors import Problem
from clusterrun.files.reading import read_text
from clusterrun.job_spec import Loaded
from clusterrun.training_script.reading import find_syntax_error, script_file

_VERSION = re.compile(r"^version(?:_info)?\s*=\s*(\d+)\.(\d+)", re.MULTILINE)


def check_script_syntax(loaded: Loaded, work_dir: Path, text: str | None) -> list[Problem]:
    """Return the syntax error of a script; none if the run may have a newer Python than this.

    `text` is the script's; None if it was not read.
    """
    name = script_file(loaded.spec.script, loaded.spec.module)
    fault = find_syntax_error(text) if text is not None else None
    version = _find_python_version(loaded, work_dir) if fault else None
    if fault is None or version is None or version > sys.version_info[:2]:
        return []
    line, what = fault
    return [Problem(f"{name}:{line}", "", f"syntax error: {what}")]


def _find_python_version(loaded: Loaded, work_dir: Path) -> tuple[int, int] | None:
    """Return the version of the run's Python, from its virtual environment; None if unknown."""
    environment = loaded.spec.environment
    folder = f"{environment.uv}/.venv" if environment.uv else environment.venv
    if folder is None:
        return None
    try:
        text = read_text(work_dir / folder / "pyvenv.cfg")
    except (OSError, UnicodeDecodeError):
        return None
    match = _VERSION.search(text)
    return (int(match[1]), int(match[2])) if match else None
