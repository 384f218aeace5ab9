"""Scripts that a rehearsal must reject: the first argument selects one. They need no torch, and
count steps.

Those that follow the protocol of a run write its records themselves, like
tests/training_scripts/counter.py. A loss depends only on the step; `state` is the content of a
checkpoint.
"""

import json
import math
import os
import random
import signal
import sys
import time
from pathlib import Path

from clusterrun.run_folder.records import write_record
from clusterrun.training.checkpointing import manifest

how, folder = sys.argv[1], Path(os.environ["CLUSTERRUN_RUN_DIR"])
attempt, every = (
    os.environ["CLUSTERRUN_ATTEMPT"],
    int(os.environ["CLUSTERRUN_CHECKPOINT_EVERY"].split()[0]),
)
asked, here = Path(os.environ["CLUSTERRUN_STOP_FILE"]), folder / "events" / f"attempt-{attempt}"
PACE, LAST = 0.05, 2000  # seconds per step; more steps than any test waits for
names = sorted(path.parent.name for path in folder.glob("checkpoints/step-*/manifest.json"))
if how == "slow-to-leave":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def loss_of(step):
    if how == "unseeded":
        return random.random()
    away = 0.3 if how == "forgets-its-state" and attempt != "0001" else 0.0
    return math.exp(-step / 100) + away


def save(step):
    name = f"step-{step:08d}-{attempt}"
    draft = folder / "staging" / name
    draft.mkdir()
    (draft / "model.safetensors").write_text(f"{loss_of(step)}\n")
    manifest.seal(
        draft, {"attempt": int(attempt), "step": step, "epoch": 0, "batch": step, "world_size": 1}
    )
    draft.rename(folder / "checkpoints" / name)
    write_record(folder / "saves", {"checkpoint": name, "step": step, "time": int(time.time())})


def leave(outcome, step):
    write_record(
        here.with_suffix(".trainer"),
        {"outcome": outcome, "step": step, "epoch": 0, "checkpoint": ""},
    )
    raise SystemExit(0)


newest = "" if how == "ignores-it" or not names else names[-1]
step = int(newest.split("-")[1]) if newest else 0
write_record(here.with_suffix(".resume"), {"checkpoint": newest, "step": step, "state": "resumed"})
if how == "counts-from-1":
    step = 0
if how == "crashes" and attempt != "0001":
    raise ValueError("the checkpoint is of another model")
while step < LAST:
    step += 1
    time.sleep(PACE)
    line = {"step": step, "since": step - 1, "loss": loss_of(step), "time": time.time()}
    with here.with_suffix(".losses").open("a") as file:
        file.write(json.dumps(line) + "\n")
    write_record(folder / "progress", {"step": step, "total": LAST, "time": int(time.time())})
    stop_requested = asked.exists()  # read once: it can appear between two checks of one step
    deaf = how == "slow-to-leave" and stop_requested
    if step % every == 0 and how != "saves-nothing" and not deaf:
        save(step)
    if stop_requested and how == "takes-it-for-the-end":
        leave("finished", step)
    if (stop_requested and not deaf) or (folder / "stop").stat().st_size:
        if step % every and how != "saves-nothing":
            save(step)
        leave("stopped", step)
leave("finished", step)
