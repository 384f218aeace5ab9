"""The job spec: what the user wants, read from YAML in Slurm's and accelerate's own words."""

import os

os.environ.setdefault(
    "PYDANTIC_DISABLE_PLUGINS", "1"
)  # looking for plugins of pydantic costs a start 9 ms

from clusterrun.job_spec.load import Loaded, load_spec
from clusterrun.job_spec.model import JobSpec

__all__ = ["JobSpec", "Loaded", "load_spec"]
