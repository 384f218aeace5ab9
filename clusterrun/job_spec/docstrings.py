"""Field docstrings of classes, for the reference pages and for editors."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools


# pydantic could read the docstrings below the fields, too, but that would add 12 ms to every start.
@functools.cache
def field_docstrings(kind: type) -> dict[str, str]:
    """Return the docstring of each field of a model, a dataclass or a TypedDict, on one line."""
    (model,) = ast.parse(inspect.getsource(kind)).body
    docstrings: dict[str, str] = {}
    fields = model.body if isinstance(model, ast.ClassDef) else []
    for field, after in itertools.pairwise(fields):
        text = (
            after.value.value
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            else None
        )
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, str)
        ):
            docstrings[field.target.id] = inspect.cleandoc(text).replace("\n", " ")
    return docstrings
