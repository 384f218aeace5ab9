"""The training strategy: a spec, its config files and its script, checked together."""

from clusterrun.planning.strategy.batch import Batch
from clusterrun.planning.strategy.check import Findings, check, check_names

__all__ = ["Batch", "Findings", "check", "check_names"]
