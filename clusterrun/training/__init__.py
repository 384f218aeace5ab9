"""For training scripts: resume, save, and leave when asked, at the same step on all ranks.

    run = TrainingRun(accelerator, folder=args.output_dir)
    position = run.resume()
    ...
        if run.step_done(position, total=max_steps, loss=loss):
            return
    run.finish(position)

Importing it needs the standard library only; torch and accelerate are the script's own.
"""

from .checkpoint import Position
from .errors import TrainingError
from .run import TrainingRun

__all__ = ["Position", "TrainingError", "TrainingRun"]
