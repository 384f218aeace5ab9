"""What an Accelerator does: one training loop for a laptop, a GPU, and many GPUs on many nodes.

What it teaches, from top to bottom:

1. `Accelerator()` gets the number of processes and the device of this one from the launch;
2. `prepare` moves the model to that device, wraps it if there are several processes, and splits the
   batches between them;
3. `accelerator.backward(loss)` replaces `loss.backward()`;
4. a value on one process is not the run's value: `reduce` returns the mean over all processes;
5. every process holds the model; one of them saves it, without the wrapper.

It takes seconds on a CPU. When it is run again, it resumes from its last checkpoint:

    python examples/accelerator_basics.py
    accelerate launch examples/accelerator_basics.py
"""

import argparse
import json
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
    parser.add_argument("--num_train_epochs", type=int, default=4)
    parser.add_argument("--save_steps", type=int, default=24, help="overridden by the job spec")
    parser.add_argument("--seed", type=int, default=42)
    return parser.parse_args()


def make_data(seed):
    """Return points and their targets, a smooth function of eight numbers."""
    points = torch.randn(1024, 8, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(points, points.sin().sum(dim=1, keepdim=True))


def log(accelerator, **values):
    """Print one line of JSON from the main process; accelerator.print prints on every node."""
    if accelerator.is_main_process:
        print(json.dumps(values), flush=True)


def main():
    args = parse_args()
    set_seed(args.seed)  # all processes start with the same weights
    # The seed and the epoch number determine the sample order, so a resumed epoch keeps it.
    order = DataLoaderConfiguration(use_seedable_sampler=True, data_seed=args.seed)
    accelerator = Accelerator(dataloader_config=order)
    model = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    loader = DataLoader(make_data(args.seed), batch_size=16, shuffle=True)
    before = {"model": type(model).__name__, "batches": len(loader)}

    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)

    after = {
        "model": type(model).__name__,
        "batches": len(loader),
        "device": str(accelerator.device),
    }
    log(accelerator, processes=accelerator.num_processes, before=before, after=after)
    run = TrainingRun(accelerator, folder=args.output_dir, every=f"{args.save_steps} steps")
    for _ in run.epochs(args.num_train_epochs):
        for points, wanted in run.batches(loader):
            loss = nn.functional.mse_loss(model(points), wanted)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            mean = accelerator.reduce(loss.detach(), "mean").item()
            log(accelerator, step=run.step, loss=mean)
    if accelerator.is_main_process:
        weights = accelerator.unwrap_model(model).state_dict()
        torch.save(weights, args.output_dir / "model.pt")
    run.finish()
    accelerator.end_training()


if __name__ == "__main__":
    main()
