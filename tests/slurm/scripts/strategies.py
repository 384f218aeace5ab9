"""A training, the example's or another, whose attempts wait until a stop is requested, and record
their strategy.
"""

import json
import os
import runpy
import time
from pathlib import Path

from clusterrun.training import TrainingRun

HOLDS = json.loads(os.environ.get("HOLDS", '{"0001": 3}'))  # the step at which an attempt waits
GLANCE = 0.2  # seconds
ASKED = Path(os.environ["CLUSTERRUN_STOP_FILE"])
SEEN = Path(os.environ["CLUSTERRUN_RUN_DIR"], "seen")
LOOP = Path(__file__).parents[2] / "training_scripts" / "over_gloo.py"
step_done = TrainingRun.step_done


def look(accelerator):
    """Record what accelerate and DeepSpeed report of the strategy on each rank."""
    engine = getattr(accelerator, "deepspeed_engine_wrapped", None)
    (model,) = accelerator._models
    return {
        "distributed_type": accelerator.distributed_type.value,
        "zero_stage": engine.engine.zero_optimization_stage() if engine else None,
        "world_size": accelerator.num_processes,
        "mixed_precision": accelerator.mixed_precision,
        "accumulation": accelerator.gradient_accumulation_steps,
        "weights": str(next(model.parameters()).dtype),
        "node": os.environ["SLURMD_NODENAME"],
    }


def held(run, position, **values):
    if position.step == HOLDS.get(run.attempt):
        SEEN.mkdir(exist_ok=True)
        seen = {"attempt": run.attempt, **look(run._accelerator)}
        (SEEN / f"rank-{run._accelerator.process_index}").write_text(json.dumps(seen))
        while not ASKED.exists():
            time.sleep(GLANCE)
    return step_done(run, position, **values)


TrainingRun.step_done = held
runpy.run_path(str(LOOP), run_name="__main__")
