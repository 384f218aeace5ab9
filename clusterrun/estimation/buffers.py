"""What the engines of the strategies keep on each GPU: buckets, casts, and gathered weights."""

from __future__ import annotations

from clusterrun.estimation.states import Strategy

_BUCKET = 500_000_000
_LIVE = 1_000_000_000


def buffers_of(
    parameters: int, gpus: int, strategy: Strategy, *, mixed: bool, largest: int | None
) -> float | None:
    """Return an upper bound in bytes; None for FSDP if `largest`, its largest part, is not known.

    Sources, with the defaults that accelerate leaves alone: DDP's buckets are a second copy of the
    gradients (torch.nn.parallel.DistributedDataParallel, gradient_as_bucket_view=False);
    torch.autocast keeps the cast of each weight until the backward pass has used it; DeepSpeed's
    reduce_bucket_size and allgather_bucket_size are 5e8 elements and stage3_max_live_parameters 1e9
    (deepspeed/runtime/zero/config.py); FSDP gathers a part while the one before it is computed
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
