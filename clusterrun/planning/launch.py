"""The command that starts a run: the only owner of accelerate's flags and variables.

Facts from accelerate 1.15 (commands/launch.py, utils/launch.py) that it depends on:
- `--multi_gpu` as a flag refuses one process; in the config file it does not.
- `use_cpu` in the config file does not reach several worker processes; ACCELERATE_USE_CPU does.
- `gradient_accumulation_steps` is not a config key, and the flag does nothing without DeepSpeed;
  `Accelerator()` reads ACCELERATE_GRADIENT_ACCUMULATION_STEPS.
- `num_processes` is the total over all machines.
- DeepSpeed's default launcher for several machines is pdsh, over ssh.
- `offload_*_nvme_path` in the config file does not reach the workers; the variables that
  DeepSpeedPlugin reads do.
- `mixed_precision` in the config file is refused together with a DeepSpeed JSON; as a flag it
  fills the "auto" of that JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clusterrun.job_spec import gpus, grammar
from clusterrun.job_spec.checkpoint import CHECKPOINT
from clusterrun.job_spec.model import Accelerate, JobSpec, Slurm
from clusterrun.job_spec.placeholders import fill
from clusterrun.job_spec.values import Argument
from clusterrun.planning import other_launchers
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

USE_CPU = "ACCELERATE_USE_CPU"
_RANK_PREFIX = {"TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE": "[rank${rank}]: "}


@dataclass(frozen=True)
class Configs:
    """The texts of the config files that a spec names; None if not named or not readable."""

    accelerate: str | None = None
    deepspeed: str | None = None
    """The DeepSpeed JSON that the spec or its accelerate config names."""


@dataclass(frozen=True)
class Launch:
    """The command that every node runs, word by word, with its files and variables."""

    lines: tuple[Words, ...]
    config: str | None
    """The text of accelerate's config file; None if a path is used, or without accelerate."""
    variables: Mapping[str, str]
    """Environment variables that accelerate reads."""
    processes: int | None
    """The total number of processes; None: counted from the GPUs that Slurm allocates."""
    resume: Words = ()
    """Appended once a checkpoint exists, for a script with its own checkpoints."""
    deepspeed: str | None = None
    """The text of DeepSpeed's JSON; None if a path is used, or without one."""
    cpu_by_default: bool = False
    """Whether it trains on CPUs only because the job requests no GPU."""

    @property
    def files(self) -> dict[str, str]:
        """The config files that the job script contains, by their names in the node's folder."""
        texts = {CONFIG_NAME: self.config, DEEPSPEED_NAME: self.deepspeed}
        return {name: text for name, text in texts.items() if text is not None}


def requests_gpus(slurm: Slurm) -> bool:
    """Return whether a job requests GPUs with any of sbatch's options."""
    return gpus.are_requested(slurm.options)


def make_launch(spec: JobSpec, configs: Configs, *, gpus_requested: bool) -> Launch:
    """Return the command of a spec; `gpus_requested`: the job requests GPUs from Slurm."""
    if spec.command is not None:
        tasks = None if gpus_requested else grammar.most_nodes(spec.slurm.nodes)
        return Launch(((Shell(spec.command),),), None, {}, tasks)
    if spec.launch_kind != "accelerate":
        return _make_other_launch(spec, gpus_requested=gpus_requested)
    user_config = read_config(configs.accelerate)
    use_cpu = _decide_use_cpu(spec.accelerate, user_config, gpus_requested=gpus_requested)
    config = configs.accelerate
    if spec.accelerate.config_file is None:
        config = make_config(
            spec.accelerate, use_cpu=use_cpu, embedded=configs.deepspeed is not None
        )
    processes = spec.accelerate.num_processes
    if processes is None and not gpus_requested:
        processes = total_processes(user_config, grammar.most_nodes(spec.slurm.nodes))
    flags = _make_flags(spec, user_config, processes, embedded=configs.deepspeed is not None)
    lines = (("accelerate", "launch"), *flags, *script_lines(spec))
    variables = _make_variables(spec.accelerate, user_config, use_cpu=use_cpu)
    by_default = use_cpu and spec.accelerate.use_cpu is None and "use_cpu" not in user_config
    by_default = by_default and USE_CPU not in spec.environment.variables
    return Launch(
        lines, config, variables, processes, _resume_words(spec), configs.deepspeed, by_default
    )


