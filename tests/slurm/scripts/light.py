"""A training without torch, one process per node: it counts steps, saves when requested, and writes
the records of the library.

Node 0 writes a line `attempt step` for each step into output/counted; it resumes from its last
saved step. A file in the run folder makes an attempt crash or slow down: crash-ATTEMPT holds the
number of the node that crashes at step 5; while `pace` exists, steps are slow. With SLOW_START the
first step takes a minute. The argument is the last step.
"""

import os
import sys
import time
from pathlib import Path

folder, attempt = Path(os.environ["CLUSTERRUN_RUN_DIR"]), os.environ["CLUSTERRUN_ATTEMPT"]
node, last = os.environ["SLURM_NODEID"], int(sys.argv[1])
output, stop_file = folder / "output", Path(os.environ["CLUSTERRUN_STOP_FILE"])
output.mkdir(exist_ok=True)
done, crash = output / f"done-{attempt}", folder / f"crash-{attempt}"


def write(path: Path, **values: object) -> None:
    draft = path.with_name(f"{path.name}.draft")
    draft.write_text("".join(f"{key}={value}\n" for key, value in values.items()))
    draft.rename(path)


def leave(outcome: str, step: int) -> None:
    (output / "saved").write_text(str(step))
    write(folder / "saves", checkpoint=f"step-{step}-{attempt}", step=step, time=int(time.time()))
    write(folder / "events" / f"attempt-{attempt}.trainer", outcome=outcome, step=step)
    done.touch()
    raise SystemExit(0)


if os.environ.get("SLOW_START"):
    time.sleep(60)
step = int((output / "saved").read_text()) if (output / "saved").exists() else 0
first = step
while True:
    step += 1
    if crash.exists() and crash.read_text() == node and step >= first + 5:
        raise SystemExit(7)
    if node == "0":
        with (output / "counted").open("a") as file:
            file.write(f"{attempt} {step}\n")
        if step == first + 1:
            (folder / "metrics").mkdir(exist_ok=True)
            write(folder / "metrics" / f"attempt-{attempt}.times", first_step=time.time())
        write(folder / "progress", step=step, total=last, time=int(time.time()))
        if stop_file.exists() or (folder / "stop").stat().st_size:
            leave("stopped", step)
        if step >= last:
            leave("finished", step)
    elif done.exists() or stop_file.exists():
        raise SystemExit(0)
    time.sleep(0.5 if (folder / "pace").exists() else 0.02)
