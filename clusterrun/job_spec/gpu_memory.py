"""The memory of a site's GPUs, from a profile's `gpu_memory`.

It is one size, or one for each partition or type of GPU.
"""

from __future__ import annotations

from typing import Any

from clusterrun import units
from clusterrun.job_spec import gpus
from clusterrun.job_spec.model import Slurm
from clusterrun.job_spec.values import name_kind, read_line


def read_sizes(value: Any) -> dict[str, int]:
    """Return the profile's sizes in bytes by partition or type of GPU; "" names a single size.

    Raises ValueError for anything but a size or a mapping of sizes.
    """
    if value is None:
        return {}
    if isinstance(value, dict):
        return {str(name): units.bytes_of_size(read_line(amount)) for name, amount in value.items()}
    if not isinstance(value, str):
        what = f"must be a size, or a mapping of partitions to sizes, got {name_kind(value)}"
        raise ValueError(f"{what}\nwrite {units.SIZE_FORMS}")
    return {"": units.bytes_of_size(value)}


def size_for_job(sizes: dict[str, int], slurm: Slurm) -> int | None:
    """Return the bytes of each GPU that a job gets; None if not known.

    The requested type of GPU takes precedence over the partition. If several partitions are named,
    the smallest size counts.
    """
    if "" in sizes:
        return sizes[""]
    names = [name for name in gpus.list_types(slurm.options) if name in sizes] or (
        slurm.partition or ""
    ).split(",")
    return (
        min((sizes[name] for name in names), default=None)
        if all(name in sizes for name in names)
        else None
    )
