"""Explain a refusal by sbatch with the line of the spec that caused it."""

from __future__ import annotations

import re

from clusterrun.errors import ClusterError, ClusterrunError, Problem, SpecError
from clusterrun.planning.cluster_limits import propose_partition
from clusterrun.planning.preparation import Prepared

_PARTITION = ("slurm", "partition")
# sbatch prints `invalid partition specified: mian` (measured, Slurm 22.05 to 26.05).
_INVALID_PARTITION = re.compile(r"invalid partition specified: *([^\s;]+)")


def explain_refusal(error: ClusterError, prepared: Prepared) -> ClusterrunError:
    """Return sbatch's refusal as a mistake in the spec if its cause is known, else unchanged."""
    match = _INVALID_PARTITION.search(error.what)
    if match is None:
        return error
    known = _list_partitions()
    unknown = [name for name in match[1].split(",") if name not in known]
    if not known or not unknown:
        return error
    message = f"partition {unknown[0]!r} does not exist"
    where = prepared.loaded.layers.where.get(_PARTITION, "")
    return SpecError(
        [Problem(where, ".".join(_PARTITION), message, propose_partition(unknown[0], known))]
    )


def _list_partitions() -> list[str]:
    from clusterrun.slurm.pending import partition_names  # noqa: PLC0415 - only after a refusal

    try:
        return partition_names()
    except ClusterError:
        return []
