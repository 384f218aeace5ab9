"""The example's training, slowed in its first attempt: on any machine it lasts until the test has done its part."""

import runpy
import time
from pathlib import Path

from clusterrun.training import TrainingRun

PACE = 0.2  # seconds a step: a minute for 300
step_done = TrainingRun.step_done


def paced(run, *words, **values):
    if run.attempt == "0001":
        time.sleep(PACE)
    return step_done(run, *words, **values)


TrainingRun.step_done = paced
runpy.run_path(str(Path(__file__).parents[3] / "examples" / "train_causal_lm.py"), run_name="__main__")
