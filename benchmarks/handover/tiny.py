"""The training that all ways of the comparison run: a tiny model, a pace, and a log of steps."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader, TensorDataset

STEPS = int(os.environ.get("STEPS", "3000"))  # in the whole training
PACE = 0.1  # seconds per step
SAVE_EVERY = 50  # steps
BATCH = 4


def prepared(accelerator: Accelerator) -> tuple[Any, Any, Any]:
    """Return the prepared model, optimizer and loader; the training has one epoch."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 1))
    samples = torch.randn(STEPS * BATCH * accelerator.num_processes, 64)
    data = TensorDataset(samples, samples.sum(1, keepdim=True))
    optimizer = torch.optim.AdamW(model.parameters())
    loader = DataLoader(
        data, batch_size=BATCH, shuffle=True, generator=torch.Generator().manual_seed(0)
    )
    ready: tuple[Any, Any, Any] = accelerator.prepare(model, optimizer, loader)
    return ready


class Steps:
    """Take steps at a fixed pace, and log their processes and times, under any launcher.

    The environment variable `STEPS_LOG` names the log: one JSON line per process at its start, and
    one per step from the main process.
    """

    def __init__(self, accelerator: Accelerator, model: Any, optimizer: Any) -> None:
        self._accelerator, self._model, self._optimizer = accelerator, model, optimizer
        self._started = time.time()
        self._by = f"{socket.gethostname()}-{os.getpid()}-{self._started:.3f}"
        rank, node = accelerator.process_index, os.environ.get("SLURMD_NODENAME", "")
        self._write(rank=rank, node=node, pid=os.getpid(), time=self._started)

    def take(self, batch: Any, step: int) -> None:
        """Do optimizer step number `step`, counted from 1."""
        start = time.time()
        inputs, targets = batch
        loss = torch.nn.functional.mse_loss(self._model(inputs), targets)
        self._accelerator.backward(loss)
        self._optimizer.step()
        self._optimizer.zero_grad()
        time.sleep(max(0.0, start + PACE - time.time()))
        if self._accelerator.is_main_process:
            now = time.time()
            self._write(step=step, time=now, seconds=now - start)

    def _write(self, **values: object) -> None:
        line = json.dumps({"by": self._by, **values})
        with Path(os.environ["STEPS_LOG"]).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
