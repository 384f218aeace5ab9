"""The results of commands: the values of `--json` as frozen dataclasses with the same names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from clusterrun.errors import Problem

Fits = Literal["yes", "tight", "perhaps", "no"]


@dataclass(frozen=True)
class SweepMember:
    """One member of a sweep, a run of its own."""

    number: int
    """Its number, from 0: its run id is that of the sweep, a dash and this number."""
    name: str
    """Its name."""
    values: dict[str, str]
    """Its values as the spec has them, by path."""


@dataclass(frozen=True)
class ValidSpec:
    """What a valid spec requests."""

    name: str
    """The name of the run."""
    nodes: int
    """The number of nodes; the most, if it is a range."""
    min_nodes: int
    """The fewest nodes."""
    processes: int | None
    """The total over all nodes; None: one per GPU that Slurm allocates."""
    samples_per_step: int | None
    """The samples of one optimizer step, over all processes; None: only the script knows."""
    notes: tuple[str, ...]
    """What the spec does not say and the user should know."""
    members: tuple[SweepMember, ...] = ()
    """The members of a sweep."""


@dataclass(frozen=True)
class DryRun:
    """The job that would be queued, and what Slurm reports about it; nothing was queued."""

    script: str
    """The sbatch script."""
    slurm_response: str
    """What Slurm reported; empty without Slurm on this machine."""
    members: tuple[SweepMember, ...] = ()
    """The members of a sweep."""


@dataclass(frozen=True)
class NewSpec:
    """A job spec that was written."""

    file: str
    """The path; empty if it was only returned."""
    text: str
    """The text."""
    mistakes: tuple[Problem, ...]
    """Mistakes in the old script."""
    notes: tuple[Problem, ...]
    """What the new run does differently, and what was not translated."""
    problems: tuple[Problem, ...]
    """What to fix in the spec before it can be queued."""
    check: str
    """same: the old script and the spec start the same ranks; else why they were not compared;
    empty without an old script."""


@dataclass(frozen=True)
class StrategyEstimate:
    """The memory that one strategy needs on each GPU, in bytes; None: not counted."""

    name: str
    """The strategy's name."""
    accelerate: str
    """The keys of the spec's `accelerate` section that select it."""
    weights: int
    """The parameters."""
    gradients: int
    """The gradients, in the strategy's precision."""
    optimizer: int
    """AdamW's states and the master weights."""
    model_states: int
    """Weights, gradients and optimizer together."""
    buffers: int | None
    """The buffers of collectives and casts."""
    activations: int | None
    """The activations of one batch."""
    total: int
    """The sum of everything that is counted."""
    offloaded: int
    """The part that is offloaded to the node's memory, per GPU."""
    fits: Fits | None
    """`perhaps`: fits as far as it is counted; None: the GPU memory is not known."""


@dataclass(frozen=True)
class Estimate:
    """The memory that each strategy needs, in bytes (1 GB is 1000^3 bytes)."""

    parameters: int
    """The number of parameters of the model."""
    gpus: int
    """The total number of GPUs."""
    mixed_precision: str
    """accelerate's mixed_precision."""
    gpu_memory: int | None
    """The memory of each GPU; None: not known."""
    gpu_hours: float | None
    """GPU hours up to the time limit; None without a limit."""
    strategy: str | None
    """The spec's own strategy; None without a spec, or if it is not estimated."""
    strategies: tuple[StrategyEstimate, ...]
    """The common strategies, and the spec's own."""
    suggested_change: str | None
    """The smallest change that makes the run fit; None: none is needed or known."""
    member: SweepMember | None = None
    """The member of a sweep that needs the most, which the other values are about."""
    sweep_gpu_hours: float | None = None
    """GPU hours of all members of a sweep up to the time limit; None without a limit or sweep."""


@dataclass(frozen=True)
class CleanedItem:
    """One item that `clean` removes."""

    run_id: str
    """The run id."""
    kind: Literal["run", "checkpoint", "rest"]
    """`rest`: an earlier `clean` did not finish removing it."""
    path: str
    """The folder or file."""
    state: str
    """The state of the run."""
    age: int
    """Seconds since the run ended, or the checkpoint was saved."""
    size: int
    """The size that its removal frees."""
    removed: bool
    """Whether it was removed."""


@dataclass(frozen=True)
class Cleanup:
    """The items that `clean` removes; with `dry_run`, those that it would remove."""

    removals: tuple[CleanedItem, ...]
    """The items that match the conditions."""
    total_size: int
    """The size of all of them together."""
    notes: tuple[str, ...]
    """Why other items that you may have expected are kept."""
