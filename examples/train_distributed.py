"""A complete training script, from the data to the saved model, without a model library.

What it teaches, by the names of its functions:

1. `make_loaders`: data in an order that the seed determines;
2. `make_model`: a small transformer that reads bytes;
3. `prepare`: what goes through `accelerator.prepare`, and a schedule that means the same on any
   number of processes;
4. `train_step`: precision, accumulation and clipping in one place;
5. `train`: a loop that resumes, saves, and exits on request;
6. `main`: the order of the steps, and a model saved under every strategy.

It trains under DDP, DeepSpeed or FSDP; the launch or the job spec chooses:

    accelerate launch examples/train_distributed.py
"""

import argparse
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import set_seed
from torch import nn
from torch.utils.data import DataLoader

from clusterrun.training import TrainingRun

TEXT = Path(__file__).parent / "data" / "pride-and-prejudice.txt"


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    run_folder = os.environ.get("CLUSTERRUN_RUN_DIR", ".")
    add = parser.add_argument
    add("--output_dir", type=Path, default=Path(run_folder, "output"))
    add("--block_size", type=int, default=64, help="bytes per sample")
    add("--width", type=int, default=64)
    add("--per_device_train_batch_size", type=int, default=16)
    add("--gradient_accumulation_steps", type=int, default=2, help="overridden by the launch")
    add("--max_steps", type=int, default=60, help="optimizer steps")
    add("--learning_rate", type=float, default=3e-3)
    add("--warmup_steps", type=int, default=10)
    add("--logging_steps", type=int, default=5)
    add("--save_steps", type=int, default=24, help="overridden by the job spec")
    add("--seed", type=int, default=42)
    return parser.parse_args()


def make_loaders(args):
    """Return the training and validation loaders of blocks of bytes."""
    text = torch.frombuffer(bytearray(TEXT.read_bytes()[:200_000]), dtype=torch.uint8).long()
    blocks = text[: len(text) // args.block_size * args.block_size].view(-1, args.block_size)
    part = len(blocks) * 19 // 20
    size = args.per_device_train_batch_size
    train = DataLoader(blocks[:part], batch_size=size, shuffle=True, drop_last=True)
    return train, DataLoader(blocks[part:], batch_size=size)


class ByteModel(nn.Module):
    """A transformer that predicts the next byte; its forward returns the loss of each sample."""

    def __init__(self, width, block_size):
        super().__init__()
        self.read = nn.Embedding(256, width)
        self.place = nn.Embedding(block_size, width)
        layer = nn.TransformerEncoderLayer(
            width, 4, 4 * width, dropout=0.1, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.guess = nn.Linear(width, 256)

    def forward(self, blocks):  # noqa: D102 - torch's name
        given, wanted = blocks[:, :-1], blocks[:, 1:]
        places = torch.arange(given.shape[1], device=blocks.device)
        mask = nn.Transformer.generate_square_subsequent_mask(given.shape[1], device=blocks.device)
        read = self.layers(self.read(given) + self.place(places), mask=mask, is_causal=True)
        guesses = self.guess(read).transpose(1, 2)
        return nn.functional.cross_entropy(guesses.float(), wanted, reduction="none").mean(dim=1)


@dataclass
class Prepared:
    """The results of `accelerator.prepare`."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    train_loader: DataLoader
    eval_loader: DataLoader


def prepare(args, accelerator):
    model = ByteModel(args.width, args.block_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.learning_rate)
    # A prepared scheduler advances once per process at each optimizer step.
    warmup, total = (
        steps * accelerator.num_processes for steps in (args.warmup_steps, args.max_steps)
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / warmup, 0.5 + 0.5 * math.cos(math.pi * min(step / total, 1))),
    )
    return Prepared(*accelerator.prepare(model, optimizer, scheduler, *make_loaders(args)))


def train_step(accelerator, prepared, blocks):
    """Train on one batch; every `gradient_accumulation_steps`-th completes an optimizer step."""
    with accelerator.accumulate(prepared.model):
        loss = prepared.model(blocks).mean()
        accelerator.backward(loss)
        if accelerator.sync_gradients:
            accelerator.clip_grad_norm_(prepared.model.parameters(), 1.0)
        prepared.optimizer.step()
        prepared.scheduler.step()
        prepared.optimizer.zero_grad()
    return loss.detach()


@torch.no_grad()
def evaluate(accelerator, run, prepared):
    """Return the mean loss over all samples of all processes."""
    prepared.model.eval()
    losses = [
        accelerator.gather_for_metrics(prepared.model(b))
        for b in run.evaluation(prepared.eval_loader)
    ]
    prepared.model.train()
    return torch.cat(losses).mean().item()


def log(accelerator, **values):
    """Print one line of JSON from the main process; accelerator.print prints on every node."""
    if accelerator.is_main_process:
        print(json.dumps(values), flush=True)


def train(args, accelerator, run, prepared):
    """Train from the run's current step to the end; on a stop request, save and exit here."""
    steps_per_epoch = math.ceil(
        len(prepared.train_loader) / accelerator.gradient_accumulation_steps
    )
    for epoch in run.epochs(math.ceil(args.max_steps / steps_per_epoch), total=args.max_steps):
        losses = []  # of the batches of one optimizer step
        for blocks in run.batches(prepared.train_loader):
            losses.append(train_step(accelerator, prepared, blocks))
            if not accelerator.sync_gradients:
                continue
            loss = accelerator.reduce(torch.stack(losses).mean(), "mean").item()
            losses.clear()
            run.log(loss=loss)
            if run.step % args.logging_steps == 0:
                log(
                    accelerator,
                    step=run.step,
                    loss=loss,
                    learning_rate=prepared.scheduler.get_last_lr()[0],
                )
            if run.step >= args.max_steps:
                break
        log(accelerator, epoch=epoch, eval_loss=evaluate(accelerator, run, prepared))


def main():
    args = parse_args()
    accelerator = Accelerator(
        # ACCELERATE_GRADIENT_ACCUMULATION_STEPS and DeepSpeed's config override this value.
        gradient_accumulation_steps=args.gradient_accumulation_steps,
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=args.seed),
    )
    set_seed(args.seed)  # all processes start with the same weights
    prepared = prepare(args, accelerator)
    set_seed(args.seed, device_specific=True)  # dropout differs between processes
    run = TrainingRun(accelerator, folder=args.output_dir, every=f"{args.save_steps} steps")
    train(args, accelerator, run, prepared)
    accelerator.save_model(
        prepared.model, args.output_dir / "model"
    )  # on all processes: each may hold a shard
    run.finish()
    accelerator.end_training()


if __name__ == "__main__":
    main()
