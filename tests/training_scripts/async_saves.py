"""Train while checkpoints are written; `--plain FOLDER` also saves the state of step 2 with
Accelerate alone.

The thread that writes the checkpoint of step `--hold STEP` waits before its first file, on every
rank, until it is released, so it must write a copy, or it writes a later step. `--at STEP WORDS`
does something when a step is done: `release`; `release_soon`, when the training waits; `landed`:
wait for a running save; `limit RANK BYTES`, the largest size of a rank's files, as under a quota;
`unlimit`; `memory BYTES` that are still available; `stop`; `break`: the writing thread has a bug;
`crash`; `die` by SIGKILL. Each rank writes how it ended to rank-<n>.json.
"""

import argparse
import json
import os
import resource
import signal
import threading
import time
from pathlib import Path

import accelerate.utils.other
import torch
import torch.distributed.checkpoint
from accelerate import Accelerator, DataLoaderConfiguration
from torch.utils.data import DataLoader, TensorDataset

from clusterrun.training import TrainingRun

MAY_WRITE = threading.Event()
WRITERS = (
    (torch, "save"),
    (torch.distributed.checkpoint, "save"),
    (accelerate.utils.other, "safe_save_file"),
)


class Block(torch.nn.Module):
    """A block that FSDP wraps."""

    def __init__(self, width):
        super().__init__()
        self.layer = torch.nn.Linear(width, width)
        self.twin = torch.nn.Linear(width, width, bias=False)
        self.dropout = torch.nn.Dropout(0.1)

    def forward(self, x):
        return self.twin(self.dropout(self.layer(x)))


class Counter:
    """A custom object, whose state_dict is the object's own and changes with each step."""

    def __init__(self):
        self.state = {"count": torch.zeros(3), "words": []}

    def step(self):
        self.state["count"] += 1
        self.state["words"].append("step")

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.state = state


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--plain", type=Path)
    parser.add_argument("--hold", type=int, default=-1)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--at", nargs="+", action="append", default=[])
    return parser.parse_args()


def hold(write, step):
    def held(*args, **more):
        where = str(getattr(more.get("storage_writer"), "path", args[1:2]))
        if (
            f"step-{step:08d}" in where
            and threading.current_thread() is not threading.main_thread()
        ):
            MAY_WRITE.wait()
        if "BROKEN" in os.environ and threading.current_thread() is not threading.main_thread():
            raise KeyError("a bug")
        return write(*args, **more)

    return held


def happen(accelerator, run, what, *words):
    if what == "release":
        MAY_WRITE.set()
    elif what == "release_soon":
        threading.Timer(0.5, MAY_WRITE.set).start()
    elif what == "landed":
        while run._state.is_saving():
            time.sleep(0.01)
    elif what == "stop":
        Path(os.environ["CLUSTERRUN_STOP_FILE"]).touch()
    elif what == "break":
        os.environ["BROKEN"] = "1"
    elif what == "crash":
        raise ArithmeticError("the loss is not a number")
    elif what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        limit(accelerator.process_index, what, *map(int, words))


def limit(rank, what, *numbers):
    if what == "memory":
        taken = int(Path("/proc/self/status").read_text().split("VmSize:")[1].split()[0]) * 1024
        resource.setrlimit(resource.RLIMIT_AS, (taken + numbers[0], resource.RLIM_INFINITY))
    elif what == "unlimit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    elif rank == numbers[0]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (numbers[1], resource.RLIM_INFINITY))


def train(args, accelerator, run, model, optimizer, loader, counter):
    position = run.resume()
    result = {"began": position.step, "count": counter.state["count"].tolist(), "stopped": False}
    batches = iter(loader)
    while position.step < args.steps and not result["stopped"]:
        (x,) = next(batches)
        accelerator.backward(model(x).square().mean())
        optimizer.step()
        optimizer.zero_grad()
        counter.step()
        position.step, position.batch = position.step + 1, position.batch + 1
        if position.step == 2 and args.plain:
            accelerator.save_state(str(args.plain))
        for step, *words in args.at:
            if int(step) == position.step:
                happen(accelerator, run, *words)
        result["stopped"] = run.step_done(position, total=args.steps, samples=1)
    if not result["stopped"]:
        run.finish(position)
    return {**result, "ended": position.step}


def main():
    args = parse_args()
    for module, name in WRITERS:
        setattr(module, name, hold(getattr(module, name), args.hold))
    accelerator = Accelerator(dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True))
    run = TrainingRun(accelerator, args.folder, every="2 steps", async_save=True)
    torch.manual_seed(0)
    model = torch.nn.Sequential(Block(args.width), Block(args.width))
    if os.environ.get("ACCELERATE_USE_FSDP") != "true":
        model[1].twin.weight = model[0].twin.weight  # two names of one tensor
    loader = DataLoader(TensorDataset(torch.randn(64, args.width)), batch_size=2, shuffle=True)
    scheduled = torch.optim.AdamW(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(scheduled, 50)
    model, optimizer, loader, scheduler = accelerator.prepare(model, scheduled, loader, scheduler)
    counter = Counter()
    accelerator.register_for_checkpointing(counter)
    accelerator.register_save_state_pre_hook(
        lambda *found: torch.save(found[0][0].training, Path(found[2], "hook"))
    )
    result = train(args, accelerator, run, model, optimizer, loader, counter)
    (args.folder / f"rank-{accelerator.process_index}.json").write_text(
        json.dumps(result), encoding="utf-8"
    )
    accelerator.end_training()


if __name__ == "__main__":
    main()
