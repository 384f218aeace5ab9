"""What FSDP shares out among the GPUs, counted: PyTorch's own counterpart of ZeRO-3.

What it teaches:

1. the job spec's `fsdp_config` chooses the version and what is wrapped; the script has no word of
   it;
2. each block is a unit: its weights come together when it is computed, and go again; so a model
   must have blocks, and `fsdp_transformer_layer_cls_to_wrap: Block` names theirs;
3. every process holds its part of weights and optimizer, and all of them must take part in saving
   the model;
4. FSDP needs GPUs: on CPUs Accelerate trains with DDP instead, in silence, which this script says
   aloud.

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
    parser.add_argument(
        "--save_steps", type=int, default=12, help="under clusterrun the job spec says it"
    )
    parser.add_argument("--seed", type=int, default=42)
    return parser.parse_args()


class Block(nn.Module):
    """A layer with a way around it, as transformers have many of; FSDP wraps each."""

    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x):  # noqa: D102 - torch's word
        return x + self.inner(self.norm(x))


def make_data(seed):
    points = torch.randn(512, 16, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(points, points.sin().sum(dim=1, keepdim=True))


def here(value):
    """Return this process's part of a tensor."""
    return value.to_local() if hasattr(value, "to_local") else value


def held(model, optimizer):
    """Count the numbers of weights and optimizer state in this process."""
    states = [value for state in optimizer.state.values() for value in state.values()]
    moments = sum(here(v).numel() for v in states if torch.is_tensor(v) and v.ndim)
    return {"weights": sum(here(p).numel() for p in model.parameters()), "optimizer": moments}


def log(accelerator, **values):
    """Print a line of JSON, once; accelerator.print would print it on each node."""
    if accelerator.is_main_process:
        print(json.dumps(values), flush=True)


def main():
    args = parse_args()
    set_seed(args.seed)
    order = DataLoaderConfiguration(use_seedable_sampler=True, data_seed=args.seed)
    accelerator = Accelerator(dataloader_config=order)
    strategy = accelerator.distributed_type.value
    if os.environ.get("ACCELERATE_USE_FSDP") == "true" and strategy != "FSDP":
        log(accelerator, warning=f"FSDP was asked for, and {strategy} trains: FSDP needs GPUs")
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
            accelerator.clip_grad_norm_(
                model.parameters(), 1.0
            )  # the Accelerator's: a norm of parts needs all
            optimizer.step()
            optimizer.zero_grad()
            mean = accelerator.reduce(loss.detach(), "mean").item()
            log(accelerator, step=run.step, loss=mean)
    shares = gather_object([held(model, optimizer)])
    log(accelerator, distributed_type=strategy, held=shares)
    accelerator.save_model(
        model, args.output_dir / "model"
    )  # gathers it; only the main process writes
    run.finish()
    accelerator.end_training()


if __name__ == "__main__":
    main()
