"""What the text of a training script shows: calls that accelerate no longer takes, and whether a Trainer trains.

Nothing is run or imported, and what is found is a warning. Source of each rule: accelerate 1.15 and transformers 5.23,
tried.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from clusterrun.planning.strategy.old_forms import ARGUMENTS, KEYWORDS, WRAP_POLICIES

_TRAINERS = {"HfArgumentParser", "TrainingArguments", "Seq2SeqTrainingArguments", "SFTConfig"}
_TWO_OPTIMIZERS = (
    "the DeepSpeed JSON has an optimizer, and accelerate refuses one of the script beside it; "
    "delete it there, or use accelerate.utils.DummyOptim"
)
_MAIN_ONLY = ("is_main_process", "is_local_main_process")


@dataclass(frozen=True)
class Source:
    """A script's text, and its tree."""

    name: str
    text: str
    tree: ast.Module

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """The whole tree, walked once."""
        return tuple(ast.walk(self.tree))

    @cached_property
    def trainer(self) -> bool:
        """Whether its arguments go to transformers.TrainingArguments."""
        imports = (node for node in self.nodes if isinstance(node, ast.ImportFrom))
        return any(alias.name in _TRAINERS for node in imports for alias in node.names)

    def mentions(self, word: str) -> bool:
        """Say whether a word stands in it anywhere."""
        return re.search(rf"\b{re.escape(word)}\b", self.text) is not None


def source_of(name: str, text: str) -> Source | None:
    """Read a script; None where it is no Python of this version."""
    try:
        return Source(name, text, ast.parse(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def warnings(source: Source, *, zero3: bool, optimizer_in_json: bool) -> list[str]:
    """Return what calls of a script will not do as they did once, each with its line.

    `zero3`: the strategy is ZeRO-3; `optimizer_in_json`: the DeepSpeed JSON has an optimizer of its own.
    """
    found: list[tuple[int, str]] = []
    for node in source.nodes:
        if isinstance(node, ast.Call):
            found.extend((node.lineno, what) for what in _call(node))
        elif isinstance(node, ast.With) and zero3:
            found.extend(_empty_weights(node))
        elif isinstance(node, ast.If):
            found.extend(_saved_by_one(node))
    if optimizer_in_json and not source.trainer and not source.mentions("DummyOptim"):
        found.append((1, _TWO_OPTIMIZERS))
    return [f"{source.name}:{line}: {what}" for line, what in sorted(found)]


def _call(node: ast.Call) -> Iterator[str]:
    name = _name(node.func)
    for keyword in node.keywords:
        today = KEYWORDS.get((name, keyword.arg or ""))
        if today:
            yield f"{name}({keyword.arg}=...) is an old form; today: {today}"
        if name.endswith("TrainingArguments") and keyword.arg in ARGUMENTS:
            words = ARGUMENTS[keyword.arg]
            yield f"TrainingArguments has no {keyword.arg}" + (f"; today: {words}" if words else "")
        if (
            name == "Accelerator"
            and keyword.arg == "deepspeed_plugin"
            and _is_mapping(keyword.value)
        ):
            yield "Accelerator(deepspeed_plugin={...}) is an old form; today: DeepSpeedPlugin(hf_ds_config={...})"
        if keyword.arg == "auto_wrap_policy" and isinstance(keyword.value, ast.Constant):
            policy = WRAP_POLICIES.get(str(keyword.value.value).upper())
            if policy:
                yield f'auto_wrap_policy="{keyword.value.value!s}" is an old form; today: "{policy.lower()}"'


def _is_mapping(node: ast.expr) -> bool:
    """Whether it is a dict of DeepSpeed's words, and not one of plugins, which accelerate takes."""
    return isinstance(node, ast.Dict) and not any(
        isinstance(value, (ast.Call, ast.Name)) for value in node.values
    )


def _name(node: ast.expr) -> str:
    return (
        node.attr
        if isinstance(node, ast.Attribute)
        else node.id
        if isinstance(node, ast.Name)
        else ""
    )


def _calls(nodes: list[ast.stmt]) -> Iterator[ast.Call]:
    return (
        node for statement in nodes for node in ast.walk(statement) if isinstance(node, ast.Call)
    )


def _empty_weights(node: ast.With) -> Iterator[tuple[int, str]]:
    """`init_empty_weights` hides the weights from ZeRO-3, which makes them where they belong by itself."""
    around = any(
        isinstance(item.context_expr, ast.Call)
        and _name(item.context_expr.func) == "init_empty_weights"
        for item in node.items
    )
    if around and any(_name(call.func) == "from_pretrained" for call in _calls(node.body)):
        yield (
            node.lineno,
            "init_empty_weights around from_pretrained under ZeRO-3: drop it, zero3_init_flag: true does it",
        )


def _saved_by_one(node: ast.If) -> Iterator[tuple[int, str]]:
    """All ranks must call it: by one alone DDP loses the others' random state, and FSDP2 hangs."""
    if isinstance(node.test, ast.Attribute) and node.test.attr in _MAIN_ONLY:
        for call in _calls(node.body):
            if _name(call.func) == "save_state":
                yield (
                    call.lineno,
                    f"save_state under {node.test.attr}: all processes must call it, or FSDP2 waits for ever",
                )
