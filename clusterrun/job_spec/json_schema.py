"""The JSON Schema of a job spec, for editors, made from the models.

It covers single values only: `validate` also checks rules between keys, and the files that a spec
names. Whatever the schema refuses, the loader refuses, too. Source: json-schema.org, draft 2020-12.
"""

from __future__ import annotations

import re
import types
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from clusterrun import units
from clusterrun.job_spec import gpus, grammar, model, options, values
from clusterrun.job_spec.docstrings import field_docstrings
from clusterrun.job_spec.keys import SECTIONS

TITLE = "clusterrun job spec"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TEXT: dict[str, Any] = {"type": ["string", "number"]}
_ANY: dict[str, Any] = {}
_PARAMETER = r"\{[A-Za-z_][A-Za-z0-9_]*\}"
# The words and numbers that pydantic accepts as true and false:
# https://docs.pydantic.dev/latest/api/standard_library_types/#booleans
_TRUTHS = "0 1 f t n y no yes off on false true".split()


def _ignore_case(word: str) -> str:
    return "".join(f"[{letter.upper()}{letter}]" for letter in word)


def _match_patterns(*patterns: re.Pattern[str] | str) -> dict[str, Any]:
    """Return the schema of a number, or of a string that matches a pattern, in ECMA's syntax."""
    texts = [one if isinstance(one, str) else one.pattern for one in patterns]
    text = "|".join(f"(?:{re.sub('[?]P<[a-z]+>', '?:', one)})" for one in texts)
    return {"anyOf": [{"type": "string", "pattern": f"^(?:{text})$"}, {"type": "number"}]}


_BOOLEAN: dict[str, Any] = {
    "anyOf": [
        {"type": "boolean"},
        {"enum": [0, 1]},
        {"type": "string", "pattern": f"^(?:{'|'.join(map(_ignore_case, _TRUTHS))})$"},
    ]
}
# By the names of the models' own types; the schema of any other field follows its Python type.
_FORMS: dict[str, dict[str, Any]] = {
    "Line": _TEXT,
    "Word": _TEXT,
    "Operand": _TEXT,
    "Variable": {"type": "string"},
    "Value": {"type": ["string", "number", "boolean"]},
    "ShellText": {"type": "string"},
    "Flag": {"type": ["string", "number", "boolean"]},
    # with a placeholder, the name of the members of a sweep
    "Name": _match_patterns(values.NAME, r"[^{}]*\{[^{}]+\}.*"),
    "Time": _match_patterns(units.SLURM_TIME, *map(_ignore_case, units.SLURM_UNLIMITED)),
    "Memory": _match_patterns(units.SLURM_MEMORY),
    "Nodes": _match_patterns(grammar.NODES),
    "Gpus": _match_patterns(gpus.COUNT),
    "Count": {"type": "integer", "minimum": 1, "maximum": 1_000_000},
    "Signal": _match_patterns("(?:SIG)?(?:USR1|10)@[0-9]+"),
    "Array": _match_patterns("[0-9,:-]+(?:%[0-9]+)?"),
    "Every": _match_patterns("auto", units.DURATION, units.STEPS, units.SLURM_TIME),
    "Hang": {
        "anyOf": [
            {"type": ["boolean", "number"]},
            {"type": "string", "examples": ["auto", "30min"]},
        ]
    },
    "Wait": _match_patterns(units.DURATION, units.SLURM_TIME),
    "SrunOptions": {"type": "object"},
    "Tee": {"type": ["string", "integer"]},
    "Address": _TEXT,
    "Pattern": _TEXT,
    "Words": {"anyOf": [{"type": "string"}, {"const": False}, {"type": "array", "items": _TEXT}]},
    "StopSignal": {
        "enum": [
            f"{sig}{name}" for sig in ("", "SIG") for name in ("USR1", "USR2", "TERM", "INT", "HUP")
        ]
    },
}
_LINES: dict[str, Any] = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
}
# Fields whose validators accept more than their types.
_FIELDS: dict[str, dict[str, Any]] = {
    "JobSpec.args": {"type": ["object", "array"]},
    "JobSpec.node_check": {"anyOf": [{"type": "boolean"}, *_LINES["anyOf"]]},
    "Environment.setup": _LINES,
    "Environment.setup_first": _LINES,
    "Environment.setup_each_node": _LINES,
    "Environment.module_use": _LINES,
    "Notification.on": {
        "type": "array",
        "minItems": 1,
        "items": {"enum": ["finished", "gave-up", "requeued"]},
    },
    "Requeue.crashes": {"type": "integer", "minimum": 0, "maximum": 1000},
}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a job spec; `clusterrun schema -o FILE` writes it."""
    schema = _model_schema("JobSpec", model.JobSpec)
    return {
        "$schema": _DIALECT,
        "title": TITLE,
        **schema,
        "anyOf": [{"required": [name]} for name in ("script", "module", "command")],
    }


def _model_schema(name: str, kind: type[BaseModel]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for field in kind.model_fields:
        section = SECTIONS.get(field) if name == "JobSpec" else None
        form = (
            _model_schema(section.__name__, section)
            if section is not None
            else _field_schema(name, kind, field)
        )
        description = field_docstrings(kind).get(field)
        key = (
            field.replace("_", "-")
            if name == "Slurm" and field != "additional_parameters"
            else field
        )
        if section is None and key not in ("parameters", "notify"):
            form = _allow_parameter(form)
        properties[key] = {
            **({"description": description} if description else {}),
            **_allow_null(form),
        }
    if name == "Slurm":
        properties |= _untyped_options(properties)
    return {
        "type": "object",
        "description": (kind.__doc__ or "").splitlines()[0],
        "properties": properties,
        "patternProperties": {
            _key_pattern(key): dict(form)
            for key, form in properties.items()
            if re.search("[-_]", key)
        },
        "additionalProperties": False,
    }


def _untyped_options(typed: dict[str, Any]) -> dict[str, Any]:
    """Return the schemas of sbatch's options that have no typed field and that a spec may set."""
    free = [
        name
        for name in sorted(options.KNOWN)
        if name not in typed and not options.reason_refused(name, launcher=True)[0]
    ]
    return {
        name: {"description": f"sbatch's --{name}", **_allow_null(_FORMS["Flag"])} for name in free
    }


