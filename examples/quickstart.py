"""The quick start: train on this machine, preempt the run midway, and let it resume and finish.

It submits job_specs/quickstart.yaml without Slurm, signals it as Slurm does at a preemption
(SIGTERM to the step), and follows it to the end. Run it with `make quickstart`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from clusterrun.local import preempt
from clusterrun.planning.preparation import Request
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.records import read_record
from clusterrun.run_logs.reading import logs
from clusterrun.run_status.control import RunStatus, run_status
from clusterrun.slurm.states import State
from clusterrun.submission.submitting import submit

SPEC = Path(__file__).parent.parent / "job_specs" / "quickstart.yaml"


def print_title(text: str) -> None:
    print(f"\n\033[1m== {text}\033[0m", flush=True)


def follow(run: RunRef) -> RunStatus:
    """Show the step and the loss on one line until the run has ended; preempt it once, midway."""
    preempted, shown = False, ""
    while not (status := run_status(run)).state.final:
        step = f"step {status.step or 0}/{status.total_steps or '?'}"
        line = (
            f"attempt {status.attempt}: {status.state.value:<8} {step} loss {status.loss or 0:.3f}"
        )
        if line != shown:
            print(line, flush=True)
            shown = line
        if not preempted and status.total_steps and (status.step or 0) > status.total_steps // 3:
            print_title(
                "preempted: SIGTERM to the step, as from Slurm; it saves, exits and is restarted"
            )
            preempt(run.paths)
            preempted = True
        time.sleep(2)
    return status


def main() -> int:
    print_title(
        "clusterrun submit --local "
        f"{SPEC.relative_to(Path.cwd()) if SPEC.is_relative_to(Path.cwd()) else SPEC}"
    )
    run = submit(Request(str(SPEC)), local=True)
    print(f"run {run.run_id} in {run.paths.folder}", flush=True)
    status = follow(run)
    if status.state is not State.COMPLETED:
        sys.stdout.writelines(logs(run.run_id))
        print(f"\nthe run ended as {status.state.value}: {status.reason}")
        return 1
    causes = [read_record(run.paths.end(attempt)).get("cause") for attempt in run.paths.attempts()]
    metrics = [
        json.loads(line)
        for line in (run.paths.folder / "output" / "metrics.jsonl").read_text().splitlines()
    ]
    losses = [line["loss"] for line in metrics if "loss" in line]
    ends = " and ".join(map(str, causes))
    print_title(
        f"done: {status.attempt} attempts, ended by {ends}; loss {losses[0]:.2f} to "
        f"{losses[-1]:.2f}"
    )
    print(f"trained model, tokenizer and metrics: {run.paths.folder}/output")
    print(f"logs of each attempt:                 {run.paths.folder}/logs")
    print("next: clusterrun status last; clusterrun render job_specs/two_nodes.yaml")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
