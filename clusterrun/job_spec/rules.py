"""Rules between the fields of a spec."""

from __future__ import annotations

import re
from typing import Any

from clusterrun.job_spec.accelerate_rules import BESIDE_CONFIG_FILE, STRATEGIES, check_accelerate
from clusterrun.job_spec.checkpoint import RUN_DIR
from clusterrun.job_spec.gpu_rules import check_gpus
from clusterrun.job_spec.launcher_rules import WITH_ANY_LAUNCHER, check_launcher
from clusterrun.job_spec.layers import Layers
from clusterrun.job_spec.parameters import unquoted_parameter
from clusterrun.job_spec.placeholders import check_placeholders, unquoted_placeholder
from clusterrun.job_spec.slurm_rules import MEMORIES, check_slurm
from clusterrun.job_spec.srun_options import check_srun_options
from clusterrun.job_spec.values import read_argument, read_line

_WHAT_RUNS = ("script", "module", "command")
PYTHONS = ("venv", "conda", "uv")
"""Keys of `environment` that select a Python."""
_FLAG = re.compile(r"-{0,2}[A-Za-z0-9_][A-Za-z0-9_.:/+-]*")


def check_together(layers: Layers) -> None:
    """Record every violation of a rule between fields."""
    values = layers.values
    _drop_defaults(layers, values)
    _check_what_runs(layers, values)
    check_slurm(layers, values)
    check_launcher(layers, values)
    check_accelerate(layers, values)
    check_srun_options(layers, values)
    check_gpus(layers, values.get("slurm") or {})
    _check_environment(layers, values.get("environment") or {})
    _check_checkpoints(layers, values)
    _check_notifications(layers, values)
    _check_arguments(layers, values, values.get("parameters") or {})
    check_placeholders(layers)


def _drop_defaults(layers: Layers, values: dict[str, Any]) -> None:
    """Drop the profile's values of fields that cannot be combined with those that the spec sets."""
    accelerate = values.get("accelerate") or {}
    if values.get("command") is not None:
        layers.drop_defaults("accelerate", [*accelerate])
        layers.drop_defaults("checkpoint", ["resume"])
    elif values.get("launcher") in ("torchrun", "srun"):
        layers.drop_defaults("accelerate", {*accelerate} - WITH_ANY_LAUNCHER)
    elif ("accelerate", "config_file") not in layers.defaults and accelerate.get(
        "config_file"
    ) is not None:
        layers.drop_defaults("accelerate", {*accelerate} - BESIDE_CONFIG_FILE)
    elif {("accelerate", key) for key in {*accelerate} - BESIDE_CONFIG_FILE} - layers.defaults:
        layers.drop_defaults("accelerate", ["config_file"])
    own = (values.get("checkpoint") or {}).get("path") is not None
    layers.drop_defaults("checkpoint", ["async_save"] if own else ["resume"])
    for section, keys in (
        ("accelerate", STRATEGIES),
        ("slurm", MEMORIES),
        ("environment", PYTHONS),
    ):
        present = [key for key in keys if (values.get(section) or {}).get(key) is not None]
        if {(section, key) for key in present} - layers.defaults:
            layers.drop_defaults(section, present)
    environment = values.get("environment") or {}
    if isinstance(environment, dict) and environment.get("conda") is None:
        layers.drop_defaults("environment", ["conda_base"])


def _check_what_runs(layers: Layers, values: dict[str, Any]) -> None:
    present = [name for name in _WHAT_RUNS if values.get(name) is not None]
    misspelt = {f"did you mean {name}?" for name in _WHAT_RUNS} & {
        problem.hint for problem in layers.problems
    }
    if not present and not misspelt:
        layers.add_problem((), "nothing to run", "add script: train.py, or module: or command:")
    for extra in present[1:]:
        what = f"cannot be combined with {present[0]}"
        layers.add_problem((extra,), what, f"use exactly one of {', '.join(_WHAT_RUNS)}")
    if present == ["command"] and values.get("args"):
        layers.add_problem(
            ("args",), "cannot be combined with command", "write the arguments into the command"
        )


