"""What a script's arguments are where nobody gives them, from the script's text: nothing is run or imported."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from typing import Any

from clusterrun.job_spec.arguments import argument_name


def defaults_of(tree: ast.Module, given: Collection[str] = ()) -> dict[str, Any]:
    """Return the defaults in `add_argument("--name", default=...)` and in fields of dataclasses, as texts.

    Left out is what `given` names, by another flag or an abbreviation too, what stands there twice with different
    values, and what `set_defaults` sets.
    """
    found: dict[str, Any] = {}
    doubtful: set[str] = set()
    for name, text in _said(tree, given):
        if text is None or found.setdefault(name, text) != text:
            doubtful.add(name)
    return {name: text for name, text in found.items() if name not in doubtful}


def _said(tree: ast.Module, given: Collection[str]) -> Iterator[tuple[str, str | bool | None]]:
    """Yield names and their defaults; None for one that is not to be relied on."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and name_of(node.func) == "set_defaults":
            yield from ((keyword.arg, None) for keyword in node.keywords if keyword.arg)
        elif isinstance(node, ast.Call):
            yield from _of_argument(node, given)
        elif isinstance(node, ast.ClassDef) and any(
            "dataclass" in ast.dump(one) for one in node.decorator_list
        ):
            yield from _of_fields(node)


def _of_argument(call: ast.Call, given: Collection[str]) -> Iterator[tuple[str, str | bool | None]]:
    flags = [
        word.value
        for word in call.args
        if isinstance(word, ast.Constant) and isinstance(word.value, str)
    ]
    long = [argument_name(flag) for flag in flags if flag.startswith("--")]
    text = _text(_keyword(call, "default"))
    told = any(argument_name(flag) in given for flag in flags) or any(
        name.startswith(short) for short in given for name in long
    )
    if text is not None:
        yield from ((name, None if told else text) for name in long)


def _of_fields(node: ast.ClassDef) -> Iterator[tuple[str, str | bool | None]]:
    for field in node.body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            made = isinstance(field.value, ast.Call) and name_of(field.value.func) == "field"
            text = _text(_keyword(field.value, "default") if made else field.value)
            if text is not None:
                yield field.target.id, text


def _keyword(node: ast.expr | None, name: str) -> ast.expr | None:
    keywords = node.keywords if isinstance(node, ast.Call) else []
    return next((keyword.value for keyword in keywords if keyword.arg == name), None)


def _text(node: ast.expr | None) -> str | bool | None:
    """Return a literal as the command line would give it."""
    value = node.value if isinstance(node, ast.Constant) else None
    return (
        value
        if isinstance(value, bool)
        else str(value)
        if isinstance(value, (str, int, float))
        else None
    )


def name_of(node: ast.expr) -> str:
    """Return the last word of a dotted name; empty for anything else."""
    return (
        node.attr
        if isinstance(node, ast.Attribute)
        else node.id
        if isinstance(node, ast.Name)
        else ""
    )
