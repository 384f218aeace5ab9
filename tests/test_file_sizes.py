"""A Python file holds one idea in at most 300 lines; a function has at most 50."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("benchmarks", "clusterrun", "examples", "tests", "tools")
MOST_LINES = 300
MOST_LINES_OF_A_FUNCTION = 50


def python_files(folder: str) -> Iterator[Path]:
    """List a folder's Python files, and its programs without a suffix."""
    for path in sorted((ROOT / folder).rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and is_python(path):
            yield path


def is_python(path: Path) -> bool:
    """Return whether a file is a Python program, by its suffix or its first line."""
    if path.suffix:
        return path.suffix == ".py"
    with path.open("rb") as file:
        first_line = file.readline()
    return first_line.startswith(b"#!") and b"python" in first_line


def long_functions(path: Path) -> Iterator[str]:
    """Name the functions of a file that are too long, without the lines of their decorators."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if lines > MOST_LINES_OF_A_FUNCTION:
                yield f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}: {lines} lines"


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_file_has_at_most_300_lines(folder):
    """A longer file holds more than one idea."""
    lines = {path: len(path.read_text().splitlines()) for path in python_files(folder)}
    assert lines
    assert [
        f"{path.relative_to(ROOT)}: {count} lines"
        for path, count in lines.items()
        if count > MOST_LINES
    ] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_function_has_at_most_50_lines(folder):
    """A longer function does more than one thing."""
    assert [found for path in python_files(folder) for found in long_functions(path)] == []
