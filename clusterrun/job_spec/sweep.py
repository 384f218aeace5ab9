"""The `sweep` section of a job spec, as the user writes it; `sweeps` expands it to members."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

from clusterrun.job_spec.values import Count


def _check_name(text: str) -> str:
    if not re.fullmatch(r"[^\s=]{1,100}", text):
        raise ValueError(
            f"{text[:80]!r} is not the name of a metric\n"
            "use the name that the script logs, without spaces and `=`"
        )
    return text


MetricName = Annotated[str, AfterValidator(_check_name)]


class SweepMetric(BaseModel):
    """What the members of a sweep are compared by."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True
    )

    name: MetricName = "loss"
    """The name under which the script logs it, as in `run.log(eval_loss=...)` or in Trainer's
    logs."""
    goal: Literal["min", "max"] = "min"
    """Whether lower or higher values are better."""


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
    metric: SweepMetric | None = None
    """What `status` sorts the members by, and what `best` selects by; by default the last loss."""
