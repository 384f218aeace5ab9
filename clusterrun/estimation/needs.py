"""All that a run needs of a GPU under one strategy, and whether a GPU has it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from clusterrun.estimation.activations import Work, activations_of
from clusterrun.estimation.architecture import Architecture
from clusterrun.estimation.buffers import buffers_of
from clusterrun.estimation.parameters import embedding_parameters, layer_parameters
from clusterrun.estimation.states import States, Strategy, states_of
from clusterrun.results import Fits

COMFORTABLE = 0.9
"""The share of a GPU's memory beyond which a run is tight: CUDA's context and fragmentation need
the rest."""


@dataclass(frozen=True)
class Question:
    """What is to be estimated; sizes in bytes."""

    parameters: int
    gpus: int
    mixed: bool = True
    model: Architecture | None = None
    work: Work | None = None
    """None where batch or sequence is not known: activations are not counted then."""
    gpu_memory: int | None = None


@dataclass(frozen=True)
class Needs:
    """What a GPU has to hold, in bytes."""

    strategy: Strategy
    states: States
    buffers: float | None
    activations: float | None

    @property
    def total(self) -> float:
        """All that is counted."""
        return self.states.total + (self.buffers or 0) + (self.activations or 0)

    @property
    def whole(self) -> bool:
        """Whether everything is counted."""
        return self.buffers is not None and self.activations is not None

    def fits(self, memory: int) -> Fits:
        """Return `yes`, `tight`, `no`, or `perhaps` if not everything is counted.

        `tight`: beyond nine tenths of the memory.
        """
        if self.total > memory:
            return "no"
        if not self.whole:
            return "perhaps"
        return "yes" if self.total <= COMFORTABLE * memory else "tight"


def needs_of(question: Question, strategy: Strategy) -> Needs:
    """Count what a strategy needs."""
    states = states_of(question.parameters, question.gpus, strategy, mixed=question.mixed)
    buffers = buffers_of(
        question.parameters,
        question.gpus,
        strategy,
        mixed=question.mixed,
        largest=_largest(question.model),
    )
    return Needs(strategy, states, buffers, _activations(question, strategy))


def _activations(question: Question, strategy: Strategy) -> float | None:
    if question.model is None or question.work is None:
        return None
    autocast = question.mixed and strategy.engine == "ddp"
    return activations_of(
        question.model, replace(question.work, mixed=question.mixed, autocast=autocast)
    )


def _largest(model: Architecture | None) -> int | None:
    return None if model is None else max(layer_parameters(model), embedding_parameters(model))
