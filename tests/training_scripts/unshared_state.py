"""Train two models: DDP synchronizes the first one; each rank trains a second one of its own."""

import sys

import torch
from accelerate import Accelerator

from clusterrun.training import TrainingRun

accelerator = Accelerator()
run = TrainingRun(accelerator, sys.argv[1], every="2 steps", keep=1)
torch.manual_seed(0)
shared, own = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
optimizers = [torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9) for model in (shared, own)]
shared, *optimizers = accelerator.prepare(shared, *optimizers)
own = accelerator.prepare_model(own, evaluation_mode=True)
position = run.resume()
while position.step < 6:
    data = torch.randn(4, 2) + accelerator.process_index
    for model, optimizer in zip((shared, own), optimizers, strict=True):
        accelerator.backward(model(data).square().mean())
        optimizer.step()
        optimizer.zero_grad()
    position.step += 1
    run.step_done(position)
run.finish(position)
