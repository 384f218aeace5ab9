"""Parameters: values such as {lr}, which the spec names once and each submission may set.

`{lr}` alone becomes the parameter's value with its type, so that true is a bare flag; within a
longer text it becomes the value as written. Braces around any other word are left alone, because
arguments often contain JSON.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from clusterrun.errors import Problem, SpecError
from clusterrun.job_spec.layers import Layers
from clusterrun.job_spec.placeholders import SHELL, list_texts
from clusterrun.job_spec.values import read_argument
from clusterrun.job_spec.yaml_text import KeyPath, dotted

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SHELL_TEXTS = ("command", "node_check", "environment.setup")
"""Keys whose text is shell, in which parameters are not replaced."""
_WORD_IN_BRACES = re.compile(r"(?<![${])\{([A-Za-z_][A-Za-z0-9_]*)\}(?!\})")
_ALMOST_EQUAL = 0.7


def apply_parameters(layers: Layers, declared: Mapping[str, Any]) -> None:
    """Replace the parameters in all values of a spec, and record mistakes.

    `declared` are the parameters of the spec's file. Raises SpecError with every mistake so far if
    a parameter has no value, because the checks of other values would fail for lack of it.
    """
    parameters = layers.values.get("parameters") or {}
    if not isinstance(parameters, dict):
        layers.add_problem(("parameters",), "must be a mapping of names to values")
        del layers.values["parameters"]
        return
    known = {
        name: value
        for name, value in parameters.items()
        if _is_valid(layers, name, value, {*declared})
    }
    if any(value is None for value in known.values()):
        raise SpecError(layers.problems)
    for key, value in layers.values.items():
        if key != "parameters" and known:
            layers.values[key] = _fill(layers, (key,), value, known)
    if known:
        layers.values["parameters"] = known


def _is_valid(layers: Layers, name: str, value: Any, declared: set[str]) -> bool:
    """Return whether a parameter can be used, and record why not."""
    path = ("parameters", name)
    if name not in declared:
        near = difflib.get_close_matches(name, declared, n=1)
        hint = f"did you mean {near[0]}?" if near else f"add parameters: {{{name}: null}} to it"
        layers.add_problem(path, "the spec has no such parameter", hint)
        return False
    if not NAME.fullmatch(name):
        what = "not a parameter name: letters, digits and '_', not starting with a digit"
        layers.add_problem(path, what)
        return False
    if name in SHELL:
        what = f"{{{name}}} already has a meaning: a value that the job knows"
        layers.add_problem(path, what, "use another name")
        return False
    if value is None:
        hint = f"pass --param {name}=VALUE, or write a default into the spec"
        layers.add_problem(path, "no value", hint)
        return True
    try:
        read_argument(value)
    except ValueError as error:
        layers.add_problem(path, str(error))
        return False
    return True


def _fill(layers: Layers, path: KeyPath, value: Any, known: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _fill(layers, (*path, key), inner, known) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_fill(layers, (*path, key), inner, known) for key, inner in enumerate(value)]
    if not isinstance(value, str):
        return value
    if dotted(tuple(part for part in path if isinstance(part, str))) in SHELL_TEXTS:
        _refuse_in_shell(layers, path, value, known)
        return value
    return _fill_text(layers, path, value, known)


def _fill_text(layers: Layers, path: KeyPath, text: str, known: Mapping[str, Any]) -> Any:
    whole = _WORD_IN_BRACES.fullmatch(text)
    if whole and whole[1] in known:
        return known[whole[1]]
    names = "|".join(known)

    def replace(match: re.Match[str]) -> str:
        if match["escaped"]:
            return f"{{{match['escaped']}}}"
        value = known[match["name"]]
        if isinstance(value, list):
            what = f"{{{match['name']}}} is a list, which cannot be part of a text"
            layers.add_problem(path, what, f'write "{{{match["name"]}}}" alone')
        return show(value)

    pattern = rf"(?<!\$)(?:\{{\{{(?P<escaped>{names})\}}\}}|\{{(?P<name>{names})\}})"
    return re.sub(pattern, replace, text)


def show(value: Any) -> str:
    """Return a parameter's value as text; a number as written."""
    if isinstance(value, (list, tuple)):
        return " ".join(map(show, value))
    if isinstance(value, bool):
        return str(value).lower()
    return str(getattr(value, "text", value))


def format_parameters(parameters: Mapping[str, Any]) -> str:
    """Return parameters as one line for people: `lr=3e-4 name=small`."""
    return " ".join(f"{name}={show(value)}" for name, value in parameters.items())


def escape(values: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resolved spec that loads to the same values again.

    A `{name}` that is left in it is a text, not a parameter, and is written as `{{name}}`.
    """
    if not parameters:
        return {**values}
    return {
        key: value if key == "parameters" else _escape(value, (key,), "|".join(parameters))
        for key, value in values.items()
    }


def _escape(value: Any, path: KeyPath, names: str) -> Any:
    if isinstance(value, dict):
        return {key: _escape(inner, (*path, key), names) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_escape(inner, path, names) for inner in value]
    if not isinstance(value, str) or dotted(path) in SHELL_TEXTS:
        return value
    return re.sub(rf"(?<!\$)\{{({names})\}}", r"{{\1}}", value)


def _refuse_in_shell(layers: Layers, path: KeyPath, text: str, known: Mapping[str, Any]) -> None:
    """Record a parameter in shell text: only the shell itself can quote a value there."""
    for name in known:
        if re.search(rf"(?<![${{]){{{name}}}", text):
            variable = name.upper()
            hint = (
                f'add environment: {{variables: {{{variable}: "{{{name}}}"}}}}, '
                f'and write "${variable}"'
            )
            layers.add_problem(path, f"{{{name}}} is not replaced in shell text", hint)


def unquoted_parameter(value: Any, parameters: Mapping[str, Any]) -> str:
    """Return the parameter that YAML reads as a mapping because it has no quotes; or nothing."""
    is_one = isinstance(value, dict) and len(value) == 1 and set(value) <= set(parameters)
    return f"{{{next(iter(value))}}}" if is_one and None in value.values() else ""


def note_near_misses(layers: Layers) -> Iterator[str]:
    """Yield a note for each word in braces that is almost a parameter's name."""
    parameters = layers.values.get("parameters") or {}
    for path, text in list_texts(layers.values) if parameters else ():
        for word in _WORD_IN_BRACES.findall(text):
            near = difflib.get_close_matches(word, parameters, n=1, cutoff=_ALMOST_EQUAL)
            if near and word not in SHELL:
                what = f"{{{word}}} is passed on as written; did you mean {{{near[0]}}}?"
                yield str(Problem(layers.line_of(path), dotted(path), what))
