"""Train two steps on each CPU process, and write how many bytes weights, gradients and optimizer
states occupy on it.

`measure_states.py FOLDER STRATEGY PRECISION`: ddp, zero1, zero2, zero3 or fsdp; `no` or `bf16`.
Each rank writes FOLDER/rank-<rank>.json. Every tensor's storage counts once, however many names it
has; gradients are counted between the backward pass and the step, and the optimizer after its first
step, which creates Adam's states.
"""

import json
import os
import sys
from pathlib import Path

import torch
from accelerate import Accelerator, DeepSpeedPlugin, InitProcessGroupKwargs
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

WIDTH, DEPTH = 128, 8


def main(folder, strategy, precision):
    accelerator, model, optimizer = prepared(strategy, precision)
    batch = torch.randn(4, WIDTH, device=accelerator.device, dtype=next(model.parameters()).dtype)
    for _ in range(2):
        loss = model(batch).float().square().mean()
        if strategy.startswith("zero"):
            model.backward(loss)
            found = zero_bytes(model)
            model.step()
        else:
            accelerator.backward(loss)
            found = bytes_of(model, optimizer)
            optimizer.step()
            optimizer.zero_grad()
    parameters = DEPTH * WIDTH * WIDTH
    rank, text = accelerator.process_index, json.dumps({"parameters": parameters, **found})
    (Path(folder) / f"rank-{rank}.json").write_text(text)
    os._exit(
        0
    )  # on a busy machine gloo's threads sometimes abort at the interpreter's end, or hang


def prepared(strategy, precision):
    config = ds_config(int(strategy[-1]), precision) if strategy.startswith("zero") else None
    plugin = DeepSpeedPlugin(hf_ds_config=config) if config else None
    handlers = [InitProcessGroupKwargs(backend="gloo")]
    accelerator = Accelerator(
        mixed_precision=precision, deepspeed_plugin=plugin, kwargs_handlers=handlers
    )
    model = torch.nn.Sequential(*[torch.nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(DEPTH)])
    if strategy == "fsdp":
        for part in (*model, model):
            fully_shard(
                part,
                mp_policy=MixedPrecisionPolicy(torch.bfloat16 if precision == "bf16" else None),
            )
        return accelerator, model, torch.optim.AdamW(model.parameters())
    optimizer = torch.optim.AdamW(model.parameters())
    return accelerator, *accelerator.prepare(model, optimizer)


def ds_config(stage, precision):
    return {
        "zero_optimization": {
            "stage": stage,
            "reduce_bucket_size": 1000,
            "stage3_param_persistence_threshold": 0,
        },
        "zero_force_ds_cpu_optimizer": False,
        "zero_allow_untested_optimizer": True,
        "bf16": {"enabled": precision == "bf16"},
        "train_micro_batch_size_per_gpu": 4,
    }


def bytes_of(model, optimizer):
    parameters = list(model.parameters())
    return {
        "weights": occupied(parameters),
        "gradients": occupied([one.grad for one in parameters]),
        "optimizer": occupied([*optimizer.state.values()]),
    }


def zero_bytes(engine):
    zero = engine.optimizer
    weights = [getattr(one, "ds_tensor", one) for one in engine.module.parameters()]
    copies = (
        getattr(zero, "fp32_partitioned_groups_flat", None) or zero.single_partition_of_fp32_groups
    )
    return {
        "weights": occupied(weights),
        "gradients": occupied(zero.averaged_gradients),
        "optimizer": occupied([copies, *zero.optimizer.state.values()]),
    }


def tensors(value):
    """Return the tensors with one or more values that hold any element, at any depth."""
    if isinstance(value, DTensor):
        value = value.to_local()
    if isinstance(value, torch.Tensor):
        return [value] if value.numel() > 1 else []
    inner = (
        value.values()
        if isinstance(value, dict)
        else value
        if isinstance(value, (list, tuple))
        else ()
    )
    return [found for one in inner for found in tensors(one)]


def occupied(found):
    storages = [one.untyped_storage() for one in tensors(found)]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


main(*sys.argv[1:])
