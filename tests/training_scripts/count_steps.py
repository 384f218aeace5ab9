"""Train one tiny layer for some steps; each rank writes what it read from TrainingRun to
rank-<n>.json.

`{rank}` in CLUSTERRUN_STOP_FILE becomes the rank, as if each rank were on another node.
"""

import argparse
import json
import os
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin

from clusterrun.training import TrainingRun


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--every")
    parser.add_argument("--keep", type=int)
    parser.add_argument("--hide_accumulation", action="store_true")
    parser.add_argument("--overflow", action="store_true", help="the first step does not count")
    return parser.parse_args()


def main():
    args = parse_args()
    rank = os.environ.get("RANK", "0")
    if "CLUSTERRUN_STOP_FILE" in os.environ:
        os.environ["CLUSTERRUN_STOP_FILE"] = os.environ["CLUSTERRUN_STOP_FILE"].format(rank=rank)
    plugin = GradientAccumulationPlugin(num_steps=1) if args.hide_accumulation else None
    accelerator = Accelerator(gradient_accumulation_plugin=plugin)
    run = TrainingRun(accelerator, args.folder, every=args.every, keep=args.keep)
    model = torch.nn.Linear(2, 1)
    model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.1))
    position = run.resume()
    began, stopped = position.step, False
    while position.step < args.steps and not stopped:
        loss = model(torch.ones(1, 2, device=accelerator.device)).square().mean()
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        position.step += 0 if args.overflow else 1
        args.overflow = False
        stopped = run.step_done(position, total=args.steps, loss=loss, samples=1)
    if not stopped:
        run.finish(position)
    result = {"began": began, "ended": position.step, "stopped": stopped}
    (args.folder / f"rank-{rank}.json").write_text(json.dumps(result), encoding="utf-8")
    accelerator.end_training()


if __name__ == "__main__":
    main()
