"""The `accelerate launch` command of a run: sole owner of accelerate's flags, keys and variables.

Facts behind it, read in accelerate 1.15 (commands/launch.py, utils/launch.py):
`--multi_gpu` as a flag refuses one process, in the config file it does not; `use_cpu` in the config
file does not reach the workers of several processes, ACCELERATE_USE_CPU does;
`gradient_accumulation_steps` is no config key, as a flag it does nothing without DeepSpeed,
ACCELERATE_GRADIENT_ACCUMULATION_STEPS is read by `Accelerator()`; `num_processes` counts all
machines; DeepSpeed's default launcher for several machines is pdsh, over ssh; `offload_*_nvme_path`
in the config file does not reach the workers, the variables that DeepSpeedPlugin reads do;
`mixed_precision` in the config file is refused beside a DeepSpeed JSON, as a flag it fills the
"auto" of that JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clusterrun.job_spec import gpus, grammar
from clusterrun.job_spec.checkpoint import CHECKPOINT
from clusterrun.job_spec.model import Accelerate, JobSpec, Slurm
from clusterrun.job_spec.values import Argument
from clusterrun.planning.accelerate_config import (
    CONFIG_NAME,
    Words,
    correct_config,
    deepspeed_json_path,
    make_config,
    read_config,
    total_processes,
)
from clusterrun.quoting import Shell, quote_around

DEEPSPEED_NAME = "deepspeed.json"

_USE_CPU = "ACCELERATE_USE_CPU"


@dataclass(frozen=True)
class Configs:
    """The texts of the config files that a spec names; None if not named, or not readable."""

    accelerate: str | None = None
    deepspeed: str | None = None
    """The DeepSpeed JSON, which the spec or its accelerate config names."""


@dataclass(frozen=True)
class Launch:
    """What every node runs, word by word, and what it needs before."""

    lines: tuple[Words, ...]
    config: str | None
    """The text of accelerate's config file; None if a path is used, or no accelerate."""
    variables: Mapping[str, str]
    """Environment that accelerate reads."""
    processes: int | None
    """How many processes in all; None: counted from the GPUs that Slurm gives."""
    resume: Words = ()
    """What follows the lines once a checkpoint exists, for a script with its own checkpoints."""
    deepspeed: str | None = None
    """The text of DeepSpeed's config file, a JSON; None if a path is used, or none at all."""
    cpu_by_default: bool = False
    """Whether it trains on CPUs only because the job requests no GPU."""

    @property
    def files(self) -> dict[str, str]:
        """The config files that the script brings along, each by its name in the node's folder."""
        texts = {CONFIG_NAME: self.config, DEEPSPEED_NAME: self.deepspeed}
        return {name: text for name, text in texts.items() if text is not None}


def requests_gpus(slurm: Slurm) -> bool:
    """Return whether a job requests GPUs, with any of sbatch's options."""
    return gpus.are_requested(slurm.options)


def make_launch(spec: JobSpec, configs: Configs, *, gpus_requested: bool) -> Launch:
    """Make the command of a spec; `gpus_requested`: the job requests GPUs from Slurm."""
    if spec.command is not None:
        tasks = None if gpus_requested else grammar.most_nodes(spec.slurm.nodes)
        return Launch(((Shell(spec.command),),), None, {}, tasks)
    given = read_config(configs.accelerate)
    use_cpu = _decide_use_cpu(spec.accelerate, given, gpus_requested=gpus_requested)
    config = configs.accelerate
    if spec.accelerate.config_file is None:
        config = make_config(
            spec.accelerate, use_cpu=use_cpu, brought=configs.deepspeed is not None
        )
    processes = spec.accelerate.num_processes
    if processes is None and not gpus_requested:
        processes = total_processes(given, grammar.most_nodes(spec.slurm.nodes))
    flags = _make_flags(spec, given, processes, brought=configs.deepspeed is not None)
    lines = (("accelerate", "launch"), *flags, *_script_lines(spec))
    variables = _make_variables(spec.accelerate, given, use_cpu=use_cpu)
    by_default = use_cpu and spec.accelerate.use_cpu is None and "use_cpu" not in given
    by_default = by_default and _USE_CPU not in spec.environment.variables
    return Launch(
        lines, config, variables, processes, _resume_words(spec), configs.deepspeed, by_default
    )


