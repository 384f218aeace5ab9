"""A whole accelerate config file: what was written for a machine other than Slurm's nodes.

Source: accelerate 1.15, _validate_launch_command in commands/launch.py, BaseConfig in
commands/config/config_args.py.
"""

from __future__ import annotations

from clusterrun.planning.strategy.given import Given, number, truth
from clusterrun.planning.strategy.machines import Machines

# accelerate starts one process a node for it, in silence, however many were asked for
_ALONE = ("NO", "False")
TYPES = (
    "NO",
    "MULTI_CPU",
    "MULTI_GPU",
    "MULTI_NPU",
    "MULTI_MLU",
    "MULTI_SDAA",
    "MULTI_MUSA",
    "MULTI_XPU",
    "MULTI_HPU",
    "MULTI_NEURON",
    "DEEPSPEED",
    "FSDP",
    "MEGATRON_LM",
    "XLA",
)


def check_config(given: Given, machines: Machines) -> None:
    """Note values of a config file that are impossible on these nodes."""
    kind = str(given.get("distributed_type"))
    where = given.get("compute_environment")
    if where not in (None, "LOCAL_MACHINE", 0):
        given.fault(["compute_environment"], f"{where} is no cluster of Slurm's", "LOCAL_MACHINE")
    elif kind not in (*TYPES, "False"):
        near = {
            "FSDP2": "FSDP, with fsdp_config: {fsdp_version: 2}",
            "TPU": "XLA",
            "DDP": "MULTI_GPU",
        }.get(kind, "")
        given.fault(["distributed_type"], f"accelerate knows no {kind}", near)
    elif kind in _ALONE and (machines.nodes > 1 or machines.processes not in (1, None)):
        given.fault(
            ["distributed_type"],
            f"{kind.replace('False', 'NO')} starts independent processes, each a world of one",
            "distributed_type: MULTI_GPU, with use_cpu: true on CPUs",
        )
    if machines.gpus and truth(given.get("use_cpu")):
        given.note(["use_cpu"], "GPUs are asked for, and this config trains on CPUs")
    _check_count(given, machines)


def _check_count(given: Given, machines: Machines) -> None:
    """Note a number of processes that differs from the nodes', which decides the batch size."""
    total = number(given.get("num_processes"))
    if total and machines.processes and total not in (-1, machines.processes):
        given.note(
            ["num_processes"],
            f"{total} there, {machines.processes} on the nodes that Slurm is asked for",
        )
