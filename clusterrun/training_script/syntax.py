"""Helpers for Python syntax trees."""

from __future__ import annotations

import ast


def last_name(node: ast.expr) -> str:
    """Return the last part of a dotted name; empty for any other expression."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def keyword_value(node: ast.expr | None, name: str) -> ast.expr | None:
    """Return the value of a call's keyword; None if it is missing, or the node is not a call."""
    keywords = node.keywords if isinstance(node, ast.Call) else []
    return next((keyword.value for keyword in keywords if keyword.arg == name), None)
