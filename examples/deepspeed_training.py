"""What ZeRO shares out among the processes, counted: stages 1, 2 and 3 with one script.

What it teaches:

1. the job spec's `deepspeed_config` chooses the stage; the script has no word of it, and trains
   without DeepSpeed, too;
2. each process holds a part of the optimizer's numbers from stage 1 on, of the gradients from 2, of
   the weights at 3;
3. no process has the whole model at stage 3: all of them must take part in saving it;
4. accumulation and clipping are DeepSpeed's own then, from its config; the same calls here ask it
   for them.

    accelerate launch --use_deepspeed --zero_stage 2 examples/deepspeed_training.py

On CPUs it shows the same, slowly, with DS_ACCELERATOR=cpu; DeepSpeed compiles a part of itself at
first use there.
"""

import argparse
import json
import os
from itertools import pairwise
from pathlib import Path

import torch
from accelerate import Accelerator, DataLoaderConfiguration, InitProcessGroupKwargs
from accelerate.utils import gather_object, set_seed
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from clusterrun.training import TrainingRun


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    run_folder = os.environ.get("CLUSTERRUN_RUN_DIR", ".")
    parser.add_argument("--output_dir", type=Path, default=Path(run_folder, "output"))
    parser.add_argument("--width", type=int, default=128, help="of the hidden layers")
    parser.add_argument("--per_device_train_batch_size", type=int, default=16)
    parser.add_argument("--num_train_epochs", type=int, default=2)
    parser.add_argument(
        "--save_steps", type=int, default=12, help="under clusterrun the job spec says it"
    )
    parser.add_argument("--seed", type=int, default=42)
    return parser.parse_args()


def make_data(seed):
    points = torch.randn(512, 16, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(points, points.sin().sum(dim=1, keepdim=True))


def backend():
    """Return what DeepSpeed needs on CPUs, whose backend Accelerate does not guess; else []."""
    on_cpus = (
        os.environ.get("DS_ACCELERATOR") == "cpu"
        and os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true"
    )
    return [InitProcessGroupKwargs(backend="gloo")] if on_cpus else []


def held(model, optimizer):
    """Count the numbers of weights and optimizer state in this process."""
    weights = sum(
        getattr(p, "ds_tensor", p).numel() for p in model.parameters()
    )  # ds_tensor: its part at stage 3
    states = [value for state in optimizer.state.values() for value in state.values()]
    return {
        "weights": weights,
        "optimizer": sum(v.numel() for v in states if torch.is_tensor(v) and v.ndim),
    }


def log(accelerator, **values):
    """Print a line of JSON, once; accelerator.print would print it on each node."""
    if accelerator.is_main_process:
        print(json.dumps(values), flush=True)


def main():
    args = parse_args()
    set_seed(args.seed)
    order = DataLoaderConfiguration(use_seedable_sampler=True, data_seed=args.seed)
    accelerator = Accelerator(dataloader_config=order, kwargs_handlers=backend())
    sizes = (16, args.width, args.width, 1)
    layers = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), nn.Tanh())]
    model = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    loader = DataLoader(
        make_data(args.seed),
        batch_size=args.per_device_train_batch_size,
        shuffle=True,
        drop_last=True,
    )
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    run = TrainingRun(accelerator, folder=args.output_dir, every=f"{args.save_steps} steps")
    for _ in run.epochs(args.num_train_epochs):
        for points, wanted in run.batches(loader):
            with accelerator.accumulate(model):
                loss = nn.functional.mse_loss(model(points), wanted)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
            mean = accelerator.reduce(loss.detach(), "mean").item()
            log(accelerator, step=run.step, loss=mean)
    shares = gather_object([held(model, optimizer)])
    stage = accelerator.deepspeed_plugin.zero_stage if accelerator.deepspeed_plugin else None
    log(
        accelerator,
        distributed_type=accelerator.distributed_type.value,
        zero_stage=stage,
        held=shares,
    )
    accelerator.save_model(
        model, args.output_dir / "model"
    )  # gathers it; only the main process writes
    run.finish()
    accelerator.end_training()


if __name__ == "__main__":
    main()
