"""Runs the training script that SLOWED names, slower in its first attempt: an event then falls into the training.

It gets faster again when a test makes the file `hurry` in the run folder.
"""

import os
import runpy
import sys
import time
from pathlib import Path

from torch.optim.optimizer import register_optimizer_step_post_hook

PACE = 0.3  # seconds a step
HURRY = Path(os.environ["CLUSTERRUN_RUN_DIR"], "hurry")
SCRIPT = Path(__file__).parents[3] / os.environ["SLOWED"]


def dawdle(*_):
    if not HURRY.exists():
        time.sleep(PACE)


if os.environ["CLUSTERRUN_ATTEMPT"] == "0001":
    register_optimizer_step_post_hook(dawdle)
sys.argv[0] = str(SCRIPT)
runpy.run_path(str(SCRIPT), run_name="__main__")
