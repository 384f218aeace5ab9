"""The job spec: what the user wants, read from YAML in Slurm's and accelerate's own words."""

from clusterrun.spec.load import Loaded, load_spec
from clusterrun.spec.model import JobSpec

__all__ = ["JobSpec", "Loaded", "load_spec"]
