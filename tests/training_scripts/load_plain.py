"""Load a checkpoint with nothing but Accelerate, and print the sum of the first weights."""

import sys

import torch
from accelerate import Accelerator

accelerator = Accelerator()
model = torch.nn.Linear(128, 128)
model, optimizer = accelerator.prepare(model, torch.optim.AdamW(model.parameters(), lr=0.01))
accelerator.load_state(sys.argv[1])
if accelerator.is_main_process:
    print(
        "weight", float(next(accelerator.unwrap_model(model).parameters()).detach().double().sum())
    )
accelerator.end_training()
