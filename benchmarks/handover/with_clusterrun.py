"""The tiny training under clusterrun."""

from __future__ import annotations

import os

from accelerate import Accelerator, DataLoaderConfiguration, skip_first_batches
from tiny import STEPS, Steps, prepared

from clusterrun.training import TrainingRun


def main() -> None:
    accelerator = Accelerator(dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True))
    run = TrainingRun(accelerator, os.environ.get("CLUSTERRUN_RUN_DIR", "."))
    model, optimizer, loader = prepared(accelerator)
    position = run.resume()
    steps = Steps(accelerator, model, optimizer)
    for batch in skip_first_batches(loader, position.batch):
        steps.take(batch, position.step + 1)
        position.step += 1
        position.batch += 1
        if run.step_done(position, total=STEPS):
            return
    run.finish(position)


if __name__ == "__main__":
    main()
