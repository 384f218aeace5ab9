"""A loop for trainings that change their number of processes; without dropout, so that their losses
can be compared.

Run like plain_loop.py, over any number of ranks. `schedule` is how the script counts its
scheduler's total, `samples` their number; each optimizer step's learning rate and each batch's
samples and loss are recorded. A plan of one attempt runs in this process, where the ranks have
already met.
"""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import plain_loop
import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import set_seed
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, SequentialLR
from torch.utils.data import DataLoader, TensorDataset

from clusterrun.training import TrainingRun

EPOCHS, STEPS = 2, 16


class Block(torch.nn.Module):
    """A block that FSDP wraps."""

    def __init__(self, width):
        super().__init__()
        self.inner = torch.nn.Linear(width, width)

    def forward(self, x):
        return x + self.inner(x).tanh()


@dataclass
class Plan(plain_loop.Plan):
    """One attempt."""

    schedule: str = "scaled"
    samples: int = 64
    size: int = 2  # of a batch
    split: bool = False
    late: bool = False  # TrainingRun is created last


def schedule(kind, optimizer, accelerator):
    processes = accelerator.num_processes
    total = STEPS * processes if kind in {"scaled", "cosine"} else 2 * STEPS
    if kind == "other":  # its meaning is unknown
        total = STEPS * processes + (processes - 2)

    def linear(step):
        return max(0.1, min(step * 4 / total, (total - step) / total))

    if kind == "cosine":
        return CosineAnnealingLR(optimizer, T_max=total, eta_min=0.001)
    if kind == "sequence":
        parts = [LambdaLR(optimizer, linear), CosineAnnealingLR(optimizer, T_max=total - 6)]
        return SequentialLR(optimizer, parts, milestones=[6])
    return LambdaLR(optimizer, linear)


def train(plan):
    set_seed(7)
    config = DataLoaderConfiguration(
        use_seedable_sampler=True,
        data_seed=7,
        dispatch_batches=plan.dispatch,
        split_batches=plan.split,
    )
    accelerator = Accelerator(dataloader_config=config)
    run = None if plan.late else TrainingRun(accelerator, folder=plan.folder, every=plan.every)
    x = torch.randn(plan.samples, 8, generator=torch.Generator().manual_seed(1))
    x[:, 0] = torch.arange(plan.samples) / plan.samples
    data = TensorDataset(x, x.sin().sum(dim=1, keepdim=True))
    loader = DataLoader(data, batch_size=plan.size, shuffle=True)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), Block(16), torch.nn.Linear(16, 1))
    vectors = [one for one in model.parameters() if one.ndim < 2]
    groups = [
        {"params": [one for one in model.parameters() if one.ndim > 1]},
        {"params": vectors, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.02, weight_decay=0.3)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    scheduler = accelerator.prepare_scheduler(schedule(plan.schedule, optimizer, accelerator))
    run = run or TrainingRun(accelerator, folder=plan.folder, every=plan.every)
    for epoch in run.epochs(EPOCHS):
        for x, y in run.batches(loader):
            step, rate = run.step, scheduler.get_last_lr()[0]
            with accelerator.accumulate(model):
                loss = (model(x) - y).square().mean()
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
            run.log(loss=loss)
            samples = [round(one * plan.samples) for one in x[:, 0].tolist()]
            plan.note("batches", json.dumps([epoch, step, rate, loss.item(), samples]))
            if accelerator.sync_gradients:
                plan.happen("step", run.step)
    run.finish()
    accelerator.end_training()


def main():
    plain_loop.Plan, plain_loop.train = Plan, train
    plans = json.loads(Path(sys.argv[1]).read_text())
    if len(plans) > 1:
        plain_loop.main()
    else:
        plan = Plan(**plans[0])
        os.environ |= {
            name: value.format(rank=plain_loop.RANK) for name, value in plan.environment.items()
        }
        train(plan)


if __name__ == "__main__":
    main()
