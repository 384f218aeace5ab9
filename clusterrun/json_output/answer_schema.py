"""The JSON Schema of what a command prints with `--json`, from the types of its output."""

from __future__ import annotations

import inspect
import re
from dataclasses import is_dataclass
from typing import Any, NamedTuple, get_args

from pydantic import TypeAdapter
from typing_extensions import get_type_hints

from clusterrun.errors import Problem, SpecError
from clusterrun.job_spec.docstrings import field_docstrings
from clusterrun.json_output.output_types import OUTPUTS, ErrorOutput

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NONE = re.compile(r"\bNone\b")
_SHAPE_DESCRIPTIONS = {
    "object": "one object",
    "list": "one list",
    "lines": "one object per line, as they arrive; this is the schema of one object",
}


class _TypeSchema(NamedTuple):
    """The schema of one type, and the schemas of the types in it."""

    form: dict[str, Any]
    inner: dict[str, Any]


def answer_schema(command: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a command's output, or of its error.

    Raises SpecError if the command has no `--json`.

    From 1.0 on, keys are added within a major version; none is removed or changes its meaning.
    """
    if command not in OUTPUTS:
        what = f"{command!r} is not a command with --json"
        hint = f"use one of {', '.join(sorted(OUTPUTS))}"
        raise SpecError([Problem("schema", "", what, hint)])
    answer = OUTPUTS[command]
    schemas = [
        _make_schema(kind) for kind in (*answer.kinds, *filter(None, [answer.instead]), ErrorOutput)
    ]
    count = len(answer.kinds)
    merged = _merge_schemas([one.form for one in schemas[:count]])
    main = {"type": "array", "items": merged} if answer.shape == "list" else merged
    return {
        "$schema": _DIALECT,
        "title": f"clusterrun {command} --json",
        "description": _SHAPE_DESCRIPTIONS[answer.shape],
        "anyOf": [main, *(one.form for one in schemas[count:])],
        "$defs": {name: form for one in schemas for name, form in one.inner.items()},
    }


def _make_schema(kind: type) -> _TypeSchema:
    schema = TypeAdapter(kind).json_schema(mode="serialization")
    types = {one.__name__: one for one in _collect_classes(kind)}
    inner = {
        name: _describe_fields(form, types.get(name))
        for name, form in schema.pop("$defs", {}).items()
    }
    (alone,) = schema.pop("allOf", [schema])  # pydantic 2.8 puts a reference in a list
    reference = alone.pop("$ref", "")
    form = inner[reference.rpartition("/")[2]] if reference else _describe_fields(schema, kind)
    return _TypeSchema(form, inner)


def _collect_classes(kind: type) -> set[type]:
    """Return the classes in a type's fields, and the type itself."""
    classes, left = set(), [kind]
    while left:
        one = left.pop()
        if isinstance(one, type) and hasattr(one, "__annotations__") and one not in classes:
            classes.add(one)
            left += get_type_hints(one).values()
        left += get_args(one)
    return classes


def _describe_fields(form: dict[str, Any], kind: type | None) -> dict[str, Any]:
    """Return a schema with the descriptions of a class's fields, all of which are required."""
    properties = form.get("properties")
    if properties is None:
        return form
    descriptions = field_docstrings(kind) if kind else {}
    docstring = inspect.getdoc(kind) if kind else ""  # pydantic 2.8 leaves it out
    for name, inner in properties.items():
        inner.pop("title", None)
        inner.pop("default", None)
        if inner.get("type") == "number":
            inner["type"] = ["number", "null"]  # JSON has neither infinity nor NaN
        if name in descriptions:
            inner["description"] = _NONE.sub("null", descriptions[name])
    whole = {"required": [*properties]} if is_dataclass(kind) else {}
    description = form.get("description") or docstring or ""
    return {**form, **whole, "description": _NONE.sub("null", description)}


def _merge_schemas(forms: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the schema of one object with the keys of all."""
    first, *rest = forms
    if not rest:
        return first
    properties = {name: inner for form in forms for name, inner in form["properties"].items()}
    required = [name for form in forms for name in form.get("required", ())]
    return {
        "type": "object",
        "description": first.get("description", ""),
        "properties": properties,
        "required": required,
    }
