"""A real Slurm cluster of several machines on this one, for tests and experiments."""

from tests.slurm.cluster.cluster import Cluster, missing
from tests.slurm.cluster.process import CommandFailed, CommandTimedOut, UserProcess, wait_until

__all__ = ["Cluster", "CommandFailed", "CommandTimedOut", "UserProcess", "missing", "wait_until"]
