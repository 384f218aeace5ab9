"""A training without torch, one process per node, that records each step, its job and its time.

Node 0 saves every 10 steps, when a stop is requested, and at the end. Like the training library, a
process exits once a later attempt has replaced its own. The arguments are the last step, and the
seconds that a step takes.
"""

import os
import sys
import time
from pathlib import Path

folder, attempt = Path(os.environ["CLUSTERRUN_RUN_DIR"]), os.environ["CLUSTERRUN_ATTEMPT"]
node, job = os.environ["SLURM_NODEID"], os.environ["SLURM_JOB_ID"]
last, pace = int(sys.argv[1]), float(sys.argv[2])
output, stop_file = folder / "output", Path(os.environ["CLUSTERRUN_STOP_FILE"])
(output / "steps").mkdir(parents=True, exist_ok=True)
done = output / f"done-{attempt}"


def write(path: Path, **values: object) -> None:
    draft = path.with_name(f"{path.name}.{attempt}.draft")
    draft.write_text("".join(f"{key}={value}\n" for key, value in values.items()))
    draft.rename(path)


def save(step: int) -> None:
    write(output / "saved", step=step)
    write(folder / "saves", checkpoint=f"step-{step}-{attempt}", step=step, time=int(time.time()))


def leave(outcome: str, step: int) -> None:
    save(step)
    write(folder / "events" / f"attempt-{attempt}.trainer", outcome=outcome, step=step)
    done.touch()
    raise SystemExit(0)


def is_replaced() -> bool:
    return f"attempt={attempt}\n" not in (folder / "current").read_text()


saved = output / "saved"
step = first = int(saved.read_text().partition("=")[2]) if saved.exists() else 0
with (output / "steps" / f"{attempt}-{node}").open("a", buffering=1) as steps:
    while True:
        step += 1
        if is_replaced():
            raise SystemExit(0)
        steps.write(f"{step} {job} {time.time():.3f}\n")
        if node == "0":
            if step == first + 1:
                (folder / "metrics").mkdir(exist_ok=True)
                times = folder / "metrics" / f"attempt-{attempt}.times"
                write(times, first_step=time.time())
            write(folder / "progress", step=step, total=last, time=int(time.time()))
            if stop_file.exists() or (folder / "stop").stat().st_size:
                leave("stopped", step)
            if step >= last:
                leave("finished", step)
            if step % 10 == 0:
                save(step)
        elif done.exists() or stop_file.exists():
            raise SystemExit(0)
        time.sleep(pace)