def _check_environment(layers: Layers, environment: dict[str, Any]) -> None:
    first, *others = [key for key in PYTHONS if environment.get(key) is not None] or [""]
    for key in others:
        what, hint = f"cannot be combined with {first}", f"use one of {first} and {key}"
        layers.add_problem(("environment", key), what, hint)
    if environment.get("conda_base") is not None and first not in ("", "conda"):
        what = f"cannot be combined with {first}"
        layers.add_problem(("environment", "conda_base"), what, "delete one of the two")
    variables = environment.get("variables")
    secrets = environment.get("secrets")
    if isinstance(variables, dict) and isinstance(secrets, list):
        for index, name in enumerate(secrets):
            if isinstance(name, str) and name in variables:
                layers.add_problem(
                    ("environment", "secrets", index),
                    f"{name} is also in environment.variables",
                    "delete it there, so that its value is in no file",
                )


def _check_checkpoints(layers: Layers, values: dict[str, Any]) -> None:
    """Check the keys for checkpoints that are written without `clusterrun.training`."""
    checkpoint = values.get("checkpoint") or {}
    path, resume = checkpoint.get("path"), checkpoint.get("resume")
    if resume is not None and path is None:
        layers.add_problem(
            ("checkpoint", "resume"),
            "requires checkpoint.path, the place of the checkpoints",
            "add path: out/checkpoint-*; with clusterrun.training, delete resume",
        )
    elif resume and values.get("command") is not None:
        layers.add_problem(
            ("checkpoint", "resume"),
            "cannot be combined with command, which runs as written",
            'use "$CLUSTERRUN_CHECKPOINT" in the command: the newest, empty before the first',
        )
    if path is not None and checkpoint.get("async_save"):
        layers.add_problem(
            ("checkpoint", "async_save"),
            "cannot be combined with checkpoint.path: such a script saves by itself",
            "delete one of the two",
        )
    if (
        path is not None
        and (values.get("slurm") or {}).get("array") is not None
        and RUN_DIR not in str(path)
    ):
        layers.add_problem(
            ("checkpoint", "path"),
            "the tasks of slurm.array would resume from each other's checkpoints",
            f"start it with {RUN_DIR}, each task's own folder; scripts read CLUSTERRUN_RUN_DIR",
        )


def _check_notifications(layers: Layers, values: dict[str, Any]) -> None:
    """Record notifications without exactly one target, and webhooks that are not secrets."""
    environment = values.get("environment") or {}
    secrets = environment.get("secrets") or () if isinstance(environment, dict) else ()
    notices = values.get("notify") or ()
    for number, notice in enumerate(notices if isinstance(notices, (list, tuple)) else ()):
        to = notice.get("to") if isinstance(notice, dict) else None
        if not isinstance(to, dict):
            continue
        ways = [way for way in ("mail", "webhook") if to.get(way) is not None]
        if len(ways) != 1:
            what = "has both mail and webhook" if ways else "has neither mail nor webhook"
            layers.add_problem(
                ("notify", number, "to"),
                what,
                "write one entry per target",
            )
        elif ways == ["mail"] and "shape" in to:
            layers.add_problem(
                ("notify", number, "to", "shape"), "only webhooks have a shape", "delete it"
            )
        elif ways == ["webhook"] and to["webhook"] not in secrets:
            what = f"{str(to['webhook'])[:80]} is not in environment.secrets"
            hint = "add it there: the name of a variable that holds the URL, which is in no file"
            layers.add_problem(("notify", number, "to", "webhook"), what, hint)


def _check_arguments(layers: Layers, values: dict[str, Any], parameters: dict[str, Any]) -> None:
    """Check each argument at its own line, and keep numbers as written."""
    args = values.get("args")
    if not isinstance(args, (dict, list)):
        return
    for key, value in args.items() if isinstance(args, dict) else enumerate(args):
        path = ("args", key)
        if isinstance(key, str) and not _FLAG.fullmatch(key):
            layers.add_problem(
                path,
                "not the name of a command-line flag",
                "write args as a list of words to pass them on as written",
            )
        placeholder = unquoted_placeholder(value) or unquoted_parameter(value, parameters)
        if placeholder:
            layers.add_problem(path, "a mapping in YAML", f'write "{placeholder}", in quotes')
            continue
        try:
            args[key] = read_argument(value) if isinstance(args, dict) else read_line(value)
        except ValueError as error:
            layers.add_problem(path, str(error))
