"""The job spec: what the user wants, read from YAML with Slurm's and accelerate's own keys."""

import os

os.environ.setdefault(
    "PYDANTIC_DISABLE_PLUGINS", "1"
)  # the search for pydantic plugins would add 9 ms to every start

from clusterrun.job_spec.load import Loaded, load_spec
from clusterrun.job_spec.model import JobSpec

__all__ = ["JobSpec", "Loaded", "load_spec"]
