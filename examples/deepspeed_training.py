"""How ZeRO shards a model over the processes: stages 1, 2 and 3 with one script.

What it teaches:

1. the job spec's `deepspeed_config` chooses the stage; the script does not mention it, and also
   trains without DeepSpeed;
2. each process holds a shard of the optimizer state from stage 1 on, of the gradients from stage 2
   on, and of the weights at stage 3;
3. at stage 3 no process has the full model, so all of them must take part in saving it;
4. DeepSpeed then does accumulation and clipping, as its config says; the calls stay the same.

    accelerate launch --use_deepspeed --zero_stage 2 examples/deepspeed_training.py

With DS_ACCELERATOR=cpu it shows the same on CPUs, slowly; there DeepSpeed compiles an extension
when it is first used.
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
    parser.add_argument("--width", type=int, default=128, help="width of the hidden layers")
    parser.add_argument("--per_device_train_batch_size", type=int, default=16)
    parser.add_argument("--num_train_epochs", type=int, default=2)
    parser.add_argument("--save_steps", type=int, default=12, help="overridden by the job spec")
    parser.add_argument("--seed", type=int, default=42)
    return parser.parse_args()


def make_data(seed):
    points = torch.randn(512, 16, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(points, points.sin().sum(dim=1, keepdim=True))


def backend():
    """Return the backend for DeepSpeed on CPUs, which Accelerate does not detect; otherwise []."""
    on_cpus = (
        os.environ.get("DS_ACCELERATOR") == "cpu"
        and os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true"
    )
    return [InitProcessGroupKwargs(backend="gloo")] if on_cpus else []


def held(model, optimizer):
    """Count the elements of the weights and the optimizer state that this process holds."""
    # ds_tensor is this process's shard at stage 3.
    weights = sum(getattr(p, "ds_tensor", p).numel() for p in model.parameters())
    states = [value for state in optimizer.state.values() for value in state.values()]
    return {
        "weights": weights,
        "optimizer": sum(v.numel() for v in states if torch.is_tensor(v) and v.ndim),
    }


def log(accelerator, **values):
    """Print one line of JSON from the main process; accelerator.print prints on every node."""
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
    # All processes gather the model; only the main process writes it.
    accelerator.save_model(model, args.output_dir / "model")
    run.finish()
    accelerator.end_training()


if __name__ == "__main__":
    main()
