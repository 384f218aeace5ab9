"""A training script that does not import clusterrun, for job_specs/plain_script.yaml.

It runs on CPUs, in seconds. Three things make it resumable: a checkpoint gets its final name only
when it is complete, `--resume_from_checkpoint` loads one, and on SIGUSR1 all processes save after
the same step and exit.
"""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path

import torch
from accelerate import Accelerator


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    # Each run has its own folder, so that a new run does not resume from an old run's checkpoint.
    run_dir = Path(os.environ.get("CLUSTERRUN_RUN_DIR", "."))
    parser.add_argument("--output_dir", type=Path, default=run_dir / "output")
    parser.add_argument("--resume_from_checkpoint", type=Path)
    parser.add_argument("--max_steps", type=int, default=1000)
    parser.add_argument("--save_steps", type=int, default=100)
    return parser.parse_args()


def batch_of(step: int, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the batch of a step and rank; a resumed run gets the same data."""
    x = torch.randn(16, 8, generator=torch.Generator().manual_seed(step * 1000 + rank))
    return x, x.sin().sum(dim=1, keepdim=True)


def save(accelerator: Accelerator, state: dict[str, object], path: Path) -> None:
    if accelerator.is_main_process:
        draft = path.with_name(f".{path.name}")  # the pattern of checkpoint.path does not match it
        with draft.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    accelerator.print(f"saved {path}", flush=True)


def main() -> None:
    signals: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, _: signals.append(number))
    options = parse_arguments()
    options.output_dir.mkdir(parents=True, exist_ok=True)
    accelerator = Accelerator()
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 64), torch.nn.Tanh(), torch.nn.Linear(64, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    step = 0
    if options.resume_from_checkpoint:
        state = torch.load(options.resume_from_checkpoint, map_location="cpu", weights_only=True)
        step = state["step"]
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        accelerator.print(f"resumed at step {step}", flush=True)
    model, optimizer = accelerator.prepare(model, optimizer)
    while step < options.max_steps:
        step += 1
        x, y = (
            tensor.to(accelerator.device) for tensor in batch_of(step, accelerator.process_index)
        )
        loss = torch.nn.functional.mse_loss(model(x), y)
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        # The signal may reach the processes in different steps, so they sum what they received.
        stopping = bool(
            accelerator.reduce(torch.tensor(len(signals), device=accelerator.device)).item()
        )
        if stopping or step % options.save_steps == 0 or step == options.max_steps:
            weights = accelerator.unwrap_model(model).state_dict()
            state = {"step": step, "model": weights, "optimizer": optimizer.state_dict()}
            accelerator.print(f"step {step} loss {loss.item():.4f}", flush=True)
            save(accelerator, state, options.output_dir / f"checkpoint-{step:06d}.pt")
        if stopping:
            break
    # torch may abort a process that exits during an exchange, although all work is done.
    accelerator.wait_for_everyone()
    accelerator.end_training()


if __name__ == "__main__":
    main()
