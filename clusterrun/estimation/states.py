"""What weights, gradients and the states of Adam occupy on each GPU, under each strategy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Part = Literal["weights", "gradients", "optimizer"]
_ALL: frozenset[Part] = frozenset({"weights", "gradients", "optimizer"})
_STATES: frozenset[Part] = frozenset({"gradients", "optimizer"})


@dataclass(frozen=True)
class Strategy:
    """One way to shard a model's states over GPUs; `words` is how a job spec selects it."""

    name: str
    words: str
    engine: Literal["ddp", "deepspeed", "fsdp"]
    sharded: frozenset[Part] = frozenset()
    """What each GPU holds only its part of."""
    offloaded: frozenset[Part] = frozenset()
    """What is kept in the memory of the node's CPUs."""
    gathered: bool = False
    """Whether weights that are sharded stay whole from the forward to the backward pass."""


def _make_zero(
    stage: int, sharded: frozenset[Part], offloaded: frozenset[Part] = frozenset()
) -> Strategy:
    words, name = f"zero_stage: {stage}", f"ZeRO-{stage}"
    if offloaded:
        words += ", offload_optimizer_device: cpu"
        name += ", optimizer on CPU"
    if "weights" in offloaded:
        words += ", offload_param_device: cpu"
        name = f"ZeRO-{stage}, all on CPU"
    return Strategy(name, f"deepspeed_config: {{{words}}}", "deepspeed", sharded, offloaded)


def _make_fsdp(
    name: str, words: str, *, offloaded: frozenset[Part] = frozenset(), gathered: bool = False
) -> Strategy:
    return Strategy(
        name, f"fsdp_config: {{fsdp_version: 2, {words}}}", "fsdp", _ALL, offloaded, gathered
    )


DDP = Strategy("DDP", "no deepspeed_config and no fsdp_config", "ddp")
ZERO_0 = _make_zero(0, frozenset())
ZERO_1 = _make_zero(1, frozenset({"optimizer"}))
ZERO_2 = _make_zero(2, _STATES)
ZERO_3 = _make_zero(3, _ALL)
FSDP = _make_fsdp("FSDP", "fsdp_reshard_after_forward: true")
FSDP_GATHERED = _make_fsdp(
    "FSDP, weights whole", "fsdp_reshard_after_forward: false", gathered=True
)
ZERO_1_OFFLOADED = _make_zero(1, frozenset({"optimizer"}), frozenset({"optimizer"}))
ZERO_2_OFFLOADED = _make_zero(2, _STATES, _STATES)
ZERO_3_OFFLOADED = _make_zero(3, _ALL, _STATES)
ZERO_3_ALL_OFFLOADED = _make_zero(3, _ALL, _ALL)
FSDP_OFFLOADED = _make_fsdp(
    "FSDP, all on CPU",
    "fsdp_reshard_after_forward: true, fsdp_offload_params: true",
    offloaded=_ALL,
)

TABLE: Sequence[Strategy] = (
    DDP,
    ZERO_1,
    ZERO_2,
    ZERO_3,
    FSDP,
    ZERO_2_OFFLOADED,
    ZERO_3_OFFLOADED,
    ZERO_3_ALL_OFFLOADED,
    FSDP_OFFLOADED,
)
"""What is compared side by side, from the least change of a DDP run to the greatest."""


@dataclass(frozen=True)
class States:
    """Bytes on each GPU, and on its node's CPUs on its account."""

    weights: float
    gradients: float
    optimizer: float
    host: float

    @property
    def total(self) -> float:
        """All that is on the GPU."""
        return self.weights + self.gradients + self.optimizer


def bytes_of_parameter(strategy: Strategy, *, mixed: bool) -> dict[Part, int]:
    """Return the bytes of one parameter before sharding; `mixed` is fp16, bf16 or fp8.

    Mixed-precision Adam has 16: 2 for weights, 2 for gradients and 12 for the optimizer, which are
    fp32 copies of the weights (4), momentum (4) and variance (4). Source: Rajbhandari et al. 2020,
    "ZeRO", section 3.1, arXiv:1910.02054. DeepSpeed holds them so. Accelerate's DDP is
    torch.autocast over fp32 weights, and FSDP keeps fp32 shards: 4, 4 and 8, with no copy beside
    the weights, and 16 again. In fp32 DeepSpeed still keeps its copy, which makes 20 (measured,
    DeepSpeed 0.19, ZeRO-1 to 3).
    """
    if strategy.engine != "deepspeed":
        return {"weights": 4, "gradients": 4, "optimizer": 8}
    return (
        {"weights": 2, "gradients": 2, "optimizer": 12}
        if mixed
        else {"weights": 4, "gradients": 4, "optimizer": 12}
    )


def states_of(parameters: int, gpus: int, strategy: Strategy, *, mixed: bool = True) -> States:
    """Return what a model's states occupy, each sharded part divided by the GPUs that share it.

    Source: the ZeRO paper, figure 1 and table 1, for stages 1 to 3; FSDP that shards everything is
    stage 3 (Zhao et al. 2023, "PyTorch FSDP", arXiv:2304.11277); offloading as in Ren et al. 2021,
    "ZeRO-Offload", arXiv:2101.06840.
    """
    each = bytes_of_parameter(strategy, mixed=mixed)
    part = {
        name: parameters * size / (gpus if name in strategy.sharded else 1)
        for name, size in each.items()
    }
    there = {name: 0.0 if name in strategy.offloaded else size for name, size in part.items()}
    host = sum(size for name, size in part.items() if name in strategy.offloaded)
    return States(there["weights"], there["gradients"], there["optimizer"], host)
