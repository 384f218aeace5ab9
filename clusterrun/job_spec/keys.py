"""The keys of a spec and of a profile, by section, and their spelling."""

from __future__ import annotations

from pydantic import BaseModel

from clusterrun.job_spec import model, options
from clusterrun.job_spec.sweep import Sweep
from clusterrun.job_spec.yaml_text import KeyPath, dotted

SECTIONS: dict[str, type[BaseModel]] = {
    "slurm": model.Slurm,
    "accelerate": model.Accelerate,
    "environment": model.Environment,
    "checkpoint": model.Checkpoint,
    "requeue": model.Requeue,
    "sweep": Sweep,
}
# What a profile says about a site's GPUs; no spec has these at its top level.
SITE_KEYS = frozenset({"gpu_memory", "gpus_as", "gpus_per_node_without_gres"})
SPEC_KEYS = frozenset(model.JobSpec.model_fields)
PROFILE_KEYS = frozenset({*SECTIONS, "run_root", "share", "hang", "notify"} | SITE_KEYS) - {"sweep"}

# Keys of accelerate that the job script sets on the nodes.
COMPUTED = {
    "num_machines": "from slurm.nodes",
    "machine_rank": "from each node's SLURM_NODEID",
    "main_process_ip": "from the first node's address",
    "main_process_port": "to a port that is free on the first node",
    "rdzv_backend": "to static, because Slurm assigns the machine ranks",
    "same_network": "to true, because the head node's address is numeric",
    "gpu_ids": "to the GPUs that Slurm allocates",
}


def known_keys(section: str) -> frozenset[str]:
    """Return the keys of a section with underscores, also those that it refuses with a reason."""
    fields = frozenset(SECTIONS[section].model_fields)
    if section == "slurm":
        named = options.KNOWN | set(options.OWNED) | set(options.REFUSED)
        return fields | {name.replace("-", "_") for name in named}
    return fields | set(COMPUTED) if section == "accelerate" else fields


def spell_key(section: str, name: str) -> str:
    """Return a key as the documentation spells it; `section` is empty at the first level."""
    if section == "slurm" and name != "additional_parameters":
        return name.replace("_", "-")
    return name


def spell_path(path: KeyPath) -> str:
    """Return a canonical path as the documentation spells it: with dashes below `slurm`."""
    if len(path) > 1 and path[0] == "slurm" and isinstance(path[1], str):
        path = ("slurm", spell_key("slurm", path[1]), *path[2:])
    return dotted(path)
