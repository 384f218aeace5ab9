"""Train one layer for some steps with events; each rank writes how it ended to rank-<n>.json.

`--at STEP WORDS` does something when a step is done: `limit RANK BYTES` lets no file of a rank grow
beyond that, like a quota; `unlimit`; `stop`; `fence`; `expect BYTES` as the size of the last
checkpoint; `refuse WHY`; `die`.
"""

import argparse
import json
import os
import resource
import time
from pathlib import Path

import torch
from accelerate import Accelerator, DeepSpeedPlugin, InitProcessGroupKwargs

from clusterrun.training import TrainingRun


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--result-folder", type=Path, help="where to write how it ended; default: the folder"
    )
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--every", default="2 steps")
    parser.add_argument("--keep", type=int)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--pace", type=float, default=0, help="seconds a step")
    parser.add_argument("--deepspeed", action="store_true")
    parser.add_argument("--die_at_load", action="store_true")
    parser.add_argument("--at", nargs="+", action="append", default=[])
    return parser.parse_args()


def make_accelerator(args):
    if not args.deepspeed:
        return Accelerator()
    plugin = DeepSpeedPlugin(zero_stage=2, hf_ds_config={
        "zero_optimization": {"stage": 2}, "train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 1,
        "zero_force_ds_cpu_optimizer": False,
    })  # fmt: skip
    return Accelerator(
        deepspeed_plugin=plugin, kwargs_handlers=[InitProcessGroupKwargs(backend="gloo")]
    )


def happen(args, accelerator, run, what, *words):
    if what == "limit" and accelerator.process_index == int(words[0]):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(words[1]), resource.RLIM_INFINITY))
    elif what == "unlimit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    elif what == "stop":
        Path(os.environ["CLUSTERRUN_STOP_FILE"]).touch()
    elif what == "fence" and accelerator.is_main_process:
        (args.folder / "current").write_text("attempt=0099\n")
    elif what == "expect":
        run._state._saver.expect(int(words[0]))
    elif what == "refuse" and accelerator.process_index == 1:
        run.must_not_restart(" ".join(words))
    elif what == "die":
        os._exit(7)


def train(args, accelerator, run, model, optimizer):
    position = run.resume()
    began, stopped = position.step, False
    while position.step < args.steps and not stopped:
        loss = model(torch.ones(1, args.width, device=accelerator.device)).square().mean()
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        position.step += 1
        time.sleep(args.pace)
        for step, *words in args.at:
            if int(step) == position.step:
                happen(args, accelerator, run, *words)
        stopped = run.step_done(position, total=args.steps, samples=1)
    if not stopped:
        run.finish(position)
    return {"began": began, "ended": position.step, "stopped": stopped}


def main():
    args = parse_args()
    accelerator = make_accelerator(args)
    if args.die_at_load:
        accelerator.load_state = lambda _: os._exit(7)
    run = TrainingRun(accelerator, args.folder, every=args.every, keep=args.keep)
    torch.manual_seed(0)
    model = torch.nn.Linear(args.width, args.width)
    model, optimizer = accelerator.prepare(model, torch.optim.AdamW(model.parameters(), lr=0.01))
    result = train(args, accelerator, run, model, optimizer)
    result["weight"] = float(
        next(accelerator.unwrap_model(model).parameters()).detach().double().sum()
    )
    path = (args.result_folder or args.folder) / f"rank-{accelerator.process_index}.json"
    path.write_text(json.dumps(result), encoding="utf-8")
    accelerator.end_training()


if __name__ == "__main__":
    main()
