"""The model that a training script's text shows: one that it loads by name, or a transformers config that it builds."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from clusterrun.estimation.config_classes import DEFAULTS, MODEL_TYPES
from clusterrun.estimation.families import FAMILIES
from clusterrun.estimation.script_text import NotWritten, ScriptText
from clusterrun.job_spec.argument_defaults import name_of

_COMMON = (
    "hidden_size",
    "num_attention_heads",
    "vocab_size",
    "num_hidden_layers",
    "num_key_value_heads",
    "head_dim",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
    "num_local_experts",
    "tie_word_embeddings",
    "attention_bias",
    "mlp_bias",
    "hidden_act",
)
_CLASSIFIER = "ForSequenceClassification"


@dataclass(frozen=True)
class Named:
    """A model that is named as transformers takes it."""

    place: str
    """Where it is named: args.config_name, or train.py:12."""
    name: str


@dataclass(frozen=True)
class Built:
    """A config that the script builds."""

    place: str
    kind: str
    """The class, such as GPT2Config."""
    config: Mapping[str, Any]
    """Its fields, as in a config.json; the defaults are those of the class."""
    unknown: tuple[str, ...]
    """Fields that matter and are known when the script runs only."""


def model_in(script: ScriptText) -> Named | Built | None:
    """Find the script's one model; None where its text shows none, or several."""
    calls = list(script.calls())
    loads = [call for call in calls if _loads(call)]
    builds = [call for call in calls if name_of(call.func) in MODEL_TYPES]
    if loads:
        return _loaded(script, loads)
    return (
        _built(script, builds[0], [name_of(call.func) for call in calls])
        if len(builds) == 1
        else None
    )


def _loads(call: ast.Call) -> bool:
    """Tell `AutoModelForCausalLM.from_pretrained(name)`, LlamaForCausalLM's and AutoConfig's from a tokenizer's."""
    function = call.func
    if not isinstance(function, ast.Attribute) or function.attr != "from_pretrained":
        return False
    owner = name_of(function.value)
    return owner.endswith("Config") or re.search(r"Model|[a-z0-9]For[A-Z]", owner) is not None


def _loaded(script: ScriptText, calls: list[ast.Call]) -> Named | None:
    """Return the model that all these calls load as it is; None where one is unnamed, another, or changed."""
    names = set()
    for call in calls:
        sizes = {keyword.arg for keyword in call.keywords} & _ALL
        try:
            names.add(script.value(call.args[0]) if call.args and not sizes else None)
        except NotWritten:
            return None
    name = names.pop()
    if names or not isinstance(name, str) or not name or script.fields_set() & _ALL:
        return None
    return Named(f"{script.name}:{calls[0].lineno}", name)


def _built(script: ScriptText, call: ast.Call, called: list[str]) -> Built | None:
    kind = MODEL_TYPES[name_of(call.func)]
    config: dict[str, Any] = {"model_type": kind, **DEFAULTS[kind]}
    config["architectures"] = [name for name in called if name.endswith(_CLASSIFIER)]
    unknown = sorted(script.fields_set() & set(_fields(kind)))
    try:
        words = [(key, node) for key, node in script.words_of(call) if key in tuple(_fields(kind))]
    except (NotWritten, RecursionError):
        return None
    for key, node in words:
        try:
            config[key] = _value(script, key, node)
        except NotWritten:
            unknown.append(key)
    return Built(f"{script.name}:{call.lineno}", name_of(call.func), config, tuple(unknown))


def _value(script: ScriptText, key: str, node: ast.expr) -> Any:
    """Return a field's value; what the script computes, such as `len(tokenizer)`, an argument of its name may tell."""
    try:
        return script.value(node)
    except NotWritten:
        if key in script.arguments:
            return script.value(ast.Attribute(ast.Name("args"), key))
        raise


def _fields(kind: str) -> Iterator[str]:
    """Yield the words of a config on which memory depends, as this architecture spells them."""
    family = FAMILIES[kind]
    yield from (family.names.get(key, key) for key in _COMMON)
    yield from family.dropouts
    yield "num_labels"


# Every field that matters to some architecture.
_ALL = {field for kind in FAMILIES for field in _fields(kind)}
