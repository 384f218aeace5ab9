"""The smallest change that makes a run fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from clusterrun.estimation import states
from clusterrun.estimation.needs import COMFORTABLE, Needs, Question, needs_of
from clusterrun.estimation.states import Strategy

_MOST_GPUS = 1 << 20

# Possible changes, the cheapest first: ZeRO-2 communicates as much as DDP, ZeRO-3 1.5 times as much
# (the ZeRO paper, section 7), checkpointing computes a third more (Korthikanti et al. 2022), and
# offloading waits for the CPU.
_ZERO_PLAIN = (states.ZERO_2, states.ZERO_3)
_ZERO_OFFLOADED = (states.ZERO_2_OFFLOADED, states.ZERO_3_OFFLOADED, states.ZERO_3_ALL_OFFLOADED)


def smallest_change(question: Question, own: Strategy, step: int = 1) -> str:
    """Return the smallest change that makes a run fit; empty if it fits, or memory is not known.

    `own` is the strategy of the run. Because offloading is slow, its text also has the number of
    GPUs, a multiple of `step`, that would avoid it.
    """
    memory = question.gpu_memory
    if memory is None or _fits_comfortably(needs_of(question, own), memory):
        return ""
    for strategy, changed, also in _list_changes(question, own):
        if _fits_comfortably(needs_of(changed, strategy), memory):
            words = "" if strategy == own else f"{strategy.name} (accelerate: {{{strategy.words}}})"
            gpus = (
                _propose_gpus(question, own, memory, step)
                if strategy.offloaded and not own.offloaded
                else ""
            )
            return " with ".join(part for part in (words, also) if part) + gpus
    return (
        "a smaller batch, a shorter sequence or larger GPUs: the part that cannot be sharded is "
        "already too large"
    )


def _fits_comfortably(needs: Needs, memory: int) -> bool:
    return needs.total <= COMFORTABLE * memory


def _list_changes(question: Question, own: Strategy) -> Iterator[tuple[Strategy, Question, str]]:
    """Yield changes on the same GPUs: strategy, checkpointing, then offloading with both."""
    plain, offloaded = _stronger_strategies(own)
    checkpointed = _with_checkpointing(question)
    yield from ((strategy, question, "") for strategy in plain)
    if checkpointed is not None:
        yield from (
            (strategy, checkpointed, "activation checkpointing") for strategy in (own, *plain)
        )
    for strategy in offloaded:
        yield strategy, question, ""
        if checkpointed is not None:
            yield strategy, checkpointed, "activation checkpointing"


def _stronger_strategies(own: Strategy) -> tuple[Sequence[Strategy], Sequence[Strategy]]:
    """Return the engine's strategies that shard more than the run's, and those that offload."""
    if own.engine == "fsdp":
        plain: Sequence[Strategy] = (states.FSDP,) if own.gathered else ()
        return plain, () if own.offloaded else (states.FSDP_OFFLOADED,)
    more = [one for one in _ZERO_PLAIN if own.sharded < one.sharded and not own.offloaded]
    offloading = [
        one
        for one in _ZERO_OFFLOADED
        if own.sharded <= one.sharded and own.offloaded < one.offloaded
    ]
    return more, offloading


def _with_checkpointing(question: Question) -> Question | None:
    if question.model is None or question.work is None or question.work.checkpointing:
        return None
    return replace(question, work=replace(question.work, checkpointing=True))


def _propose_gpus(question: Question, own: Strategy, memory: int, step: int) -> str:
    """Return the smallest number of GPUs that fits with full sharding; empty if none."""
    best = states.FSDP if own.engine == "fsdp" else states.ZERO_3
    smallest = _with_checkpointing(question) or question
    checkpointing = " and activation checkpointing" if smallest is not question else ""

    def is_enough(steps: int) -> bool:
        return _fits_comfortably(needs_of(replace(smallest, gpus=steps * step), best), memory)

    most = max(_MOST_GPUS // step, 1)
    if not is_enough(most):
        return ""
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return f", or {high * step} GPUs with {best.name}{checkpointing}"
