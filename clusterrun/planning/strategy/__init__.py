"""How the processes share a training: a spec, its config files and its script, read together."""

from clusterrun.planning.strategy.batch import Batch
from clusterrun.planning.strategy.check import Findings, check, check_names

__all__ = ["Batch", "Findings", "check", "check_names"]
