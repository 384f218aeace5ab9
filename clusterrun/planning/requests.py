"""Requests to prepare a job spec that is passed as a path, a mapping or a loaded spec."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from clusterrun.job_spec import Loaded
from clusterrun.job_spec.writing import write_spec
from clusterrun.planning.preparation import Request

JobLike: TypeAlias = str | Path | Mapping[str, Any] | Loaded
"""A job spec: the path of its file, a mapping with its keys, or what `load_spec` returned."""

MAPPING = "<mapping>"
"""The name in messages of a spec that is not in a file."""


def make_request(
    job: JobLike,
    overrides: Sequence[str] = (),
    profile: str | Path | None = None,
    templates: Sequence[str | Path] = (),
) -> Request:
    """Return a request for a spec; `overrides` are applied after those of a loaded spec."""
    site = None if profile is None else str(profile)
    folders = tuple(map(str, templates))
    if isinstance(job, Loaded):
        all_overrides = (*job.overrides, *overrides)
        return Request(
            job.source,
            all_overrides,
            job.profile or "" if site is None else site,
            folders,
            text=job.text,
        )
    if isinstance(job, Mapping):
        return Request(
            MAPPING, tuple(overrides), site, folders, text=write_spec(_as_yaml_values(job))
        )
    return Request(str(job), tuple(overrides), site, folders)


def _as_yaml_values(value: Any) -> Any:
    """Return a value with paths as text, as YAML needs it."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(key): _as_yaml_values(inner) for key, inner in value.items()}
    return [*map(_as_yaml_values, value)] if isinstance(value, (list, tuple)) else value
