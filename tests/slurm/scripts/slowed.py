"""Runs the training script that SLOWED names, slower in its first attempt, so that an event happens
during training.

It never ends before a stop is requested or a test creates the file `hurry` in the run folder.
"""

import os
import runpy
import sys
import time
from itertools import count
from pathlib import Path

from torch.optim.optimizer import register_optimizer_step_post_hook

PACE = 0.3  # seconds per step
HOLD = 100  # steps after which it waits; the runs train 200
STEPS = count(1)
HURRY = Path(os.environ["CLUSTERRUN_RUN_DIR"], "hurry")
ASKED = Path(os.environ["CLUSTERRUN_STOP_FILE"])
SCRIPT = Path(__file__).parents[3] / os.environ["SLOWED"]


def dawdle(*_):
    if HURRY.exists():
        return
    time.sleep(PACE)
    held = next(STEPS) >= HOLD
    while held and not (HURRY.exists() or ASKED.exists()):
        time.sleep(PACE)


if os.environ["CLUSTERRUN_ATTEMPT"] == "0001":
    register_optimizer_step_post_hook(dawdle)
sys.argv[0] = str(SCRIPT)
runpy.run_path(str(SCRIPT), run_name="__main__")
sys.stdout.flush()
sys.stderr.flush()
os._exit(
    0
)  # torch sometimes aborts while the interpreter shuts down, which would be a crash after the end
