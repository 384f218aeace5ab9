"""GPUs that Slurm does not count: a cluster of whole nodes, or a partition, without GRES."""

from __future__ import annotations

import re

from clusterrun.starter.from_sbatch import launchers
from clusterrun.starter.from_sbatch.facts import Facts
from clusterrun.starter.from_sbatch.resource_request import ResourceRequest
from clusterrun.starter.from_sbatch.selected_command import SelectedCommand

_SPEAKS_OF_GPUS = re.compile(
    r"cuda|nvidia|nccl|cudnn|rocm|rccl|miopen|\bgpus?\b|gpu_|_gpu|--fp16|\bfp16\b|\bfp8\b|flash.attn",
    re.IGNORECASE,
)
_FLAGS = frozenset(
    {"multi_gpu", "use_deepspeed", "use_fsdp", "zero_stage", "deepspeed_config_file"}
)


def uses_uncounted_gpus(
    facts: Facts, requested: ResourceRequest, selected: SelectedCommand
) -> bool:
    """Return whether a script that requests no GPU from Slurm trains on GPUs."""
    parsed = selected.parsed
    if requested.gpus_a_node or "cpu" in parsed.flags or parsed.kind not in launchers.LAUNCHERS:
        return False
    if _FLAGS & set(parsed.flags) or parsed.kind == "deepspeed":
        return True
    lines = [line.partition(" #")[0] for line in facts.text.splitlines()]
    code = [
        line for line in lines if not line.lstrip().startswith("#") or line.startswith("#SBATCH")
    ]
    return any(_SPEAKS_OF_GPUS.search(line) for line in code)


def counts_no_processes(parsed_flags: frozenset[str]) -> bool:
    """Return whether a launcher counts the node's GPUs by itself."""
    return not parsed_flags & {"num_processes", "nproc_per_node", "num_gpus", "config_file"}
