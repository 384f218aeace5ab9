"""A state of the model as a run folder and a queue, and the script's own functions in it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from tests.model.script import Steps
from tests.model.successor import script_steps
from tests.model.world import NO_ID, Rules, World
from tests.support.bash_functions import FUNCTIONS, LOAD

CANCELLED = "slurmstepd: error: *** JOB {} ON n1 CANCELLED AT 2026-12-01T00:00:00 ***\n"
_OLD = 1_000_000_000
BEGIN = """
readlink() { echo "$case/slurm.log"; }
watch_preparation() { :; }
find_job_end() { :; }
sleep_until_signal() { :; }
scontrol() { :; }
scancel() { echo "${@: -1}" >> "$case/scancelled"; }
squeue() {
  local id state script=$run_dir/job.sbatch known=
  while read -r id state; do
    case $* in
      *--jobs=$id\\ *%T) known=1; echo "$id $state" ;;
      *--states=PENDING*%o) [ "$state" != PENDING ] || echo "$id $script" ;;
      *"%A %T %o") echo "$id $state $script" ;;
    esac
  done < "$case/queue"
  case $*$known in *--jobs=*%T) echo "slurm_load_jobs error: Invalid job id specified" && return 1 ;; esac
}
settings=(format=2) requeue_by=auto requeue_on="preemption crash node-failure requeue" max_crashes=99 was_submitted=yes
SLURM_JOB_NODELIST=n1
for case; do
  (
    . "$case/variables"
    run_dir=$case/run run_id=run
    install_traps
    trap give_up_claim EXIT
    begin_attempt
    echo trains > "$case/outcome"
  ) 2>> "$case/messages"
done
"""


def write_folder(world: World, case: Path, me: int) -> None:
    """Write the records of a state, its queue, and the variables of a job."""
    run, events = world.run, case / "run" / "events"
    queue = [f"{number} {_state(world, number)}\n" for number in world.active()]
    case.mkdir()
    (case / "queue").write_text("".join(queue))
    job = world.job(me)
    first = "CLUSTERRUN_FIRST_JOB=1" if job.from_script else "CLUSTERRUN_FIRST_JOB="
    (case / "variables").write_text(f"SLURM_JOB_ID={me} {first}\n")
    (case / "slurm.log").write_text(CANCELLED.format(me) if job.log == "cancel" else "")
    if run.folder != "here":
        return
    (case / "run" / "logs").mkdir(parents=True)
    events.mkdir()
    for name, set_ in (("stop", run.stop), ("cancelled", run.cancelled)):
        if set_ or name == "stop":
            (case / "run" / name).write_text("now\n" if set_ else "")
    number, after = run.intent
    _write(events / "submit.intent", run_id="run", number=number, after=padded(after))
    earlier = " ".join(map(str, run.earlier))
    _write(events / "submit.job", job_id=run.submitted[1], number=run.submitted[0], earlier=earlier)
    if run.current:
        _write(case / "run" / "current", attempt=padded(run.current))
    for index, one in enumerate(run.attempts, 1):
        if one is None:
            continue
        base = events / f"attempt-{padded(index)}"
        _write(base.with_suffix(".begin"), job_id=one.job)
        if one.next:
            # a cancellation is provisional for two minutes
            ended = int(time.time()) if one.cause == "cancel" else _OLD
            _write(base.with_suffix(".end"), cause=one.cause, next=one.next, ended=ended)
        if one.finished:
            _write(base.with_suffix(".trainer"), outcome="finished")
        if one.successor >= NO_ID:
            job_id = {"job_id": one.successor} if one.successor else {}
            _write(base.with_suffix(".successor"), **job_id, requested_at=_OLD)


def _write(path: Path, **values: object) -> None:
    path.write_text("".join(f"{key}={value}\n" for key, value in values.items()))


def padded(number: int) -> str:
    """Return an attempt as the records name it; empty for none."""
    return f"{number:04d}" if number else ""


def _state(world: World, number: int) -> str:
    job = world.job(number)
    if job.state != "running":
        return "PENDING"
    return "COMPLETING" if job.doom else "RUNNING"


def begin_in_model(world: World, me: int) -> World | None:
    """Run a script of the model until it trains or exits, while nothing else happens."""
    while script := world.job(me).script:
        if script.step in ("train", "record"):
            return world
        steps: Steps = script_steps(world, me, Rules())
        if not steps:
            return None
        ((_, world),) = steps
    return world


def begin_in_bash(cases: Iterable[Path]) -> None:
    """Run the script's own `begin_attempt` in each case's folder."""
    words = ["bash", "-c", f"{LOAD}\n{BEGIN}", str(FUNCTIONS), *map(str, cases)]
    subprocess.run(words, check=False, capture_output=True, timeout=300)
