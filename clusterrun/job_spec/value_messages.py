"""Messages for invalid values, from pydantic's errors, with the value that was probably meant."""

from __future__ import annotations

import difflib
from typing import Any

from clusterrun.job_spec.values import name_kind

# Other names of a choice.
_MEANT = {
    "fp32": "no",
    "float32": "no",
    "none": "no",
    "float16": "fp16",
    "half": "fp16",
    "bfloat16": "bf16",
    "float8": "fp8",
    "ddp": "MULTI_GPU",
    "fsdp2": "FSDP, with fsdp_config: {fsdp_version: 2}",
    "zero": "DEEPSPEED",
    "failure": "crash",
    "error": "crash",
    "oom": "crash",
    "timeout": "time-limit",
    "preempted": "preemption",
}
_SHAPES = {
    "string": "one line of text",
    "int": "a whole number",
    "bool": "true or false",
    "dict": "a mapping",
    "tuple": "a list",
    "model": "a mapping",
}
_LIMITS = {"greater_than_equal": ("ge", "at least"), "less_than_equal": ("le", "at most")}


def explain_value(fault: dict[str, Any]) -> tuple[str, str]:
    """Return the message and the hint for one of pydantic's errors; the hint may be empty."""
    kind, value, context = str(fault["type"]), fault["input"], fault.get("ctx") or {}
    if kind == "value_error":
        what, _, hint = str(context["error"]).partition("\n")
        return what, hint
    if kind == "extra_forbidden":
        return "unknown key", ""
    got = f"got {_show_value(value)}"
    if kind == "literal_error":
        return _explain_choice(value, str(context["expected"]), got)
    if kind in _LIMITS:
        key, words = _LIMITS[kind]
        return f"must be {words} {context[key]}, {got}", ""
    for start, shape in _SHAPES.items():
        if kind.startswith(start):
            return f"must be {shape}, {got}", _propose(start, value)
    return str(fault["msg"]), ""


def _explain_choice(value: Any, expected: str, got: str) -> tuple[str, str]:
    choices = [part.strip(" '") for part in expected.replace(" or ", ", ").split(",")]
    if len(choices) == 1:
        return f"must be {choices[0]}, {got}", f"write {choices[0]}, or delete the key"
    text = str(value)
    near = difflib.get_close_matches(text, choices, n=1)
    near = near or [one for one in choices if one.lower() == text.lower().replace("_", "-")]
    what = f"must be one of {', '.join(choices)}; {got}"
    meant = _MEANT.get(text.lower(), "")
    if meant.partition(",")[0] in choices:
        return what, f"write {meant}" if "," in meant else f"write {meant} for {text}"
    return what, f"did you mean {near[0]}?" if near else ""


def _propose(shape: str, value: Any) -> str:
    """Return the value to write for a value of another shape; empty if it is not clear."""
    if shape == "tuple" and isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return f"write [{_show_plain(value)}]"
    if shape == "int" and isinstance(value, str) and value.isdecimal():
        return f"write {value}, without quotes"
    if shape == "int" and isinstance(value, float) and value.is_integer():
        return f"write {int(value)}"
    return ""


def _show_plain(value: Any) -> str:
    return str(getattr(value, "text", value))[:80]


def _show_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return repr(value[:80])
    return str(getattr(value, "text", ""))[:80] or name_kind(value)