def _make_other_launch(spec: JobSpec, *, gpus_requested: bool) -> Launch:
    """Return the command of torchrun, or of one task of srun."""
    use_cpu = _decide_use_cpu(spec.accelerate, {}, gpus_requested=gpus_requested)
    variables = _make_variables(spec.accelerate, {}, use_cpu=use_cpu)
    if spec.launch_kind == "torchrun" and other_launchers.writes_ranks(spec):
        variables |= _RANK_PREFIX
    return Launch(
        (*other_launchers.launcher_lines(spec), *script_lines(spec)),
        None,
        variables,
        other_launchers.count_processes(spec, gpus_requested=gpus_requested),
        _resume_words(spec),
        cpu_by_default=use_cpu
        and spec.accelerate.use_cpu is None
        and USE_CPU not in spec.environment.variables,
    )


def _decide_use_cpu(
    accelerate: Accelerate, user_config: Mapping[str, Any], *, gpus_requested: bool
) -> bool:
    if accelerate.use_cpu is not None:
        return accelerate.use_cpu
    if "use_cpu" in user_config:
        return bool(user_config["use_cpu"])
    return not gpus_requested


def _make_flags(
    spec: JobSpec, user_config: Mapping[str, Any], processes: int | None, *, embedded: bool
) -> list[Words]:
    """Return the flags, which override the config file; values of a node are shell variables."""
    path = spec.accelerate.config_file
    unread = path is not None and not user_config
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
    lines.extend(correct_config(user_config, processes))
    json = ("--deepspeed_config_file", Shell(f'"$node_dir/{DEEPSPEED_NAME}"')) if embedded else ()
    precision = (
        spec.accelerate.mixed_precision
        if deepspeed_json_path(spec.accelerate.deepspeed_config)
        else None
    )
    if embedded or precision:
        lines.append((*json, *(("--mixed_precision", precision) if precision else ())))
    threads = spec.accelerate.num_cpu_threads_per_process
    if threads is not None:
        lines.append(("--num_cpu_threads_per_process", str(threads)))
    if spec.accelerate.tee not in (None, "0"):
        lines.append(("--tee", str(spec.accelerate.tee), "--log_dir", Shell('"$node_dir/ranks"')))
    return lines


def script_lines(spec: JobSpec) -> list[Words]:
    """Return the last lines of the command: what runs, and its arguments."""
    what, *arguments = _script_lines(spec)
    return [what, *map(_fill_words, arguments)]


def _script_lines(spec: JobSpec) -> list[Words]:
    module = "-m" if spec.launch_kind == "srun" else "--module"
    what: list[Words] = (
        [(module, spec.module)] if spec.module is not None else [(str(spec.script),)]
    )
    if not isinstance(spec.args, dict):
        return [*what, tuple(spec.args)] if spec.args else what
    return what + [
        words for name, value in spec.args.items() if (words := argument_words(name, value))
    ]


def _fill_words(words: Words) -> Words:
    """Return words whose placeholders are shell variables."""
    return tuple(fill(word) for word in words)


def argument_words(name: str, value: Argument) -> Words:
    """Return the words of one argument: True is a bare flag, False and None are omitted."""
    flag = name if name.startswith("-") else f"--{name}"
    if value is None or value is False:
        return ()
    if value is True:
        return (flag,)
    if isinstance(value, str):
        # argparse accepts a value that starts with a dash only if it is joined to its flag
        return (
            (f"{flag}={value}",)
            if value.startswith("-") and flag.startswith("--")
            else (flag, value)
        )
    return (flag, *value)


def _resume_words(spec: JobSpec) -> Words:
    """Return the words that pass the checkpoint which the job script finds."""
    words = spec.checkpoint.resume if spec.checkpoint.path is not None else ()
    return tuple(quote_around(word, CHECKPOINT, '"$checkpoint"') for word in words)


def _make_variables(
    accelerate: Accelerate, user_config: Mapping[str, Any], *, use_cpu: bool
) -> dict[str, str]:
    variables = {USE_CPU: "true"} if use_cpu else {}
    if accelerate.gradient_accumulation_steps is not None:
        variables["ACCELERATE_GRADIENT_ACCUMULATION_STEPS"] = str(
            accelerate.gradient_accumulation_steps
        )
    if accelerate.tee not in (None, "0"):
        variables |= _RANK_PREFIX
    section = accelerate.deepspeed_config or user_config.get("deepspeed_config") or {}
    for what in ("optimizer", "param"):
        path = section.get(f"offload_{what}_nvme_path")
        if path not in (None, "none"):
            variables[f"ACCELERATE_DEEPSPEED_OFFLOAD_{what.upper()}_NVME_PATH"] = str(path)
    return variables
