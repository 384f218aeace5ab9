"""What mixed precision changes, and what it does not: fp32, bf16 and fp16 with the same script.

What it teaches:

1. the launch, or the job spec's `mixed_precision`, chooses the precision; the loop stays the same;
2. the weights, the optimizer state and the loss stay in fp32: only the activations have 16 bits;
3. bf16 has fp32's range and few digits; fp16 has more digits and a small range, so the loss is
   scaled up, and a step whose gradients overflow is skipped (fp16 needs a GPU);
4. the learning rate schedule does not count a skipped step.

    accelerate launch --mixed_precision bf16 examples/mixed_precision.py
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
    parser.add_argument(
        "--mixed_precision", default=None, help="default: the precision of the launch"
    )
    parser.add_argument("--num_train_epochs", type=int, default=2)
    parser.add_argument("--save_steps", type=int, default=24, help="overridden by the job spec")
    parser.add_argument("--seed", type=int, default=42)
    return parser.parse_args()


def make_data(seed):
    points = torch.randn(512, 8, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(points, points.sin().sum(dim=1, keepdim=True))


def watch(layer):
    """Record the dtype of a layer's output."""
    seen = {}
    layer.register_forward_hook(lambda _layer, _given, out: seen.update(dtype=out.dtype))
    return seen


def describe(accelerator, model, seen):
    """Log the formats of weights and activations, and the limits of the latter."""
    format_ = torch.finfo(seen["dtype"])
    formats = {
        "mixed_precision": accelerator.mixed_precision,
        "weights": str(next(model.parameters()).dtype),
    }
    formats["activations"] = str(seen["dtype"])
    limits = {"bytes": format_.bits // 8, "largest": format_.max, "next_after_1": 1 + format_.eps}
    log(accelerator, **formats, **limits)


def log(accelerator, **values):
    """Print one line of JSON from the main process; accelerator.print prints on every node."""
    if accelerator.is_main_process:
        print(json.dumps(values), flush=True)


def main():
    args = parse_args()
    set_seed(args.seed)
    order = DataLoaderConfiguration(use_seedable_sampler=True, data_seed=args.seed)
    accelerator = Accelerator(mixed_precision=args.mixed_precision, dataloader_config=order)
    model = nn.Sequential(nn.Linear(8, 128), nn.GELU(), nn.Linear(128, 1))
    seen = watch(model[0])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    loader = DataLoader(make_data(args.seed), batch_size=16, shuffle=True)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
    model, optimizer, loader, scheduler = accelerator.prepare(model, optimizer, loader, scheduler)
    run = TrainingRun(accelerator, folder=args.output_dir, every=f"{args.save_steps} steps")
    for _ in run.epochs(args.num_train_epochs):
        for points, wanted in run.batches(loader):
            # Autocast covers only the model's forward, so the loss is computed in fp32.
            loss = nn.functional.mse_loss(model(points), wanted)
            accelerator.backward(loss)  # scales the loss for fp16
            optimizer.step()
            scheduler.step()  # has no effect if the optimizer's step was skipped
            optimizer.zero_grad()
            line = {"step": run.step, "loss": accelerator.reduce(loss.detach(), "mean").item()}
            if accelerator.scaler:
                line |= {
                    "scale": accelerator.scaler.get_scale(),
                    "skipped": accelerator.optimizer_step_was_skipped,
                }
            log(accelerator, **line)
    if seen:  # empty if the run resumed after its last step
        describe(accelerator, model, seen)
    run.finish()
    accelerator.end_training()


if __name__ == "__main__":
    main()
