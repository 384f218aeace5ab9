"""The arguments of a training script: their names, and their defaults as far as its text shows."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from clusterrun.training_script.syntax import keyword_value, last_name

# Names that scripts use for the samples per process and batch: in transformers.TrainingArguments,
# in accelerate's examples, and elsewhere. If a script has two of them, the later ones often mean
# the
# batch of all processes.
BATCH_SIZES = (
    "per_device_train_batch_size",
    "per_device_batch_size",
    "micro_batch_size",
    "micro_train_batch_size",
    "per_gpu_train_batch_size",
    "train_batch_size",
    "batch_size",
)

# Longer numbers are not sizes, and int() refuses texts of more than 4,300 digits.
_MOST_DIGITS = 18


def argument_name(flag: str) -> str:
    """Return the name of a flag in argparse and transformers: `--block-size` is block_size."""
    return flag.lstrip("-").replace("-", "_")


def whole_number(value: object) -> int | None:
    """Return an argument's value as a positive whole number; None if it is not one."""
    text = str(value)
    if not (text.isascii() and text.isdigit()) or len(text) > _MOST_DIGITS:
        return None
    return int(text) or None


def find_defaults(nodes: Iterable[ast.AST], passed: Collection[str] = ()) -> dict[str, Any]:
    """Return the defaults of `add_argument("--name", default=...)` and dataclass fields, as text.

    Arguments in `passed` are omitted, also by another flag or an abbreviation; so are those with
    two different defaults, and those that `set_defaults` sets.
    """
    defaults: dict[str, Any] = {}
    doubtful: set[str] = set()
    for name, text in _definitions(nodes, passed):
        if text is None or defaults.setdefault(name, text) != text:
            doubtful.add(name)
    return {name: text for name, text in defaults.items() if name not in doubtful}


def find_required(calls: Iterable[ast.Call]) -> Iterator[str]:
    """Yield the arguments of `add_argument("--name", required=True)`, without their dashes."""
    for call in calls:
        needed = keyword_value(call, "required")
        if (
            isinstance(call.func, ast.Attribute)
            and call.func.attr == "add_argument"
            and isinstance(needed, ast.Constant)
            and needed.value is True
        ):
            yield from [flag.lstrip("-") for flag in _flags(call) if flag.startswith("--")][:1]


def _definitions(
    nodes: Iterable[ast.AST], passed: Collection[str]
) -> Iterator[tuple[str, str | bool | None]]:
    """Yield names and their defaults; None for an unreliable one."""
    for node in nodes:
        if isinstance(node, ast.Call) and last_name(node.func) == "set_defaults":
            yield from ((keyword.arg, None) for keyword in node.keywords if keyword.arg)
        elif isinstance(node, ast.Call):
            yield from _of_argument(node, passed)
        elif isinstance(node, ast.ClassDef) and any(map(_is_dataclass, node.decorator_list)):
            yield from _of_fields(node)


def _is_dataclass(decorator: ast.expr) -> bool:
    """Return whether it is `@dataclass`, `@dataclasses.dataclass(...)`, or named after them."""
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return "dataclass" in last_name(called)


def _flags(call: ast.Call) -> list[str]:
    values = (word.value for word in call.args if isinstance(word, ast.Constant))
    return [value for value in values if isinstance(value, str)]


def _of_argument(
    call: ast.Call, passed: Collection[str]
) -> Iterator[tuple[str, str | bool | None]]:
    flags = _flags(call)
    long = [argument_name(flag) for flag in flags if flag.startswith("--")]
    text = _literal(keyword_value(call, "default"))
    is_given = any(argument_name(flag) in passed for flag in flags) or any(
        name.startswith(short) for short in passed for name in long
    )
    if text is not None:
        yield from ((name, None if is_given else text) for name in long)


def _of_fields(node: ast.ClassDef) -> Iterator[tuple[str, str | bool | None]]:
    for field in node.body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            is_call = isinstance(field.value, ast.Call) and last_name(field.value.func) == "field"
            text = _literal(keyword_value(field.value, "default") if is_call else field.value)
            if text is not None:
                yield field.target.id, text


def _literal(node: ast.expr | None) -> str | bool | None:
    """Return a literal as written on a command line."""
    value = node.value if isinstance(node, ast.Constant) else None
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return value if isinstance(value, bool) else None
    try:
        return str(value)
    except ValueError:  # a hexadecimal number of thousands of digits
        return None
