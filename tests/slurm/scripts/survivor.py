"""A small exact training that crashes, hangs, pauses or saves slowly where a test requests it.

Rank 0 writes a line for each optimizer step into output/steps.jsonl, and at the end a digest of all
weights into output/weights. Dropout, gradient accumulation, a schedule, a shuffled loader with a
separate generator: an inexact resume would change the losses.
"""

import argparse
import hashlib
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import set_seed
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from clusterrun.training import TrainingRun

BATCH, FEATURES, EVAL_BATCHES, SEED = 4, 16, 50, 7
FOREVER = 3600.0  # seconds; a process that waits so long is terminated by others


def parse_args():
    parser = argparse.ArgumentParser()
    add = parser.add_argument
    add("--output", type=Path, default=Path(os.environ.get("CLUSTERRUN_RUN_DIR", "."), "output"))
    add("--epochs", type=int, default=3)
    add("--epoch_steps", type=int, default=150, help="optimizer steps of an epoch")
    add("--gradient_accumulation_steps", type=int, default=2)
    add("--width", type=int, default=32, help="of the hidden layers")
    add("--pace", type=float, default=0.0, help="seconds that a slow step takes longer")
    add(
        "--slow_at",
        type=int,
        nargs="*",
        default=[],
        help="attempt N is slow from the N-th of these steps on",
    )
    add("--crash_rank", type=int, default=0)
    add("--crash_step", type=int, default=0)
    add("--crash_attempts", type=int, default=1, help="crash in this many attempts, the first ones")
    add("--crash_how", choices=HOW, default="exception")
    add(
        "--linger",
        action="store_true",
        help="sit between the last step and the end until output/hurry is there",
    )
    add("--hang_others", action="store_true", help="the other ranks sit and do not talk")
    add(
        "--slow_save",
        type=float,
        default=0.0,
        help="seconds that the first attempt's saves take longer, from its second on",
    )
    return parser.parse_args()


class SlowState:
    """State that is slow to save, except the first time; it creates output/saving meanwhile."""

    def __init__(self, seconds, mark):
        self.seconds, self.mark = seconds, mark
        self.saves = 0

    def state_dict(self):
        self.saves += 1
        if self.seconds and self.saves > 1:
            self.mark.touch()
            time.sleep(self.seconds)
        return {}

    def load_state_dict(self, state):
        pass


@dataclass
class Prepared:
    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: object
    loader: DataLoader
    eval_loader: DataLoader


def make_model(width):
    hidden = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Dropout(0.1))
    return nn.Sequential(nn.Linear(FEATURES, width), nn.ReLU(), hidden, nn.Linear(width, 1))


def make_data(samples):
    draw = torch.Generator().manual_seed(SEED)
    features = torch.randn(samples, FEATURES, generator=draw)
    targets = features.sin().sum(dim=1, keepdim=True) + 0.1 * torch.randn(
        samples, 1, generator=draw
    )
    return TensorDataset(features, targets)


def prepare(args, accelerator):
    processes = accelerator.num_processes
    data = make_data(args.epoch_steps * BATCH * processes * accelerator.gradient_accumulation_steps)
    own = torch.Generator().manual_seed(SEED)
    loader = DataLoader(data, batch_size=BATCH, shuffle=True, generator=own)
    eval_loader = DataLoader(
        Subset(data, range(EVAL_BATCHES * BATCH * processes)), batch_size=BATCH
    )
    model = make_model(args.width)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    # a prepared scheduler is stepped once per process at each optimizer step
    length = args.epochs * args.epoch_steps * processes
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, total_iters=length)
    return Prepared(*accelerator.prepare(model, optimizer, scheduler, loader, eval_loader))


def train_batch(accelerator, prepared, features, targets):
    with accelerator.accumulate(prepared.model):
        loss = nn.functional.mse_loss(prepared.model(features), targets)
        accelerator.backward(loss)
        prepared.optimizer.step()
        prepared.scheduler.step()
        prepared.optimizer.zero_grad()
    return loss.detach()


@torch.no_grad()
def evaluate(args, accelerator, run, prepared):
    prepared.model.eval()
    for features, targets in run.evaluation(prepared.eval_loader):
        accelerator.reduce(nn.functional.mse_loss(prepared.model(features), targets))
        dawdle(args, run)
    prepared.model.train()


def write_step(args, run, loss):
    line = json.dumps({"attempt": number(run), "step": run.step, "loss": loss, "time": time.time()})
    with (args.output / "steps.jsonl").open("a") as file:
        file.write(line + "\n")


def number(run):
    return int(run.attempt or 1)


def dawdle(args, run):
    slow = number(run) <= len(args.slow_at) and run.step >= args.slow_at[number(run) - 1]
    if (
        slow and not (args.output / "hurry").exists()
    ):  # a test creates this file when it has seen enough
        time.sleep(args.pace)


def raise_error(run):
    raise RuntimeError("this rank has had enough")


def must_not_restart(run):
    run.must_not_restart("the data is gone")


HOW = {
    "exception": raise_error,
    "exit93": lambda _: os._exit(93),
    "must_not_restart": must_not_restart,
    "hang": lambda _: time.sleep(FOREVER),
    "sigkill": lambda _: os.kill(os.getpid(), signal.SIGKILL),
}


def crash(args, accelerator, run):
    if run.step != args.crash_step or number(run) > args.crash_attempts:
        return
    if accelerator.process_index == args.crash_rank:
        HOW[args.crash_how](run)
    elif args.hang_others:
        time.sleep(FOREVER)


def train(args, accelerator, run, prepared):
    for _ in run.epochs(args.epochs):
        window = []
        for features, targets in run.batches(prepared.loader):
            window.append(train_batch(accelerator, prepared, features, targets))
            if accelerator.sync_gradients:
                loss = accelerator.reduce(torch.stack(window).mean(), "mean").item()
                window.clear()
                run.log(loss=loss)
                if accelerator.is_main_process:
                    write_step(args, run, loss)
                crash(args, accelerator, run)
                dawdle(args, run)
        evaluate(args, accelerator, run, prepared)


def write_weights(args, accelerator, prepared):
    weights = (
        prepared.model.state_dict()
    )  # not accelerator.get_state_dict, which takes seconds to import DeepSpeed
    if accelerator.is_main_process:
        digest = hashlib.sha256()
        for name in sorted(weights):
            digest.update(weights[name].cpu().numpy().tobytes())
        (args.output / "weights").write_text(digest.hexdigest())


def main():
    args = parse_args()
    accelerator = Accelerator(
        gradient_accumulation_steps=args.gradient_accumulation_steps,
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=SEED),
    )
    args.output.mkdir(parents=True, exist_ok=True)
    run = TrainingRun(accelerator, folder=args.output)
    set_seed(SEED)  # the model starts identical on all ranks
    prepared = prepare(args, accelerator)
    slow = args.slow_save if run.attempt == "0001" else 0.0
    accelerator.register_for_checkpointing(SlowState(slow, args.output / "saving"))
    set_seed(SEED, device_specific=True)  # dropout differs between ranks
    train(args, accelerator, run, prepared)
    write_weights(args, accelerator, prepared)
    while args.linger and not (args.output / "hurry").exists():
        time.sleep(0.1)
    run.finish()
    accelerator.end_training()  # otherwise torch sometimes aborts at exit, after all work is done


if __name__ == "__main__":
    main()
