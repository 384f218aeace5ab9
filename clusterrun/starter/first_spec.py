"""A first job spec, from the user's options and the training script."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clusterrun.errors import Problem, SpecError
from clusterrun.job_spec.writing import write_spec
from clusterrun.job_spec.yaml_text import read_scalar
from clusterrun.starter.script import Script, name_of, read_training_script

_MOST_ARGUMENTS = 12
_FSDP = {
    "fsdp_version": 2,
    "fsdp_reshard_after_forward": True,
    "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
    "fsdp_state_dict_type": "SHARDED_STATE_DICT",
    "fsdp_cpu_ram_efficient_loading": False,
}
_ZERO3 = {"zero_stage": 3, "zero3_init_flag": True, "zero3_save_16bit_model": True}
_OFFLOAD = {"offload_optimizer_device": "cpu"}
STRATEGIES: dict[str, tuple[dict[str, Any], str]] = {
    "ddp": ({}, "each GPU holds the whole model"),
    "fsdp": (
        {"fsdp_config": _FSDP},
        "parameters, gradients and optimizer are sharded over all processes",
    ),
    "fsdp-offload": (
        {"fsdp_config": {**_FSDP, "fsdp_offload_params": True}},
        "as fsdp, in the memory of the node's CPUs",
    ),
    "zero1": (
        {"deepspeed_config": {"zero_stage": 1}},
        "DeepSpeed ZeRO-1: the optimizer state is sharded",
    ),
    "zero2": (
        {"deepspeed_config": {"zero_stage": 2}},
        "DeepSpeed ZeRO-2: optimizer state and gradients are sharded",
    ),
    "zero3": ({"deepspeed_config": _ZERO3}, "DeepSpeed ZeRO-3: parameters are sharded, too"),
    "zero2-offload": (
        {"deepspeed_config": {"zero_stage": 2, **_OFFLOAD}},
        "DeepSpeed ZeRO-2, optimizer in the memory of the node's CPUs",
    ),
    "zero3-offload": (
        {"deepspeed_config": {**_ZERO3, **_OFFLOAD, "offload_param_device": "cpu"}},
        "DeepSpeed ZeRO-3 in the memory of the node's CPUs",
    ),
}
"""The `accelerate` section for each value of `init --strategy`, and its description."""


@dataclass(frozen=True)
class SpecRequest:
    """The user's options for a new spec."""

    script: str
    strategy: str = "ddp"
    slurm: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    """The environment of the user's shell: its virtual environment becomes the run's."""


def new_spec(request: SpecRequest, *, cwd: Path, folder: Path) -> str:
    """Return the text of a new job spec, to be written to `folder`; paths are relative to `cwd`.

    Raises SpecError for an unknown strategy, or if the script is missing.
    """
    if request.strategy not in STRATEGIES:
        raise SpecError(
            [
                Problem(
                    "--strategy",
                    "",
                    f"unknown strategy: {request.strategy}",
                    f"use one of {', '.join(STRATEGIES)}",
                )
            ]
        )
    script = read_training_script(cwd / request.script, request.script)
    words, meaning = STRATEGIES[request.strategy]
    values: dict[str, Any] = {
        "name": request.name or name_of(request.script),
        "script": request.script,
    }
    values["slurm"] = {**request.slurm, "chdir": os.path.relpath(cwd, folder)}
    values["accelerate"] = {
        **_choose_precision(request, script),
        **_choose_processes(request),
        **words,
    }
    values["environment"] = _choose_environment(request, cwd)
    if script.resumable:
        values["checkpoint"] = {"every": "10min", "keep": 3}
    text = write_spec(values, _make_comments(values, meaning))
    head, slurm, rest = text.partition("slurm:")
    return head + _show_arguments(script) + slurm + rest + _show_checkpoints(script)


def _requests_gpus(request: SpecRequest) -> bool:
    return str(request.slurm.get("gpus-per-node", "")) not in ("", "0")


def _choose_precision(request: SpecRequest, script: Script) -> dict[str, Any]:
    return {"mixed_precision": "bf16"} if _requests_gpus(request) and not script.trainer else {}


def _choose_processes(request: SpecRequest) -> dict[str, Any]:
    """Return the number of processes on CPUs; on GPUs it is counted."""
    if _requests_gpus(request):
        return {}
    nodes = int(str(request.slurm.get("nodes", 1)).rpartition("-")[2])
    return {"num_processes": nodes, "use_cpu": True}


def _choose_environment(request: SpecRequest, cwd: Path) -> dict[str, Any]:
    venv, conda = request.environment.get("VIRTUAL_ENV"), request.environment.get("CONDA_PREFIX")
    secrets = [name for name in ("HF_TOKEN", "WANDB_API_KEY") if request.environment.get(name)]
    section: dict[str, Any] = {}
    if venv:
        inside = Path(venv).is_relative_to(cwd)
        section["venv"] = str(Path(venv).relative_to(cwd)) if inside else venv
    elif conda:
        section["conda"] = conda
    return section | ({"secrets": secrets} if secrets else {})


def _make_comments(values: Mapping[str, Any], meaning: str) -> dict[tuple[str | int, ...], str]:
    comments: dict[tuple[str | int, ...], str] = {
        (
            "slurm",
            "chdir",
        ): "the working folder, relative to this file; other paths are relative to it",
        ("accelerate",): meaning,
        ("environment", "venv"): "activated on the nodes",
        (
            "environment",
            "secrets",
        ): "names only; the values come from the shell that you submit from",
        ("checkpoint",): "by clusterrun.training",
    }
    if "gpus-per-node" in values["slurm"]:
        comments["slurm", "gpus-per-node"] = "one process per GPU"
    if "num_processes" in values["accelerate"]:
        comments["accelerate", "num_processes"] = "the total, on CPUs"
    return comments


def _show_arguments(script: Script) -> str:
    """Return the script's arguments as comments, so that its defaults stay in effect."""
    lines = [
        f"#   {name}:" + " " * max(1, 20 - len(name)) + " # required" for name in script.required
    ]
    shown = {
        name: value
        for name, value in script.defaults.items()
        if name not in script.required and value not in ("", None)
    }
    for name, value in [*shown.items()][: _MOST_ARGUMENTS - len(lines)]:
        text = read_scalar(value) if isinstance(value, str) else value
        lines += [f"#   {line}" for line in write_spec({name: text}).splitlines()]
    if not lines:
        return ""
    more = (
        ""
        if len(shown) + len(script.required) <= _MOST_ARGUMENTS
        else f"; {len(shown) + len(script.required) - len(lines)} more"
    )
    return "\n".join(
        [f"# args:                   # the script's arguments and their defaults{more}", *lines, ""]
    )


def _show_checkpoints(script: Script) -> str:
    if script.resumable:
        return ""
    out = script.defaults.get("output_dir") or "out"
    return (
        "# checkpoint:             # the script does not import clusterrun.training; if it saves "
        "by itself:\n"
        f"#   path: {out}/checkpoint-*   # the newest is passed as --resume_from_checkpoint\n"
    )
