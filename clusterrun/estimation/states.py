"""The memory of weights, gradients and Adam's states on each GPU, for each strategy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Part = Literal["weights", "gradients", "optimizer"]
_ALL: frozenset[Part] = frozenset({"weights", "gradients", "optimizer"})
_STATES: frozenset[Part] = frozenset({"gradients", "optimizer"})


@dataclass(frozen=True)
class Strategy:
    """One way to shard a model's states over GPUs; `words` selects it in a job spec."""

    name: str
    words: str
    engine: Literal["ddp", "deepspeed", "fsdp"]
    sharded: frozenset[Part] = frozenset()
    """The parts that are sharded over the GPUs."""
    offloaded: frozenset[Part] = frozenset()
    """The parts that are in the memory of the node's CPUs."""
    gathered: bool = False
    """Whether sharded weights stay gathered from the forward to the backward pass."""


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
"""The strategies to compare, from the smallest change of a DDP run to the largest."""


@dataclass(frozen=True)
class States:
    """Bytes on each GPU, and in the memory of its node for this GPU."""

    weights: float
    gradients: float
    optimizer: float
    host: float

    @property
    def total(self) -> float:
        """The total on the GPU."""
        return self.weights + self.gradients + self.optimizer


def bytes_of_parameter(strategy: Strategy, *, mixed: bool) -> dict[Part, int]:
    """Return the bytes of one parameter before sharding; `mixed` is fp16, bf16 or fp8.

    Mixed-precision Adam has 16: 2 for weights, 2 for gradients and 12 for the optimizer, which are
    fp32 copies of the weights (4), momentum (4) and variance (4). Source: Rajbhandari et al. 2020,
    "ZeRO", section 3.1, arXiv:1910.02054. DeepSpeed does this. Accelerate's DDP is
    torch.autocast over fp32 weights, and FSDP keeps fp32 shards: 4, 4 and 8 without a second copy
    of the weights, also 16 in total. In fp32 DeepSpeed still keeps its copy, which makes 20
    (measured with DeepSpeed 0.19, ZeRO-1 to 3).
    """
    if strategy.engine != "deepspeed":
        return {"weights": 4, "gradients": 4, "optimizer": 8}
    return (
        {"weights": 2, "gradients": 2, "optimizer": 12}
        if mixed
        else {"weights": 4, "gradients": 4, "optimizer": 12}
    )


def states_of(parameters: int, gpus: int, strategy: Strategy, *, mixed: bool = True) -> States:
    """Return the memory of a model's states, each sharded part divided by the number of GPUs.

    Source: the ZeRO paper, figure 1 and table 1, for stages 1 to 3; FSDP that shards everything is
    stage 3 (Zhao et al. 2023, "PyTorch FSDP", arXiv:2304.11277); offloading as in Ren et al. 2021,
    "ZeRO-Offload", arXiv:2101.06840.
    """
    each = bytes_of_parameter(strategy, mixed=mixed)
    part = {
        name: parameters * size / (gpus if name in strategy.sharded else 1)
        for name, size in each.items()
    }
    on_gpu = {name: 0.0 if name in strategy.offloaded else size for name, size in part.items()}
    host = sum(size for name, size in part.items() if name in strategy.offloaded)
    return States(on_gpu["weights"], on_gpu["gradients"], on_gpu["optimizer"], host)
