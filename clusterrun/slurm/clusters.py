"""The cluster that Slurm's commands reach from this shell.

Job ids are numbers of one cluster only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache

from clusterrun.errors import ClusterError
from clusterrun.slurm.commands import call

VARIABLE = "SLURM_CLUSTERS"
"""The variable that Slurm's commands read as `--clusters`: a name, a list of names, or `all`."""


def reached_cluster(environment: Mapping[str, str] | None = None) -> str:
    """Return the name of the current cluster: SLURM_CLUSTERS, else ClusterName of slurm.conf.

    It is empty if Slurm is not responding, and a list if the variable has one.
    """
    named = (os.environ if environment is None else environment).get(VARIABLE, "").strip()
    return named.lower() or _configured_cluster()


@cache
def _configured_cluster() -> str:
    """Slurm is queried once per process (4 ms)."""
    try:
        answer = call(["scontrol", "show", "config"])
    except ClusterError:
        return ""
    match = re.search(r"^ClusterName\s*= *(\S+)", answer.out, re.MULTILINE)
    return match[1].lower() if match and not answer.code else ""


def refuse_several_clusters(environment: Mapping[str, str]) -> None:
    """Raise ClusterError if SLURM_CLUSTERS names several clusters: sbatch would choose one."""
    named = environment.get(VARIABLE, "")
    if "," in named or named.strip().lower() == "all":
        raise ClusterError(
            f"{VARIABLE}={named} names more than one cluster",
            "set it to one cluster for all commands of a run",
        )


def other_cluster(recorded: str) -> str:
    """Return why a job of cluster `recorded` must not be looked up here; empty if it may be."""
    reached = reached_cluster() if recorded else ""
    if not reached or reached == recorded.lower():
        return ""
    where = f"run was submitted to cluster {recorded}, but Slurm's commands reach {reached} here"
    return f"{where}; {how_to_reach(recorded)}"


def how_to_reach(cluster: str) -> str:
    """Return how to reach another cluster."""
    return f"set {VARIABLE}={cluster}"
