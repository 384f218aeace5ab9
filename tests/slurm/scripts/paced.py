"""The example's training, slowed in its first attempt, which never ends before a stop is requested."""

import os
import runpy
import time
from pathlib import Path

from clusterrun.training import TrainingRun

PACE = 0.2  # seconds per step
HOLD = 150  # steps after which it waits; the runs train 300
ASKED = Path(os.environ["CLUSTERRUN_STOP_FILE"])
step_done = TrainingRun.step_done


def paced(run, position, **values):
    if run.attempt == "0001":
        time.sleep(PACE)
        while position.step >= HOLD and not ASKED.exists():
            time.sleep(PACE)
    return step_done(run, position, **values)


TrainingRun.step_done = paced
runpy.run_path(
    str(Path(__file__).parents[3] / "examples" / "train_causal_lm.py"), run_name="__main__"
)
