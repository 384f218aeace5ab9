"""Rules of the `accelerate` section: its keys, and a number of processes that fits the nodes."""

from __future__ import annotations

from typing import Any

from clusterrun.job_spec import gpus, grammar
from clusterrun.job_spec.keys import COMPUTED
from clusterrun.job_spec.layers import Layers

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
    """Record every violation of a rule between accelerate's keys, or between them and the nodes."""
    _check_keys(layers, values.get("accelerate") or {}, command="command" in values)
    _check_process_count(layers, values)
    _check_node_range(layers, values)


def _check_keys(layers: Layers, accelerate: dict[str, Any], *, command: bool) -> None:
    for key, reason in COMPUTED.items():
        if key in accelerate:
            layers.add_problem(
                ("accelerate", key),
                f"set by the job script {reason}",
                "delete it; accelerate.config_file uses a whole config file unchanged",
            )
            del accelerate[key]
    if isinstance(accelerate.get("deepspeed_config"), str):
        path = accelerate.pop("deepspeed_config")
        layers.add_problem(
            ("accelerate", "deepspeed_config"),
            f"must be a mapping, got {path!r}",
            f"write deepspeed_config: {{deepspeed_config_file: {path}}}",
        )
    if command and accelerate:
        layers.add_problem(
            ("accelerate",),
            "cannot be combined with command, which runs without accelerate",
            "use script or module, or delete this section",
        )
    if accelerate.get("config_file") is not None:
        for key in sorted(set(accelerate) - BESIDE_CONFIG_FILE):
            layers.add_problem(
                ("accelerate", key),
                "cannot be combined with config_file, which is used unchanged",
                "set it in that file, or delete config_file",
            )
    strategies = [key for key in STRATEGIES if accelerate.get(key) is not None]
    for key in strategies[1:]:
        layers.add_problem(
            ("accelerate", key), f"cannot be combined with {strategies[0]}", "use one strategy"
        )


def _check_process_count(layers: Layers, values: dict[str, Any]) -> None:
    """Record a total that is not divisible: each node gets num_processes // num_machines."""
    processes = (values.get("accelerate") or {}).get("num_processes")
    slurm = values.get("slurm") or {}
    nodes = count_nodes(slurm.get("nodes", 1))
    if not isinstance(processes, int) or isinstance(processes, bool) or not nodes:
        return
    gpus = _gpus_per_node(slurm)
    if gpus and processes != gpus * nodes and not (values.get("accelerate") or {}).get("use_cpu"):
        layers.add_problem(
            ("accelerate", "num_processes"),
            f"{processes} processes, but {nodes} x {gpus} GPUs are requested",
            "delete it: each node starts one process per GPU",
        )
    elif processes % nodes:
        layers.add_problem(
            ("accelerate", "num_processes"),
            f"{processes} processes are not divisible by {nodes} nodes",
            f"write {processes // nodes * nodes or nodes}: it is the total over all nodes",
        )


def _check_node_range(layers: Layers, values: dict[str, Any]) -> None:
    """Record a range of nodes whose smallest number does not divide the batches of a step."""
    text, shrunk = (
        str((values.get("slurm") or {}).get("nodes", 1)),
        (values.get("requeue") or {}).get("shrink_to"),
    )
    steps = (values.get("accelerate") or {}).get("gradient_accumulation_steps") or 1
    most, least = count_nodes(text), count_nodes(shrunk or text.partition("-")[0])
    if least in (0, most) or values.get("command") is not None or not isinstance(steps, int):
        return
    if most * steps % least:
        divisors = [str(one) for one in range(1, most + 1) if most * steps % one == 0]
        what = f"the {most * steps} batches of a step are not divisible by {least} nodes"
        path, hint = (
            (("requeue", "shrink_to"), "use")
            if shrunk
            else (("slurm", "nodes"), "start the range with")
        )
        layers.add_problem(path, what, f"{hint} one of {', '.join(divisors)}")


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
