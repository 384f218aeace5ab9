"""The memory that a run needs on each GPU with one strategy, and whether it fits."""

from __future__ import annotations

from dataclasses import dataclass, replace

from clusterrun.estimation.activations import Work, activations_of
from clusterrun.estimation.architecture import Architecture
from clusterrun.estimation.parameters import embedding_parameters, layer_parameters
from clusterrun.estimation.states import States, Strategy, states_of
from clusterrun.results import Fits

_BUCKET = 500_000_000
_LIVE = 1_000_000_000

COMFORTABLE = 0.9
"""The fraction of a GPU's memory above which a run is tight: CUDA's context and fragmentation need
the rest."""


@dataclass(frozen=True)
class Question:
    """What to estimate; sizes are in bytes."""

    parameters: int
    gpus: int
    mixed: bool = True
    model: Architecture | None = None
    work: Work | None = None
    """None if batch or sequence is not known; activations are not counted then."""
    gpu_memory: int | None = None


@dataclass(frozen=True)
class Needs:
    """The memory that a strategy needs on each GPU, in bytes."""

    strategy: Strategy
    states: States
    buffers: float | None
    activations: float | None

    @property
    def total(self) -> float:
        """The sum of everything that is counted."""
        return self.states.total + (self.buffers or 0) + (self.activations or 0)

    @property
    def whole(self) -> bool:
        """Whether everything is counted."""
        return self.buffers is not None and self.activations is not None

    def fits(self, memory: int) -> Fits:
        """Return `yes`, `tight` (above nine tenths of the memory), `no`, or `perhaps`.

        `perhaps`: not everything is counted.
        """
        if self.total > memory:
            return "no"
        if not self.whole:
            return "perhaps"
        return "yes" if self.total <= COMFORTABLE * memory else "tight"


def needs_of(question: Question, strategy: Strategy) -> Needs:
    """Return the memory that a strategy needs."""
    states = states_of(question.parameters, question.gpus, strategy, mixed=question.mixed)
    buffers = buffers_of(
        question.parameters,
        question.gpus,
        strategy,
        mixed=question.mixed,
        largest=_largest_part(question.model),
    )
    return Needs(strategy, states, buffers, _count_activations(question, strategy))


def _count_activations(question: Question, strategy: Strategy) -> float | None:
    if question.model is None or question.work is None:
        return None
    autocast = question.mixed and strategy.engine == "ddp"
    return activations_of(
        question.model, replace(question.work, mixed=question.mixed, autocast=autocast)
    )


def _largest_part(model: Architecture | None) -> int | None:
    return None if model is None else max(layer_parameters(model), embedding_parameters(model))


def buffers_of(
    parameters: int, gpus: int, strategy: Strategy, *, mixed: bool, largest: int | None
) -> float | None:
    """Return an upper bound in bytes; None for FSDP if `largest`, its largest part, is not known.

    Sources, with defaults that accelerate does not change: DDP's buckets are a second copy of the
    gradients (torch.nn.parallel.DistributedDataParallel, gradient_as_bucket_view=False);
    torch.autocast keeps the cast of each weight until the backward pass has used it; DeepSpeed's
    reduce_bucket_size and allgather_bucket_size are 5e8 elements and stage3_max_live_parameters 1e9
    (deepspeed/runtime/zero/config.py); FSDP gathers a part while the previous one is computed
    (torch.distributed.fsdp.fully_shard).
    """
    element = 2 if mixed else 4
    if strategy.engine == "ddp":
        buckets = 4 * parameters if gpus > 1 else 0
        return buckets + (2 * parameters if mixed else 0)
    if strategy.engine == "deepspeed":
        bucket = min(parameters, _BUCKET) * element
        whole = "weights" in strategy.sharded
        return bucket + (min(parameters, _LIVE) * element if whole else bucket)
    if largest is None:
        return None
    gathered = parameters if strategy.gathered else min(2 * largest, parameters)
    return float((gathered + largest) * element)
