"""Specs that are read from the working folder."""

from __future__ import annotations

from pathlib import Path

from clusterrun.job_spec import JobSpec, load_spec


def load(text: str, **options) -> JobSpec:
    """Read a spec that already has a script."""
    Path("job.yaml").write_text(f"script: train.py\n{text}\n")
    return load_spec("job.yaml", **options).spec


def profiled(profile: str, text: str = "", **options) -> JobSpec:
    """Read a spec together with a profile."""
    Path("site.yaml").write_text(profile)
    return load(text, profile="site.yaml", **options)
