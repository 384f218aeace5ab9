"""The `sweep` section of a job spec, as the user writes it; `sweeps` expands it to members."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from clusterrun.job_spec.values import Count


class Sweep(BaseModel):
    """One run per combination of values, all in one job array; each is a member of the sweep.

    A path is written as in `--set`. If there are several parts, each combination of one part is
    combined with each of the others.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True
    )

    grid: dict[str, Any] | None = None
    """A list of values per path; every combination of them is a member."""
    zip: dict[str, Any] | None = None
    """A list of values per path, all of the same length; the first values are one member, the
    second values the next."""
    cases: list[Any] | None = None
    """A list of mappings of paths to values, one per member."""
    random: dict[str, Any] | None = None
    """`count` random members, from `seed`; per path {uniform: [low, high]}, {log_uniform: [low,
    high]} or {choice: [...]}."""
    max_running: Count | None = None
    """How many members may run at once; by default as many as Slurm starts."""
