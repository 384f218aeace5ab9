"""A training without torch that counts and follows the protocol of a run, for tests of everything
around it.

`counted` in the run's folder is the training: a line `attempt step` for each step. With a file
`crash` there it crashes, with a file `fast` it does not wait. The argument is the last step.
"""

import os
import sys
import time
from pathlib import Path

from clusterrun.run_folder.records import read_record, write_record
from clusterrun.training.checkpointing import manifest

folder, attempt = Path(os.environ["CLUSTERRUN_RUN_DIR"]), os.environ["CLUSTERRUN_ATTEMPT"]
last, here = int(sys.argv[1]), folder / "events" / f"attempt-{attempt}"


def newest() -> str:
    names = (path.parent.name for path in folder.glob("checkpoints/step-*/manifest.json"))
    return max(names, key=lambda name: tuple(reversed(name.split("-")[1:])), default="")


def save(step: int) -> str:
    name = f"step-{step:08d}-{attempt}"
    draft = folder / "staging" / name
    draft.mkdir()
    (draft / "count").write_text(f"{step}\n")
    manifest.seal(
        draft, {"attempt": int(attempt), "step": step, "epoch": 0, "batch": step, "world_size": 1}
    )
    draft.rename(folder / "checkpoints" / name)
    write_record(folder / "saves", {"checkpoint": name, "step": step, "time": int(time.time())})
    return name


def leave(outcome: str, step: int, checkpoint: str) -> None:
    values = {"outcome": outcome, "step": step, "epoch": 0, "checkpoint": checkpoint}
    write_record(here.with_suffix(".trainer"), values)
    raise SystemExit(0)


start = newest()
step = int((folder / "checkpoints" / start / "count").read_text()) if start else 0
write_record(here.with_suffix(".resume"), {"checkpoint": start, "step": step, "state": "resumed"})
while step < last:
    step += 1
    with (folder / "counted").open("a") as file:
        file.write(f"{attempt} {step}\n")
    write_record(folder / "progress", {"step": step, "total": last, "time": int(time.time())})
    if (folder / "crash").exists():
        save(step) if read_record(folder / "crash").get("save") else None
        raise SystemExit(7)
    if Path(os.environ["CLUSTERRUN_STOP_FILE"]).exists() or (folder / "stop").stat().st_size:
        leave("stopped", step, save(step))
    time.sleep(0 if (folder / "fast").exists() else 0.05)
leave("finished", step, newest())
