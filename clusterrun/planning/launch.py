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

import yaml

from clusterrun.job_spec import gpus, grammar
from clusterrun.job_spec.checkpoint import CHECKPOINT
from clusterrun.job_spec.model import Accelerate, JobSpec, Slurm
from clusterrun.job_spec.values import Argument
from clusterrun.quoting import Shell, quote_around

CONFIG_NAME = "accelerate.yaml"
DEEPSPEED_NAME = "deepspeed.json"

_SPEC_ONLY = {
    "config_file",
    "num_processes",
    "gradient_accumulation_steps",
    "num_cpu_threads_per_process",
    "tee",
}
_CPU_ONLY_TYPES = {"NO", "MULTI_CPU"}  # accelerate starts one process for these

# A line of a command: words that belong together, such as a flag and its value.
Words = tuple[str, ...]
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
    """The text of accelerate's config file; None where a path is used, or no accelerate."""
    variables: Mapping[str, str]
    """Environment that accelerate reads."""
    processes: int | None
    """How many processes in all; None: counted from the GPUs that Slurm gives."""
    resume: Words = ()
    """What follows the lines once a checkpoint exists, for a script with its own checkpoints."""
    deepspeed: str | None = None
    """The text of DeepSpeed's config file, a JSON; None where a path is used, or none at all."""
    cpu_by_default: bool = False
    """Whether it trains on CPUs only because the job requests no GPU."""

    @property
    def files(self) -> dict[str, str]:
        """The config files that the script brings along, each by its name in the node's folder."""
        texts = {CONFIG_NAME: self.config, DEEPSPEED_NAME: self.deepspeed}
        return {name: text for name, text in texts.items() if text is not None}


def asks_for_gpus(slurm: Slurm) -> bool:
    """Say whether a job asks for GPUs, in any of sbatch's ways."""
    return gpus.are_requested(slurm.options)


def make_launch(spec: JobSpec, configs: Configs, *, gpus_asked: bool) -> Launch:
    """Make the command of a spec; `gpus_asked` says whether the job asks Slurm for GPUs."""
    if spec.command is not None:
        tasks = None if gpus_asked else grammar.most_nodes(spec.slurm.nodes)
        return Launch(((Shell(spec.command),),), None, {}, tasks)
    given = _given_config(configs.accelerate)
    use_cpu = _use_cpu(spec.accelerate, given, gpus_asked=gpus_asked)
    config = configs.accelerate
    if spec.accelerate.config_file is None:
        config = _config(spec.accelerate, use_cpu=use_cpu, brought=configs.deepspeed is not None)
    processes = spec.accelerate.num_processes
    if processes is None and not gpus_asked:
        processes = _processes_of(given, grammar.most_nodes(spec.slurm.nodes))
    flags = _flags(spec, given, processes, brought=configs.deepspeed is not None)
    lines = (("accelerate", "launch"), *flags, *_script(spec))
    variables = _variables(spec.accelerate, given, use_cpu=use_cpu)
    by_default = use_cpu and spec.accelerate.use_cpu is None and "use_cpu" not in given
    by_default = by_default and _USE_CPU not in spec.environment.variables
    return Launch(lines, config, variables, processes, _resume(spec), configs.deepspeed, by_default)


def _given_config(text: str | None) -> dict[str, Any]:
    """Return the values of the user's accelerate YAML, as accelerate itself reads it."""
    values = yaml.safe_load(text) if text else None
    return values if isinstance(values, dict) else {}


def _use_cpu(accelerate: Accelerate, given: Mapping[str, Any], *, gpus_asked: bool) -> bool:
    if accelerate.use_cpu is not None:
        return accelerate.use_cpu
    if "use_cpu" in given:
        return bool(given["use_cpu"])
    return not gpus_asked


def _processes_of(given: Mapping[str, Any], nodes: int) -> int:
    """Return the total that a config file means for this many nodes: its processes times nodes."""
    total, machines = given.get("num_processes"), given.get("num_machines") or 1
    if not isinstance(total, int) or not isinstance(machines, int) or total < 1:
        return nodes
    return max(total // machines, 1) * nodes


def _config(accelerate: Accelerate, *, use_cpu: bool, brought: bool) -> str:
    """Return accelerate's config file; what depends on the node is on the command line instead."""
    words = accelerate.model_dump(exclude_none=True, exclude=_SPEC_ONLY)
    precision = {} if deepspeed_json(accelerate.deepspeed_config) else {"mixed_precision": "no"}
    config: dict[str, Any] = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": _distributed_type(accelerate),
        **precision,
        **words,
        "use_cpu": use_cpu,
        "rdzv_backend": "static",
        "same_network": True,
    }
    if config["distributed_type"] in _CPU_ONLY_TYPES:
        config["distributed_type"] = "MULTI_GPU"
    if accelerate.deepspeed_config is not None:
        config["deepspeed_config"] = _deepspeed(accelerate, brought=brought)
        if not precision:
            config.pop("mixed_precision", None)
    return yaml.safe_dump(_plain(config), sort_keys=False)


