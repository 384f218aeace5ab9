"""For training scripts: resume, save, and leave when asked, at the same step on all ranks.

    run = TrainingRun(accelerator, folder=args.output_dir)
    for epoch in run.epochs(num_epochs):
        for batch in run.batches(train_loader):
            ...
    run.finish()

A loop that counts for itself uses `resume`, `step_done` and `finish` with a `Position` instead.
Importing it needs the standard library only; torch and accelerate are the script's own.
"""

from clusterrun.errors import TrainingError
from clusterrun.training.checkpointing.store import Position
from clusterrun.training.run import TrainingRun

__all__ = ["Position", "TrainingError", "TrainingRun"]
