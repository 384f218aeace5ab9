"""A user's accelerate config file: values that do not fit Slurm's nodes.

Source: accelerate 1.15, _validate_launch_command in commands/launch.py, BaseConfig in
commands/config/config_args.py.
"""

from __future__ import annotations

from clusterrun.planning.strategy.config_values import ConfigValues, number, truth
from clusterrun.planning.strategy.machines import Machines

# accelerate silently starts one process per node for these, whatever num_processes is
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


def check_config(values: ConfigValues, machines: Machines) -> None:
    """Record the values of a config file that are not possible on these nodes."""
    kind = str(values.get("distributed_type"))
    where = values.get("compute_environment")
    if where not in (None, "LOCAL_MACHINE", 0):
        values.add_problem(
            ["compute_environment"], f"{where} is not possible on Slurm", "write LOCAL_MACHINE"
        )
    elif kind not in (*TYPES, "False"):
        near = {
            "FSDP2": "write FSDP, with fsdp_config: {fsdp_version: 2}",
            "TPU": "write XLA",
            "DDP": "write MULTI_GPU",
        }.get(kind, "")
        values.add_problem(["distributed_type"], f"accelerate does not know {kind}", near)
    elif kind in _ALONE and (machines.nodes > 1 or machines.processes not in (1, None)):
        values.add_problem(
            ["distributed_type"],
            f"{kind.replace('False', 'NO')} starts independent processes, each with world size 1",
            "write distributed_type: MULTI_GPU, with use_cpu: true on CPUs",
        )
    if machines.gpus and truth(values.get("use_cpu")):
        values.add_note(["use_cpu"], "the job requests GPUs, but this config trains on CPUs")
    _check_count(values, machines)


def _check_count(values: ConfigValues, machines: Machines) -> None:
    """Note a number of processes that differs from the job's, which determines the batch size."""
    total = number(values.get("num_processes"))
    if total and machines.processes and total not in (-1, machines.processes):
        values.add_note(
            ["num_processes"],
            f"{total} here, but {machines.processes} on the requested nodes",
        )
