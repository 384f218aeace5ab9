"""The command line that a training script accepts."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field

from clusterrun.training_script.syntax import keyword_value, last_name


@dataclass(frozen=True)
class ValueRule:
    """Which values an option accepts, as far as the script's text shows it."""

    type: str = ""
    """`int` or `float`; empty for any other type."""
    choices: tuple[str, ...] = ()

    def describe_fault(self, text: str) -> str:
        """Return why a value is refused; empty if it is accepted."""
        try:
            if self.type == "int":
                int(text)
            elif self.type == "float":
                float(text)
        except ValueError:
            return f"must be {'a whole number' if self.type == 'int' else 'a number'}"
        if self.choices and text not in self.choices:
            return f"must be one of {', '.join(self.choices)}"
        return ""


@dataclass(frozen=True)
class CommandLine:
    """The options that a script accepts, with their dashes, and those that it requires."""

    options: frozenset[str]
    required: tuple[frozenset[str], ...]
    """The spellings of each required option."""
    abbreviations: bool
    """Whether a unique prefix of an option is accepted."""
    rules: Mapping[str, ValueRule] = field(default_factory=dict)
    """By option; only of those that take one value."""

    def accepts(self, option: str) -> bool:
        """Return whether the script accepts an option such as `--epochs`."""
        if option in self.options:
            return True
        return self.abbreviations and any(name.startswith(option) for name in self.options)


def read_value_rule(call: ast.Call) -> ValueRule | None:
    """Return the rule of an `add_argument`; None if it takes another number of values than one."""
    if keyword_value(call, "nargs") is not None or keyword_value(call, "action") is not None:
        return None
    kind, listed = keyword_value(call, "type"), keyword_value(call, "choices")
    name = last_name(kind) if isinstance(kind, ast.Name) else ""
    values = listed.elts if isinstance(listed, (ast.List, ast.Tuple)) else []
    choices = tuple(str(one.value) for one in values if isinstance(one, ast.Constant))
    is_text = kind is None or name == "str"
    rule = ValueRule(
        name if name in ("int", "float") else "",
        choices if len(choices) == len(values) and is_text else (),
    )
    return rule if rule != ValueRule() else None
