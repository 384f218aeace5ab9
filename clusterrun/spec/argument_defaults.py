"""What a script's arguments are where nobody gives them, from the script's text: nothing is run or imported."""

from __future__ import annotations

import ast
from typing import Any

from clusterrun.spec.arguments import argument_name


def defaults_of(tree: ast.Module) -> dict[str, Any]:
    """Return the defaults in `add_argument("--name", default=...)` and in fields of dataclasses, as texts."""
    found: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            found |= _of_argument(node)
        elif isinstance(node, ast.ClassDef) and any("dataclass" in ast.dump(one) for one in node.decorator_list):
            found |= _of_fields(node)
    return found


def _of_argument(call: ast.Call) -> dict[str, Any]:
    flags = [word.value for word in call.args if isinstance(word, ast.Constant) and isinstance(word.value, str)]
    text = _text(_keyword(call, "default"))
    return {argument_name(flag): text for flag in flags if flag.startswith("--") and text is not None}


def _of_fields(node: ast.ClassDef) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in node.body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            made = isinstance(field.value, ast.Call) and name_of(field.value.func) == "field"
            text = _text(_keyword(field.value, "default") if made else field.value)
            found |= {field.target.id: text} if text is not None else {}
    return found


def _keyword(node: ast.expr | None, name: str) -> ast.expr | None:
    keywords = node.keywords if isinstance(node, ast.Call) else []
    return next((keyword.value for keyword in keywords if keyword.arg == name), None)


def _text(node: ast.expr | None) -> str | bool | None:
    """Return a literal as the command line would give it."""
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, bool) else str(value) if isinstance(value, (str, int, float)) else None


def name_of(node: ast.expr) -> str:
    """Return the last word of a dotted name; empty for anything else."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