def _key_pattern(key: str) -> str:
    """Return the pattern of a key with dashes or underscores; editors propose dashes."""
    return "^" + re.sub("[-_]", "[-_]", key) + "$"


def _allow_parameter(form: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that also allows a parameter, such as `{lr}`, in place of any value."""
    kind = form.get("type")
    if not form or (kind is not None and "string" in kind and not {"pattern", "enum"} & {*form}):
        return form
    return {"anyOf": [form, {"type": "string", "pattern": _PARAMETER}]}


def _allow_null(form: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that also allows null: a key without a value counts as omitted."""
    kind = form.get("type")
    if kind is not None and "enum" not in form:
        kinds = [kind] if isinstance(kind, str) else kind
        return {**form, "type": [*kinds, "null"]}
    return {"anyOf": [form, {"type": "null"}]} if form else {}


def _field_schema(name: str, kind: type[BaseModel], field: str) -> dict[str, Any]:
    if (path := f"{name}.{field}") in _FIELDS:
        return _FIELDS[path]
    if path == "JobSpec.notify":
        return {"type": "array", "items": _model_schema("Notification", model.Notification)}
    if path == "Notification.to":
        return _model_schema("NotificationTarget", model.NotificationTarget)
    written = str(kind.__annotations__[field]).removesuffix(" | None")
    if written.startswith("tuple["):
        inner = written.removeprefix("tuple[").split(",")[0].split("[")[0]
        items = _FORMS.get(inner) or _type_schema(get_args(kind.model_fields[field].annotation)[0])
        return {"type": "array", "items": items}
    return _FORMS.get(written) or _type_schema(kind.model_fields[field].annotation)


def _type_schema(annotation: Any) -> dict[str, Any]:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return {"enum": [*parts]}
    if origin in (Union, types.UnionType):
        inner = [_type_schema(part) for part in parts if part is not type(None)]
        return inner[0] if len(inner) == 1 else {"anyOf": inner}
    if origin is dict:
        return {"type": "object"}
    return {bool: _BOOLEAN, int: {"type": "integer"}, str: _TEXT}.get(annotation, _ANY)
