"""Rules of the `accelerate` section: its keys, and processes that the nodes share equally."""

from __future__ import annotations

from typing import Any

from clusterrun.job_spec import gpus, grammar
from clusterrun.job_spec.layers import COMPUTED, Layers

BESIDE_CONFIG_FILE = {
    "config_file",
    "num_processes",
    "gradient_accumulation_steps",
    "num_cpu_threads_per_process",
    "tee",
}
"""The keys that may be combined with `config_file`."""
STRATEGIES = ("deepspeed_config", "fsdp_config", "megatron_lm_config")


def check_accelerate(layers: Layers, values: dict[str, Any]) -> None:
    """Note every rule between accelerate's keys, and between them and the nodes, that is broken."""
    _check_keys(layers, values.get("accelerate") or {}, command="command" in values)
    _check_process_count(layers, values)
    _check_node_range(layers, values)


def _check_keys(layers: Layers, accelerate: dict[str, Any], *, command: bool) -> None:
    for key, reason in COMPUTED.items():
        if key in accelerate:
            layers.fault(
                ("accelerate", key),
                f"the job script sets it: {reason}",
                "delete it; a whole config file is used as it is by accelerate.config_file",
            )
            del accelerate[key]
    if isinstance(accelerate.get("deepspeed_config"), str):
        path = accelerate.pop("deepspeed_config")
        layers.fault(
            ("accelerate", "deepspeed_config"),
            f"must be a mapping, got {path!r}",
            f"deepspeed_config: {{deepspeed_config_file: {path}}}",
        )
    if command and accelerate:
        layers.fault(
            ("accelerate",),
            "a command is run without accelerate",
            "use script or module, or delete this",
        )
    if accelerate.get("config_file") is not None:
        for key in sorted(set(accelerate) - BESIDE_CONFIG_FILE):
            layers.fault(
                ("accelerate", key),
                "stands beside config_file, which is used unchanged",
                "write it into that file, or drop config_file",
            )
    given = [key for key in STRATEGIES if accelerate.get(key) is not None]
    for key in given[1:]:
        layers.fault(
            ("accelerate", key), f"stands beside {given[0]}; one strategy trains a run", "keep one"
        )


def _check_process_count(layers: Layers, values: dict[str, Any]) -> None:
    """Note a total that the nodes cannot share: each gets num_processes // num_machines."""
    processes = (values.get("accelerate") or {}).get("num_processes")
    slurm = values.get("slurm") or {}
    nodes = count_nodes(slurm.get("nodes", 1))
    if not isinstance(processes, int) or isinstance(processes, bool) or not nodes:
        return
    gpus = _gpus_per_node(slurm)
    if gpus and processes != gpus * nodes and not (values.get("accelerate") or {}).get("use_cpu"):
        layers.fault(
            ("accelerate", "num_processes"),
            f"{processes} processes, but {nodes} x {gpus} GPUs are asked for",
            "delete it: processes are counted from the GPUs that Slurm gives",
        )
    elif processes % nodes:
        layers.fault(
            ("accelerate", "num_processes"),
            f"{processes} processes do not divide over {nodes} nodes",
            f"it counts all processes; {processes // nodes * nodes or nodes} would do",
        )


def _check_node_range(layers: Layers, values: dict[str, Any]) -> None:
    """Note a range of nodes whose smallest number cannot share the batches of a step equally."""
    text, shrunk = (
        str((values.get("slurm") or {}).get("nodes", 1)),
        (values.get("requeue") or {}).get("shrink_to"),
    )
    steps = (values.get("accelerate") or {}).get("gradient_accumulation_steps") or 1
    most, least = count_nodes(text), count_nodes(shrunk or text.partition("-")[0])
    if least in (0, most) or values.get("command") is not None or not isinstance(steps, int):
        return
    if most * steps % least:
        would = [str(one) for one in range(1, most + 1) if most * steps % one == 0]
        what = f"{most * steps} batches a node cannot be shared out equally among {least} nodes"
        path, hint = (
            (("requeue", "shrink_to"), "write")
            if shrunk
            else (("slurm", "nodes"), "begin the range with")
        )
        layers.fault(path, what, f"{hint} a number out of {', '.join(would)}")


def _gpus_per_node(slurm: dict[str, Any]) -> int:
    try:
        return gpus.count_per_node(slurm, count_nodes(slurm.get("nodes", 1)) or 1)
    except ValueError:
        return 0


def count_nodes(value: Any) -> int:
    """Return the largest number of nodes that a value allows; 0 if it is not valid."""
    try:
        return grammar.most_nodes(grammar.check_nodes(str(value)))
    except ValueError:
        return 0
