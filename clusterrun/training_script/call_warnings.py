"""Warnings about calls in a training script that accelerate or transformers do not accept.

Source of each rule: tried with accelerate 1.15 and transformers 5.23.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from clusterrun.training_script.old_forms import ARGUMENTS, KEYWORDS, WRAP_POLICIES
from clusterrun.training_script.script import TrainingScript
from clusterrun.training_script.syntax import last_name

_TWO_OPTIMIZERS = (
    "the DeepSpeed JSON has an optimizer, so accelerate refuses the script's own; delete it in the "
    "JSON, or use accelerate.utils.DummyOptim"
)
_MAIN_ONLY = ("is_main_process", "is_local_main_process")


def call_warnings(script: TrainingScript, *, zero3: bool, optimizer_in_json: bool) -> list[str]:
    """Return the warnings about a script's calls, each with its line.

    `zero3`: the strategy is ZeRO-3; `optimizer_in_json`: the DeepSpeed JSON defines an optimizer.
    """
    warnings: list[tuple[int, str]] = []
    for node in script.nodes:
        if isinstance(node, ast.Call):
            warnings.extend((node.lineno, what) for what in _format_call(node))
        elif isinstance(node, ast.With) and zero3:
            warnings.extend(_empty_weights(node))
        elif isinstance(node, ast.If):
            warnings.extend(_saved_by_one(node))
    if optimizer_in_json and not script.uses_trainer and not script.mentions("DummyOptim"):
        warnings.append((1, _TWO_OPTIMIZERS))
    return [f"{script.name}:{line}: {what}" for line, what in sorted(warnings)]


def _format_call(node: ast.Call) -> Iterator[str]:
    name = last_name(node.func)
    for keyword in node.keywords:
        today = KEYWORDS.get((name, keyword.arg or ""))
        if today:
            yield f"{name}({keyword.arg}=...) was removed; use {today}"
        if name.endswith("TrainingArguments") and keyword.arg in ARGUMENTS:
            words = ARGUMENTS[keyword.arg]
            yield f"TrainingArguments has no {keyword.arg}" + (f"; use {words}" if words else "")
        if (
            name == "Accelerator"
            and keyword.arg == "deepspeed_plugin"
            and _is_mapping(keyword.value)
        ):
            yield (
                "Accelerator(deepspeed_plugin={...}) was removed; use "
                "DeepSpeedPlugin(hf_ds_config={...})"
            )
        if keyword.arg == "auto_wrap_policy" and isinstance(keyword.value, ast.Constant):
            written = keyword.value.value
            policy = WRAP_POLICIES.get(written.upper()) if isinstance(written, str) else None
            if policy:
                yield f'auto_wrap_policy="{written!s}" was renamed; use "{policy.lower()}"'


def _is_mapping(node: ast.expr) -> bool:
    """Return whether it is a dict of DeepSpeed's keys, not of plugins, which accelerate accepts."""
    return isinstance(node, ast.Dict) and not any(
        isinstance(value, (ast.Call, ast.Name)) for value in node.values
    )


def _calls(nodes: list[ast.stmt]) -> Iterator[ast.Call]:
    return (
        node for statement in nodes for node in ast.walk(statement) if isinstance(node, ast.Call)
    )


def _empty_weights(node: ast.With) -> Iterator[tuple[int, str]]:
    """Yield uses of `init_empty_weights`, which hides the weights that ZeRO-3 partitions."""
    is_around = any(
        isinstance(item.context_expr, ast.Call)
        and last_name(item.context_expr.func) == "init_empty_weights"
        for item in node.items
    )
    if is_around and any(last_name(call.func) == "from_pretrained" for call in _calls(node.body)):
        yield (
            node.lineno,
            (
                "init_empty_weights around from_pretrained with ZeRO-3; delete it and set "
                "zero3_init_flag: true"
            ),
        )


def _saved_by_one(node: ast.If) -> Iterator[tuple[int, str]]:
    """Yield save_state calls by one rank: DDP loses the others' random state, and FSDP2 hangs."""
    if isinstance(node.test, ast.Attribute) and node.test.attr in _MAIN_ONLY:
        for call in _calls(node.body):
            if last_name(call.func) == "save_state":
                yield (
                    call.lineno,
                    (
                        f"save_state under {node.test.attr}; all processes must call it, "
                        "or FSDP2 hangs"
                    ),
                )
