"""What the commands return: the values of `--json` as frozen dataclasses, under the same names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from clusterrun.errors import Problem

Fits = Literal["yes", "tight", "perhaps", "no"]


@dataclass(frozen=True)
class ValidSpec:
    """What a valid spec requests."""

    name: str
    """What the run is called."""
    nodes: int
    """The most it takes, if it has a range."""
    min_nodes: int
    """The fewest."""
    processes: int | None
    """On all nodes together; None: as many as Slurm gives GPUs."""
    samples_per_step: int | None
    """Of one optimizer step, over all processes; None: only the script knows."""
    notes: tuple[str, ...]
    """What the user did not write and should know."""


@dataclass(frozen=True)
class DryRun:
    """What would be queued, and Slurm's answer; nothing was queued."""

    script: str
    """The sbatch script."""
    slurm_response: str
    """What Slurm answered; empty if there is no Slurm on this machine."""


@dataclass(frozen=True)
class NewSpec:
    """A job spec that was written."""

    file: str
    """Its path; empty if it was only returned."""
    text: str
    """Its text."""
    mistakes: tuple[Problem, ...]
    """Mistakes of the old script."""
    notes: tuple[Problem, ...]
    """What the new run does differently, and what could not be translated."""
    problems: tuple[Problem, ...]
    """What has to be fixed in the spec before it can be queued."""


@dataclass(frozen=True)
class StrategyEstimate:
    """What one strategy needs on each GPU, in bytes; None: not counted."""

    name: str
    """The strategy's name."""
    accelerate: str
    """Its words in the spec's section `accelerate`."""
    weights: int
    """The parameters."""
    gradients: int
    """The gradients, as wide as the strategy keeps them."""
    optimizer: int
    """AdamW's states, and the master weights."""
    model_states: int
    """The three together."""
    buffers: int | None
    """What collectives and casts take."""
    activations: int | None
    """The activations of one batch."""
    total: int
    """All that was counted."""
    offloaded: int
    """What offloading keeps in the node's memory, for each GPU."""
    fits: Fits | None
    """`perhaps`: as far as it was counted; None: the memory of a GPU is not known."""


@dataclass(frozen=True)
class Estimate:
    """The memory that each strategy needs, in bytes of 1000^3 to a GB."""

    parameters: int
    """The parameters of the model."""
    gpus: int
    """The number of GPUs in all."""
    mixed_precision: str
    """accelerate's mixed_precision."""
    gpu_memory: int | None
    """The memory of each GPU; None: not known."""
    gpu_hours: float | None
    """Up to the time limit."""
    strategy: str | None
    """The spec's own strategy."""
    strategies: tuple[StrategyEstimate, ...]
    """The common strategies, and the spec's own."""
    suggested_change: str | None
    """The smallest change with which the run fits; None: none is needed, or none is known."""


@dataclass(frozen=True)
class CleanedItem:
    """One thing that `clean` removes."""

    run_id: str
    """The run that it belongs to."""
    kind: Literal["run", "checkpoint", "rest"]
    """`rest`: an earlier `clean` began to remove it, and did not finish."""
    path: str
    """Its folder or file."""
    state: str
    """The state of the run."""
    age: int
    """Seconds since it ended, or was saved."""
    size: int
    """What its removal frees."""
    removed: bool
    """Whether it is gone."""


@dataclass(frozen=True)
class Cleanup:
    """What `clean` removes; with `dry_run`, what it would remove."""

    removals: tuple[CleanedItem, ...]
    """What fits the conditions."""
    total_size: int
    """The size of all of them together."""
    notes: tuple[str, ...]
    """Why something else stays that may have been meant."""
