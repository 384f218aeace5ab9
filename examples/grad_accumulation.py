"""Gradient accumulation: train with a batch that does not fit into memory.

What it teaches:

1. `with accelerator.accumulate(model)` adds up gradients, and only every N-th `optimizer.step()`
   takes effect; in between, the processes exchange no gradients;
2. the effective batch is batch size x accumulation x processes, and a step's loss is the mean over
   all of it;
3. N batches of B samples give the same gradients as one batch of N x B, up to rounding: compare the
   `gradient_norm` of

    python examples/grad_accumulation.py --per_device_train_batch_size 32
    python examples/grad_accumulation.py --per_device_train_batch_size 8 \
        --gradient_accumulation_steps 4

The third point holds for a mean over samples. A mean over the tokens of texts of different lengths
must be weighted by hand. In a job spec, `accelerate: {gradient_accumulation_steps: 4}` sets the
number, and overrides this script's own flag.
"""

import argparse
import json
import math
import os
from pathlib import Path

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import set_seed
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from clusterrun.training import TrainingRun


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    run_folder = os.environ.get("CLUSTERRUN_RUN_DIR", ".")
    parser.add_argument("--output_dir", type=Path, default=Path(run_folder, "output"))
    parser.add_argument("--per_device_train_batch_size", type=int, default=8)
    parser.add_argument("--gradient_accumulation_steps", type=int, default=1)
    parser.add_argument("--num_train_epochs", type=int, default=2)
    parser.add_argument("--save_steps", type=int, default=24, help="overridden by the job spec")
    parser.add_argument("--seed", type=int, default=42)
    return parser.parse_args()


def make_loader(args):
    points = torch.randn(512, 16, generator=torch.Generator().manual_seed(args.seed))
    data = TensorDataset(points, points.sin().sum(dim=1, keepdim=True))
    return DataLoader(
        data, batch_size=args.per_device_train_batch_size, shuffle=True, drop_last=True
    )


def train(args, accelerator, model, optimizer, loader):
    run = TrainingRun(accelerator, folder=args.output_dir, every=f"{args.save_steps} steps")
    for _ in run.epochs(args.num_train_epochs):
        losses = []  # of the batches of one optimizer step
        for points, wanted in run.batches(loader):
            with accelerator.accumulate(model):
                loss = nn.functional.mse_loss(model(points), wanted)
                accelerator.backward(loss)  # divides by the number of batches in a step
                losses.append(loss.detach())
                if accelerator.sync_gradients:  # the gradients are complete now
                    norm = accelerator.clip_grad_norm_(model.parameters(), 10.0)
                optimizer.step()
                optimizer.zero_grad()
            if accelerator.sync_gradients:
                mean = accelerator.reduce(torch.stack(losses).mean(), "mean").item()
                losses.clear()
                log(accelerator, step=run.step, loss=mean, gradient_norm=float(norm))
    return run


def log(accelerator, **values):
    """Print one line of JSON from the main process; accelerator.print prints on every node."""
    if accelerator.is_main_process:
        print(json.dumps(values), flush=True)


def main():
    args = parse_args()
    set_seed(args.seed)
    order = DataLoaderConfiguration(use_seedable_sampler=True, data_seed=args.seed)
    accelerator = Accelerator(
        gradient_accumulation_steps=args.gradient_accumulation_steps, dataloader_config=order
    )
    model = nn.Sequential(nn.Linear(16, 64), nn.Tanh(), nn.Linear(64, 1))
    # SGD without momentum: a step depends on the gradient alone.
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    model, optimizer, loader = accelerator.prepare(model, optimizer, make_loader(args))
    sizes = (
        args.per_device_train_batch_size,
        accelerator.gradient_accumulation_steps,
        accelerator.num_processes,
    )
    names = ("per_device_train_batch_size", "gradient_accumulation_steps", "num_processes")
    log(accelerator, effective_batch=math.prod(sizes), **dict(zip(names, sizes, strict=True)))
    run = train(args, accelerator, model, optimizer, loader)
    if accelerator.is_main_process:
        torch.save(accelerator.unwrap_model(model).state_dict(), args.output_dir / "model.pt")
    run.finish()
    accelerator.end_training()


if __name__ == "__main__":
    main()
