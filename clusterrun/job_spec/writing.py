"""Job specs as YAML for people: one key a line, trailing comments, numbers and times as written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from clusterrun.job_spec.yaml_text import KeyPath, read_scalar

_PLAIN = re.compile(r"[A-Za-z0-9_./~$%+=^@-]([A-Za-z0-9_./$%+=@:, -]*[A-Za-z0-9_./$%+=@-])?")
_BLOCKS = {("slurm",), ("environment",)}
_LONGEST = 100
_COLUMN = 26


def write_spec(values: Mapping[str, Any], comments: Mapping[KeyPath, str] | None = None) -> str:
    """Return YAML that loads to the same values as a spec's; `comments` follow their keys."""
    filled = {key: value for key, value in values.items() if value != {}}
    return "".join(
        f"{line}\n"
        for key, value in filled.items()
        for line in _write_entry(key, value, (), comments or {})
    )


def _write_entry(
    key: str, value: Any, above: KeyPath, comments: Mapping[KeyPath, str]
) -> Iterator[str]:
    path, indent = (*above, key), "  " * len(above)
    flow = _write_flow(value)
    below = any(one[: len(path)] == path and one != path for one in comments)
    fits = len(indent) + len(key) + len(flow) < _LONGEST
    compact = isinstance(value, (list, tuple)) or not above or len(above) > 1
    start = f"{indent}{_write_scalar(key)}:"
    if not isinstance(value, (dict, list, tuple)) or not value:
        yield from _write_value(start, value, path, comments)
    elif fits and not below and compact and path not in _BLOCKS:
        yield _with_comment(f"{start} {flow}", comments.get(path, ""))
    else:
        yield _with_comment(start, comments.get(path, ""))
        yield from _write_items(value, path, comments)


def _write_items(value: Any, path: KeyPath, comments: Mapping[KeyPath, str]) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _write_entry(str(key), inner, path, comments)
        return
    for number, item in enumerate(value):
        yield from _write_value("  " * len(path) + "-", item, (*path, number), comments)


def _write_value(
    start: str, value: Any, path: KeyPath, comments: Mapping[KeyPath, str]
) -> Iterator[str]:
    """Write a value after its key; a multi-line string is a block, with its comment above it."""
    comment = comments.get(path, "")
    indent = " " * (len(start) - len(start.lstrip()))
    if isinstance(value, str) and "\n" in value and _is_block(value):
        if comment:
            yield f"{indent}# {comment}"
        yield f"{start} {'|' if value.endswith(chr(10)) else '|-'}"
        yield from (
            f"{indent}  {line}" if line else "" for line in value.removesuffix("\n").split("\n")
        )
    else:
        is_flow = isinstance(value, (dict, list, tuple))
        text = _write_flow(value) if is_flow else _write_scalar(value, block=True)
        yield _with_comment(f"{start} {text}", comment)


def _is_block(value: str) -> bool:
    """Return whether a literal block preserves a text: not indented, at most one final newline."""
    return (
        not value[0].isspace()
        and not value.endswith("\n\n")
        and value.replace("\n", "").isprintable()
    )


def _with_comment(text: str, comment: str) -> str:
    return f"{text.ljust(_COLUMN)}  # {comment}" if comment else text


def _write_flow(value: Any) -> str:
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(
                f"{_write_scalar(str(key))}: {_write_flow(item)}" for key, item in value.items()
            )
            + "}"
        )
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_write_flow, value)) + "]"
    return _write_scalar(value)


def _write_scalar(value: Any, *, block: bool = False) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if not isinstance(value, str):
        return str(getattr(value, "text", value))
    if (
        _PLAIN.fullmatch(value)
        and not re.search(r": |:$" if block else r"[,:] |:$|,", value)
        and not value.startswith(("-", "@", "%"))
    ):
        if isinstance(read_scalar(value), str):
            return value
    elif "\n" not in value and "\t" not in value and value.isprintable() and "'" not in value:
        return f"'{value}'"
    return str(yaml.safe_dump(value, width=10**9, default_style='"', allow_unicode=True)).strip()
