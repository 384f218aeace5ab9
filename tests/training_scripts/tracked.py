"""Train a tiny model for eight steps, logged by the selected trackers, failing on all ranks after
step `crash_at`.

All files of the trackers go below `folder`. The logged config differs from attempt to attempt.
"""

import argparse
import os

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader, TensorDataset

from clusterrun.training import TrainingRun

STEPS = 8


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--crash_at", type=int, default=0)
    parser.add_argument("--log_with", nargs="+")
    args = parser.parse_args()
    accelerator = Accelerator(log_with=args.log_with, project_dir=args.folder)
    run = TrainingRun(accelerator, folder=args.folder)
    run.init_trackers("tiny", config={"lr": 0.1, "attempt": os.environ["CLUSTERRUN_ATTEMPT"]})
    model = torch.nn.Linear(2, 1)
    data = DataLoader(TensorDataset(torch.ones(2 * STEPS, 2)), batch_size=1)
    model, optimizer, data = accelerator.prepare(
        model, torch.optim.SGD(model.parameters(), lr=0.1), data
    )
    for _ in run.epochs(1):
        for (x,) in run.batches(data):
            loss = model(x).square().mean()
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            accelerator.log({"loss": loss.item()}, step=run.step)
            if run.step == args.crash_at:
                raise RuntimeError("a crash")
    run.finish()
    accelerator.end_training()


if __name__ == "__main__":
    main()