def deepspeed_json(section: object) -> str | None:
    """Return the path of the DeepSpeed JSON that a `deepspeed_config` names; None without one."""
    path = section.get("deepspeed_config_file") if isinstance(section, dict) else None
    return None if path in (None, "", "none") else str(path)


def _distributed_type(accelerate: Accelerate) -> str:
    """Return the distributed type; MULTI_GPU also for one process and for CPUs.

    torchrun starts them, over gloo if ACCELERATE_USE_CPU is set.
    """
    by_section = {
        "DEEPSPEED": accelerate.deepspeed_config,
        "FSDP": accelerate.fsdp_config,
        "MEGATRON_LM": accelerate.megatron_lm_config,
    }
    found = [name for name, section in by_section.items() if section is not None]
    return accelerate.distributed_type or (found[0] if found else "MULTI_GPU")


def _deepspeed(accelerate: Accelerate, *, brought: bool) -> dict[str, Any]:
    """Return DeepSpeed's section.

    `brought`: the script carries the JSON, in a folder that only the node knows.
    """
    section = {"deepspeed_multinode_launcher": "standard", **(accelerate.deepspeed_config or {})}
    steps = accelerate.gradient_accumulation_steps
    if steps is not None and "deepspeed_config_file" not in section:
        section.setdefault("gradient_accumulation_steps", steps)
    if brought:
        section.pop("deepspeed_config_file", None)
    return section


def _plain(value: Any) -> Any:
    """Drop what a number remembers of its source, which YAML would write as a Python object."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    return int(value) if isinstance(value, int) else float(value)


def _flags(
    spec: JobSpec, given: Mapping[str, Any], processes: int | None, *, brought: bool
) -> list[Words]:
    """Flags override the config file; all that only a node knows is a shell variable."""
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
    lines.extend(_corrections(given, processes))
    json = ("--deepspeed_config_file", Shell(f'"$node_dir/{DEEPSPEED_NAME}"')) if brought else ()
    precision = (
        spec.accelerate.mixed_precision
        if deepspeed_json(spec.accelerate.deepspeed_config)
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


def _corrections(given: Mapping[str, Any], processes: int | None) -> list[Words]:
    """What a config file was written for, one machine or another's, and Slurm's nodes are not."""
    lines: list[Words] = []
    if given.get("distributed_type") == "MULTI_CPU" and processes != 1:
        lines.append(
            ("--multi_gpu",)
        )  # the type means mpirun; so do torchrun and gloo train on CPUs
    if given.get("rdzv_backend", "static") != "static":
        lines.append(("--rdzv_backend", "static"))
    if given.get("gpu_ids", "all") not in ("all", None):
        lines.append(("--gpu_ids", "all"))
    if given.get("distributed_type") == "DEEPSPEED" and not _has_launcher(given):
        lines.append(("--deepspeed_multinode_launcher", "standard"))
    return lines


def _has_launcher(given: Mapping[str, Any]) -> bool:
    section = given.get("deepspeed_config")
    return isinstance(section, dict) and "deepspeed_multinode_launcher" in section


def _script(spec: JobSpec) -> list[Words]:
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


def _resume(spec: JobSpec) -> Words:
    """Return the words that pass on a checkpoint, which the job script finds; each stays one."""
    given = spec.checkpoint.resume if spec.checkpoint.path is not None else ()
    return tuple(quote_around(word, CHECKPOINT, '"$checkpoint"') for word in given)


def _variables(
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


def overridden(config_text: str) -> list[str]:
    """List the keys of a config file that the job script overrides."""
    given = _given_config(config_text)
    names = [
        "num_machines",
        "num_processes",
        "machine_rank",
        "main_process_ip",
        "main_process_port",
    ]
    corrected = {words[0].removeprefix("--") for words in _corrections(given, None)}
    names += ["distributed_type"] if "multi_gpu" in corrected else []
    return [name for name in [*names, *sorted(corrected)] if name in given]
