"""How much memory a site's GPUs have: a profile's `gpu_memory`, one amount or one for each partition or type of GPU."""

from __future__ import annotations

import re
from typing import Any

from clusterrun.spec import gpus
from clusterrun.spec.model import Slurm
from clusterrun.spec.values import kind_of, line

_AMOUNT = re.compile(r"(?P<number>[0-9]{1,9}(?:\.[0-9]{1,9})?) ?(?P<unit>[MGT]i?B?)", re.ASCII)
_POWERS = {"M": 2, "G": 3, "T": 4}

FORMS = "80GB (of 1000^3 bytes), 80GiB (of 1024^3), 81559MiB as nvidia-smi shows it"


def bytes_of_memory(text: str) -> int:
    """Return the bytes of an amount such as 80GB or 81559MiB. Raises ValueError, with the forms, for anything else."""
    found = _AMOUNT.fullmatch(text)
    size = 0
    if found:
        unit = found["unit"]
        size = int(float(found["number"]) * (1024 if "i" in unit else 1000) ** _POWERS[unit[0]])
    if not size:
        raise ValueError(f"{text[:80]!r} is not the memory of a GPU: {FORMS}")
    return size


def sizes_of(value: Any) -> dict[str, int]:
    """Read the profile's value: bytes by partition or type of GPU; the name is empty where one amount is for all.

    Raises ValueError for what is no amount and no mapping of them.
    """
    if value is None:
        return {}
    if isinstance(value, dict):
        return {str(name): bytes_of_memory(line(amount)) for name, amount in value.items()}
    if not isinstance(value, str):
        raise ValueError(f"must be an amount, or a mapping of partitions to amounts, got {kind_of(value)}: {FORMS}")
    return {"": bytes_of_memory(value)}


def of_job(sizes: dict[str, int], slurm: Slurm) -> int | None:
    """Return the bytes of each GPU that a job gets; None where that is not known.

    The type of GPU it asks for counts before its partition; where it names several partitions, the smallest counts.
    """
    if "" in sizes:
        return sizes[""]
    names = [name for name in gpus.types_of(slurm.options) if name in sizes] or (slurm.partition or "").split(",")
    return min((sizes[name] for name in names), default=None) if all(name in sizes for name in names) else None
