"""Train until step 40, or 90 if the loss is NaN from a step on, with a pause that lets it be read."""

import sys
import time

import torch
from accelerate import Accelerator

from clusterrun.training import TrainingRun

accelerator = Accelerator(cpu=True)
run = TrainingRun(accelerator, sys.argv[1])
nan_from = int(sys.argv[2])
model = torch.nn.Linear(1, 1)
model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.1))
position = run.resume()
total = position.step + (90 if nan_from < 10**9 else 12)
while position.step < total:
    position.step += 1
    loss = model(torch.ones(1)).square().mean()
    is_nan = position.step >= nan_from
    run.step_done(position, loss=loss * float("nan") if is_nan else loss)
    time.sleep(0.06 if is_nan and nan_from else 0)
run.finish(position)
