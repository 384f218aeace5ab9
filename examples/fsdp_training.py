"""How FSDP, PyTorch's counterpart of ZeRO-3, shards a model over the GPUs.

What it teaches:

1. the job spec's `fsdp_config` chooses the version and what is wrapped; the script does not mention
   it;
2. each block is a unit: its weights are gathered while it is computed, and then freed; so the model
   must consist of blocks, and `fsdp_transformer_layer_cls_to_wrap: Block` names their class;
3. each process holds a shard of the weights and the optimizer state, so all of them must take part
   in saving the model;
4. FSDP needs GPUs: on CPUs Accelerate silently trains with DDP instead; this script warns of it.

    accelerate launch --use_fsdp --fsdp_version 2 --fsdp_auto_wrap_policy TRANSFORMER_BASED_WRAP \
        --fsdp_transformer_layer_cls_to_wrap Block examples/fsdp_training.py
"""

import argparse
import json
import os
from pathlib import Path

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import gather_object, set_seed
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from clusterrun.training import TrainingRun


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    run_folder = os.environ.get("CLUSTERRUN_RUN_DIR", ".")
    parser.add_argument("--output_dir", type=Path, default=Path(run_folder, "output"))
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--num_train_epochs", type=int, default=2)
    parser.add_argument("--save_steps", type=int, default=12, help="overridden by the job spec")
    parser.add_argument("--seed", type=int, default=42)
    return parser.parse_args()


class Block(nn.Module):
    """A residual block, as in a transformer; FSDP wraps each one."""

    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x):  # noqa: D102 - torch's name
        return x + self.inner(self.norm(x))


def make_data(seed):
    points = torch.randn(512, 16, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(points, points.sin().sum(dim=1, keepdim=True))


def here(value):
    """Return this process's shard of a tensor."""
    return value.to_local() if hasattr(value, "to_local") else value


def held(model, optimizer):
    """Count the elements of the weights and the optimizer state that this process holds."""
    states = [value for state in optimizer.state.values() for value in state.values()]
    moments = sum(here(v).numel() for v in states if torch.is_tensor(v) and v.ndim)
    return {"weights": sum(here(p).numel() for p in model.parameters()), "optimizer": moments}


def log(accelerator, **values):
    """Print one line of JSON from the main process; accelerator.print prints on every node."""
    if accelerator.is_main_process:
        print(json.dumps(values), flush=True)


def main():
    args = parse_args()
    set_seed(args.seed)
    order = DataLoaderConfiguration(use_seedable_sampler=True, data_seed=args.seed)
    accelerator = Accelerator(dataloader_config=order)
    strategy = accelerator.distributed_type.value
    if os.environ.get("ACCELERATE_USE_FSDP") == "true" and strategy != "FSDP":
        log(accelerator, warning=f"FSDP was requested, but {strategy} is used: FSDP needs GPUs")
    blocks = [Block(args.width) for _ in range(3)]
    model = nn.Sequential(nn.Linear(16, args.width), *blocks, nn.Linear(args.width, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    loader = DataLoader(make_data(args.seed), batch_size=16, shuffle=True, drop_last=True)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    run = TrainingRun(accelerator, folder=args.output_dir, every=f"{args.save_steps} steps")
    for _ in run.epochs(args.num_train_epochs):
        for points, wanted in run.batches(loader):
            loss = nn.functional.mse_loss(model(points), wanted)
            accelerator.backward(loss)
            # The Accelerator computes the norm over the shards of all processes.
            accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            mean = accelerator.reduce(loss.detach(), "mean").item()
            log(accelerator, step=run.step, loss=mean)
    shares = gather_object([held(model, optimizer)])
    log(accelerator, distributed_type=strategy, held=shares)
    # All processes gather the model; only the main process writes it.
    accelerator.save_model(model, args.output_dir / "model")
    run.finish()
    accelerator.end_training()


if __name__ == "__main__":
    main()
