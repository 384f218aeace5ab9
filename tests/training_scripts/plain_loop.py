"""A plain Accelerate loop with clusterrun's five lines, run attempt after attempt in children of
one warm process.

The plan is a JSON list of attempts. Each has its `folder`, `environment`, a `port` for rank 0,
options of the script, and its event: rank `rank`'s node receives a signal at optimizer step `at`
(`step`), in the evaluation during the epoch at that step (`in_epoch`), after that epoch (`after_epoch`) or
before training (`before`); or the rank dies (`die`).
"""

import hashlib
import json
import os
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch._dynamo  # an optimizer imports it, which each attempt would repeat
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import set_seed
from torch.utils.data import DataLoader, TensorDataset

from clusterrun.training import TrainingRun

RANK = int(os.environ.get("RANK", "0"))
EPOCHS = 4


@dataclass
class Plan:
    """One attempt."""

    folder: Path
    event: str = "none"
    rank: int = 0
    at: int = 0
    port: int = 0
    environment: dict[str, str] = field(default_factory=dict)
    every: str | None = None
    max_steps: int = 10**9
    epoch_steps: int = 10**9  # leave an epoch after this many
    uneven: bool = False  # the ranks' evaluations have different lengths
    first: bool = False  # evaluate before training, too
    dispatch: bool | None = None  # rank 0 reads the batches of all
    seedable: bool = (
        True  # an epoch's order follows from its number; otherwise torch's sampler draws it
    )

    def happen(self, event, at):
        """Send a signal to this rank's node, or kill the rank, if that is planned for now."""
        if self.rank == RANK and at == self.at:
            if event == self.event:
                Path(os.environ["CLUSTERRUN_STOP_FILE"]).touch()
            if event == "step" and self.event == "die":
                os._exit(9)

    def note(self, kind, *words):
        with Path(self.folder, f"{kind}-{RANK}").open("a") as file:
            print(*words, file=file)


def data(size):
    generator = torch.Generator().manual_seed(size)
    return TensorDataset(
        torch.randn(size, 8, generator=generator), torch.randn(size, 1, generator=generator)
    )


def evaluate(run, model, loader, plan, event, at):
    model.eval()
    losses = []
    with torch.inference_mode():
        for x, y in run.evaluation(loader):
            losses.append(
                (model(x) - y + torch.rand(1)).square().mean()
            )  # draws random numbers, as a generation would
            plan.happen(event, at)
    model.train()
    plan.note("evaluations", event, at, torch.stack(losses).mean().item())


def train(plan):
    set_seed(7)
    config = DataLoaderConfiguration(
        use_seedable_sampler=plan.seedable,
        even_batches=not plan.uneven,
        dispatch_batches=plan.dispatch,
    )
    accelerator = Accelerator(gradient_accumulation_steps=4, dataloader_config=config)
    run = TrainingRun(accelerator, folder=plan.folder, every=plan.every)
    model = torch.nn.Sequential(
        torch.nn.Linear(8, 16), torch.nn.Dropout(0.3), torch.nn.ReLU(), torch.nn.Linear(16, 1)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=60)
    loader = DataLoader(
        data(108 if plan.uneven else 106), batch_size=2, shuffle=True
    )  # 27 batches for each of 2 ranks
    held_out = DataLoader(data(26 if plan.uneven else 24), batch_size=2)
    prepared = accelerator.prepare(model, optimizer, loader, held_out, scheduler)
    model, optimizer, loader, held_out, scheduler = prepared
    set_seed(7, device_specific=True)
    if plan.first:
        evaluate(run, model, held_out, plan, "before", 0)
    for epoch in run.epochs(EPOCHS):
        for x, y in run.batches(loader):
            with accelerator.accumulate(model):
                loss = (model(x) - y).square().mean()
                accelerator.backward(loss)
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
            run.log(loss=loss)
            plan.note("losses", epoch, loss.item(), *x[:, 0].tolist())
            if accelerator.sync_gradients:
                plan.happen("step", run.step)
                if run.step % 6 == 0:
                    evaluate(run, model, held_out, plan, "in_epoch", run.step)
                if run.step >= min(plan.max_steps, plan.epoch_steps * (epoch + 1)):
                    break
        evaluate(run, model, held_out, plan, "after_epoch", epoch)
        if run.step >= plan.max_steps:
            break
    run.finish()
    weights = b"".join(value.numpy().tobytes() for value in model.state_dict().values())
    plan.note("weights", run.step, hashlib.sha256(weights).hexdigest())
    accelerator.end_training()


def attempt(plan):
    """Run one attempt, and return the exit code of a separate process."""
    os.environ |= {name: value.format(rank=RANK) for name, value in plan.environment.items()}
    os.environ["MASTER_PORT"] = str(plan.port)
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = (
        "False"  # that store remembers the previous attempt
    )
    try:
        train(plan)
    except SystemExit as end:
        return end.code or 0
    except Exception:  # noqa: BLE001 - the child must not continue as the parent
        traceback.print_exc()
        return 1
    return 0


def main():
    for words in json.loads(Path(sys.argv[1]).read_text()):
        plan = Plan(**words)
        child = os.fork()
        if child == 0:
            code = attempt(plan)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        plan.note("codes", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    main()
