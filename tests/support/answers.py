"""What `--json` prints is held against its schema, closed: a key too many is a fault as one too few is."""

from __future__ import annotations

import functools
import json
from typing import Any

import jsonschema

from clusterrun.json_output.answer_schema import answer_schema


@functools.cache
def validator(command: str) -> jsonschema.Draft202012Validator:
    """Return what checks a command's answers."""
    schema = answer_schema(command)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(closed(schema))


def closed(schema: Any) -> Any:
    """Let no object have a key that the schema does not name."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(one) for key, one in schema.items()}
    return (
        {**inner, "additionalProperties": False}
        if isinstance(schema.get("properties"), dict)
        else inner
    )


def fits(command: str, text: str) -> Any:
    """Read a command's answer, which must be as its schema says, and return it."""
    answer = json.loads(text, parse_constant=_no_json)
    faults = [
        f"{error.json_path}: {error.message}" for error in validator(command).iter_errors(answer)
    ]
    assert faults == [], text
    return answer


def _no_json(word: str) -> None:
    raise AssertionError(f"JSON has no {word}")
