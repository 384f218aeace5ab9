"""Check `--json` output against its schema, closed: an extra key is an error, as is a missing one."""

from __future__ import annotations

import functools
import json
from typing import Any

import jsonschema

from clusterrun.json_output.answer_schema import answer_schema


@functools.cache
def validator(command: str) -> jsonschema.Draft202012Validator:
    """Return the validator of a command's output."""
    schema = answer_schema(command)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(closed(schema))


def closed(schema: Any) -> Any:
    """Forbid keys that the schema does not name, in every object."""
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
    """Parse a command's output, check it against the schema, and return it."""
    answer = json.loads(text, parse_constant=_no_json)
    faults = [
        f"{error.json_path}: {error.message}" for error in validator(command).iter_errors(answer)
    ]
    assert faults == [], text
    return answer


def _no_json(word: str) -> None:
    raise AssertionError(f"JSON has no {word}")
