"""The model that a training script names or builds, as far as its text shows."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from clusterrun.training_script.script import TrainingScript
from clusterrun.training_script.syntax import last_name
from clusterrun.training_script.values import ScriptValues, ValueUnknown

_CLASSIFIER = "ForSequenceClassification"


@dataclass(frozen=True)
class Named:
    """A model by its transformers name or path."""

    place: str
    """The place of the name: args.config_name, or train.py:12."""
    name: str


@dataclass(frozen=True)
class Built:
    """A config that the script builds."""

    place: str
    kind: str
    """The class, such as GPT2Config."""
    config: Mapping[str, Any]
    """Its fields as in a config.json, with the defaults of the class."""
    unknown: tuple[str, ...]
    """Fields that matter and are known only when the script runs."""


@dataclass(frozen=True)
class ConfigClass:
    """A config class of transformers, as far as a reader needs it."""

    model_type: str
    defaults: Mapping[str, Any]
    fields: Collection[str]
    """The fields that matter to the reader; all others are ignored."""


def find_model(
    script: TrainingScript, arguments: Mapping[str, Any], classes: Mapping[str, ConfigClass]
) -> Named | Built | None:
    """Return the model of a script; None if its text shows none, or several.

    `arguments` are those that the script runs with, defaults included; `classes` are the config
    classes that are known, by name.
    """
    values = ScriptValues(script, arguments)
    loads = [call for call in script.calls if _loads_model(call)]
    if loads:
        sizes = {field for known in classes.values() for field in known.fields}
        return _named(values, loads, sizes)
    builds = [call for call in script.calls if last_name(call.func) in classes]
    if len(builds) != 1:
        return None
    return _built(values, builds[0], classes[last_name(builds[0].func)])


def _loads_model(call: ast.Call) -> bool:
    """Return whether a call is from_pretrained of a model or config class, not of a tokenizer."""
    function = call.func
    if not isinstance(function, ast.Attribute) or function.attr != "from_pretrained":
        return False
    owner = last_name(function.value)
    return owner.endswith("Config") or re.search(r"Model|[a-z0-9]For[A-Z]", owner) is not None


def _named(values: ScriptValues, calls: list[ast.Call], sizes: set[str]) -> Named | None:
    """Return the model that all calls load unchanged; None if they differ or one is unnamed."""
    script = values.script
    names = set()
    for call in calls:
        changed = {keyword.arg for keyword in call.keywords} & sizes
        try:
            name = values.value_of(call.args[0]) if call.args and not changed else None
        except ValueUnknown:
            return None
        names.add(name if isinstance(name, str) else None)
    name = names.pop()
    if names or not name or script.attributes_set & sizes:
        return None
    return Named(f"{script.file_name}:{calls[0].lineno}", name)


def _built(values: ScriptValues, call: ast.Call, known: ConfigClass) -> Built | None:
    script = values.script
    called = [last_name(one.func) for one in script.calls]
    config: dict[str, Any] = {"model_type": known.model_type, **known.defaults}
    config["architectures"] = [name for name in called if name.endswith(_CLASSIFIER)]
    unknown = sorted(script.attributes_set & set(known.fields))
    try:
        keywords = [(key, node) for key, node in values.keywords_of(call) if key in known.fields]
    except ValueUnknown:
        return None
    for key, node in keywords:
        try:
            config[key] = _field(values, key, node)
        except ValueUnknown:
            unknown.append(key)
    place = f"{script.file_name}:{call.lineno}"
    return Built(place, last_name(call.func), config, tuple(unknown))


def _field(values: ScriptValues, key: str, node: ast.expr) -> Any:
    """Return a field's value, or its argument's if it is computed, as `len(tokenizer)` is."""
    try:
        return values.value_of(node)
    except ValueUnknown:
        if key in values.arguments:
            return values.argument(key)
        raise