def _decide_use_cpu(
    accelerate: Accelerate, given: Mapping[str, Any], *, gpus_requested: bool
) -> bool:
    if accelerate.use_cpu is not None:
        return accelerate.use_cpu
    if "use_cpu" in given:
        return bool(given["use_cpu"])
    return not gpus_requested


def _make_flags(
    spec: JobSpec, given: Mapping[str, Any], processes: int | None, *, brought: bool
) -> list[Words]:
    """Return the flags, which override the config file; what only a node knows is a variable."""
    path = spec.accelerate.config_file
    unread = path is not None and not given
    lines: list[Words] = [
        ("--config_file", str(path) if unread else Shell(f'"$node_dir/{CONFIG_NAME}"')),
        ("--num_machines", Shell('"$num_machines"'), "--num_processes", Shell('"$num_processes"')),
        ("--machine_rank", Shell('"$SLURM_NODEID"')),
        (
            "--main_process_ip",
            Shell('"$main_process_ip"'),
            "--main_process_port",
            Shell('"$main_process_port"'),
        ),
    ]
    lines.extend(correct_config(given, processes))
    json = ("--deepspeed_config_file", Shell(f'"$node_dir/{DEEPSPEED_NAME}"')) if brought else ()
    precision = (
        spec.accelerate.mixed_precision
        if deepspeed_json_path(spec.accelerate.deepspeed_config)
        else None
    )
    if brought or precision:
        lines.append((*json, *(("--mixed_precision", precision) if precision else ())))
    threads = spec.accelerate.num_cpu_threads_per_process
    if threads is not None:
        lines.append(("--num_cpu_threads_per_process", str(threads)))
    if spec.accelerate.tee not in (None, "0"):
        lines.append(("--tee", str(spec.accelerate.tee), "--log_dir", Shell('"$node_dir/ranks"')))
    return lines


def _script_lines(spec: JobSpec) -> list[Words]:
    what: list[Words] = (
        [("--module", spec.module)] if spec.module is not None else [(str(spec.script),)]
    )
    if not isinstance(spec.args, dict):
        return [*what, tuple(spec.args)] if spec.args else what
    return what + [
        words for name, value in spec.args.items() if (words := argument_words(name, value))
    ]


def argument_words(name: str, value: Argument) -> Words:
    """Spell one argument: `True` a bare flag, `False` and `None` nothing, a list many values."""
    flag = name if name.startswith("-") else f"--{name}"
    if value is None or value is False:
        return ()
    if value is True:
        return (flag,)
    if isinstance(value, str):
        # argparse takes a value that begins with a dash only when it is joined to its flag
        return (
            (f"{flag}={value}",)
            if value.startswith("-") and flag.startswith("--")
            else (flag, value)
        )
    return (flag, *value)


def _resume_words(spec: JobSpec) -> Words:
    """Return the words that pass on a checkpoint, which the job script finds; each stays one."""
    given = spec.checkpoint.resume if spec.checkpoint.path is not None else ()
    return tuple(quote_around(word, CHECKPOINT, '"$checkpoint"') for word in given)


def _make_variables(
    accelerate: Accelerate, given: Mapping[str, Any], *, use_cpu: bool
) -> dict[str, str]:
    variables = {_USE_CPU: "true"} if use_cpu else {}
    if accelerate.gradient_accumulation_steps is not None:
        variables["ACCELERATE_GRADIENT_ACCUMULATION_STEPS"] = str(
            accelerate.gradient_accumulation_steps
        )
    if accelerate.tee not in (None, "0"):
        variables["TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE"] = "[rank${rank}]: "
    section = accelerate.deepspeed_config or given.get("deepspeed_config") or {}
    for what in ("optimizer", "param"):
        path = section.get(f"offload_{what}_nvme_path")
        if path not in (None, "none"):
            variables[f"ACCELERATE_DEEPSPEED_OFFLOAD_{what.upper()}_NVME_PATH"] = str(path)
    return variables
