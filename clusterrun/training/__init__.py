"""The library for training scripts: resume, save, and stop at the same step on all ranks.

    run = TrainingRun(accelerator, folder=args.output_dir)
    for epoch in run.epochs(num_epochs):
        for batch in run.batches(train_loader):
            ...
    run.finish()

A loop that counts its own steps uses `resume`, `step_done` and `finish` with a `Position` instead.
Importing this package needs only the standard library; torch and accelerate belong to the script.
"""

from clusterrun.errors import TrainingError
from clusterrun.training.checkpointing.store import Position
from clusterrun.training.run import TrainingRun

__all__ = ["Position", "TrainingError", "TrainingRun"]
