"""What a precision changes, and what it does not: fp32, bf16 and fp16 with the same script.

What it teaches:

1. the launch, or the job spec's `mixed_precision`, chooses; the loop stays the same;
2. the weights stay in fp32, and so do optimizer and loss: only what flows between the layers is in
   16 bits;
3. bf16 has fp32's range and few digits; fp16 has more digits and a small range, so that its
   gradients are scaled up, and a step where they overflow is left out (fp16 needs a GPU);
4. a step that was left out is no step of the schedule.

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
        "--mixed_precision", default=None, help="as the launch says, if it is not given"
    )
    parser.add_argument("--num_train_epochs", type=int, default=2)
    parser.add_argument(
        "--save_steps", type=int, default=24, help="under clusterrun the job spec says it"
    )
    parser.add_argument("--seed", type=int, default=42)
    return parser.parse_args()


def make_data(seed):
    points = torch.randn(512, 8, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(points, points.sin().sum(dim=1, keepdim=True))


def watch(layer):
    """Note the dtype of what comes out of a layer."""
    seen = {}
    layer.register_forward_hook(lambda _layer, _given, out: seen.update(dtype=out.dtype))
    return seen


def describe(accelerator, model, seen):
    """Tell what is held in which format, and what that format can hold."""
    format_ = torch.finfo(seen["dtype"])
    told = {
        "mixed_precision": accelerator.mixed_precision,
        "weights": str(next(model.parameters()).dtype),
    }
    told |= {"activations": str(seen["dtype"]), "bytes": format_.bits // 8, "largest": format_.max}
    log(accelerator, **told, next_after_1=1 + format_.eps)


def log(accelerator, **values):
    """Print a line of JSON, once; accelerator.print would print it on each node."""
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
            loss = nn.functional.mse_loss(
                model(points), wanted
            )  # autocast ends with the model: this is fp32
            accelerator.backward(loss)  # scales the loss where fp16 needs it
            optimizer.step()
            scheduler.step()  # not where the optimizer's step was left out
            optimizer.zero_grad()
            line = {"step": run.step, "loss": accelerator.reduce(loss.detach(), "mean").item()}
            if accelerator.scaler:
                line |= {
                    "scale": accelerator.scaler.get_scale(),
                    "left_out": accelerator.optimizer_step_was_skipped,
                }
            log(accelerator, **line)
    if seen:  # a run that is resumed behind its last step has seen nothing
        describe(accelerator, model, seen)
    run.finish()
    accelerator.end_training()


if __name__ == "__main__":
    main()
