"""Local runs without Slurm: the same job script and run folder, attempt by attempt on this machine.

A supervisor process replaces slurmctld. Each attempt is one submission to submitit's local
executor, which runs the job script with replacements for the Slurm commands that it calls. A
preemption works as on Slurm: SIGTERM to the step's shell.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clusterrun.errors import ClusterError
from clusterrun.run_folder.ownership import process_id_of, processes_of, signal_process
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record, write_record, write_whole

KILL_WAIT = 10.0  # shorter than Slurm's KillWait of 30 s (slurm.conf(5)), for interactive use
_POLL_SECONDS = 0.2
_START_SECONDS = 20.0

# Both files are arguments, and $0 is as in `bash SCRIPT`. BASH_ENV does not work: bash expands its
# value, including commands.
_RUN_SCRIPT = """stand_ins=$1; shift; . "$stand_ins" && unset stand_ins && . "$0\""""
# Functions take precedence over programs on PATH, so the script calls these instead of Slurm's.
_STAND_INS = """\
srun() {
  while [[ ${1:-} == --* ]]; do shift; done
  printf '%s\\n' "$BASHPID" > "$run_dir/local/step.pid"
  export SLURM_NODEID=0 SLURM_PROCID=0 SLURM_LOCALID=0
  exec "$@"
}
scontrol() { [ "$1" = requeue ] && : > "$run_dir/local/requeue"; }
squeue() { :; }
sbatch() { echo 'sbatch: not available in a local run' >&2; return 1; }
"""


@dataclass(frozen=True)
class LocalJob:
    """The parts of a spec that a local run needs."""

    nodes: int
    least_nodes: int
    gpus: int | None
    """The number of requested GPUs; None: it runs on CPUs."""
    limit_s: int | None
    """The time limit; None: no limit."""
    lead_s: int
    """How long before the limit the signal is sent."""
    secrets: Sequence[str]
    """Names of variables that are passed from the submitter's environment."""
    work_dir: str | None


def start(paths: RunPaths, job: LocalJob, environment: Mapping[str, str]) -> str:
    """Start a run on this machine and return its job id, the supervisor's process id.

    Raises ClusterError if the spec requests what this machine does not have.
    """
    if job.least_nodes > 1:
        raise ClusterError(
            f"slurm.nodes is {job.nodes}, but a local run has one node", "add --set slurm.nodes=1"
        )
    gpus = None if job.gpus is None else min(job.gpus, _count_local_gpus())
    paths.local.mkdir(mode=0o700, exist_ok=True)
    write_whole(paths.local / "slurm.bash", _STAND_INS)
    settings = {
        "limit": job.limit_s or "",
        "lead": job.lead_s,
        "gpus": "" if gpus is None else gpus,
    }
    write_record(paths.local / "settings", settings)
    inherited = {
        name: environment[name]
        for name in ("PATH", "HOME", "USER", "LOGNAME", "LANG", "TMPDIR")
        if name in environment
    }
    secrets = {name: environment[name] for name in job.secrets if name in environment}
    with (paths.local / "supervisor.log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "clusterrun.local", str(paths.folder)],
            env={**inherited, **secrets, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=job.work_dir,
        )
    write_record(paths.local / "supervisor", {"job_id": child.pid, "host": os.uname().nodename})
    return str(child.pid)


def _count_local_gpus() -> int:
    """Return the number of this machine's GPUs. Raises ClusterError if it has none."""
    try:
        listing = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=False
        ).stdout
    except (FileNotFoundError, subprocess.TimeoutExpired):
        listing = ""
    count = sum(line.startswith("GPU ") for line in listing.splitlines())
    if not count:
        hint = "to run on CPUs, add --set slurm.gpus-per-node=null --set accelerate.num_processes=2"
        raise ClusterError("the spec requests GPUs, but this machine has none", hint)
    return count


def supervisor_lives(paths: RunPaths) -> bool:
    """Return whether the supervisor process of a run is alive."""
    process_id = process_id_of(read_record(paths.local / "supervisor").get("job_id", ""))
    try:
        entry = Path(f"/proc/{process_id}")
        words = (entry / "cmdline").read_bytes().split(b"\0")
        is_owned = entry.stat().st_uid == paths.folder.stat().st_uid
    except OSError:
        return False
    folder = (
        os.path.realpath(os.fsdecode(words[3]))
        if words[1:3] == [b"-m", b"clusterrun.local"]
        else ""
    )
    return is_owned and folder == os.path.realpath(paths.folder)


def supervisor_host(paths: RunPaths) -> str:
    """Return the machine on which a local run was started; empty if not recorded."""
    return read_record(paths.local / "supervisor").get("host", "")


def preempt(paths: RunPaths) -> None:
    """Preempt a running attempt as Slurm does: SIGTERM to the step, nothing to the batch shell."""
    signal_process(paths, paths.local / "step.pid", signal.SIGTERM)


def requeue_at_once(paths: RunPaths) -> None:
    """Terminate a running attempt and start the next one, as Slurm does after the grace time."""
    (paths.local / "requeue").touch()


def cancel_local(paths: RunPaths) -> None:
    """Cancel a run as scancel does: SIGTERM to the step and the batch shell, later SIGKILL."""
    signal_process(paths, paths.local / "batch.pid", signal.SIGTERM)
    signal_process(paths, paths.local / "step.pid", signal.SIGTERM)


def supervise(folder: str) -> None:
    """Run attempts until the job script requests no further one."""
    from submitit.local.local import LocalExecutor  # noqa: PLC0415 - slow, and only needed here

    paths = RunPaths(Path(folder))
    executor = LocalExecutor(paths.local / "submitit")
    settings = read_record(paths.local / "settings")
    executor.update_parameters(timeout_min=60 * 24 * 365, gpus_per_node=int(settings["gpus"] or 0))
    for restart in range(1_000_000):
        (paths.local / "requeue").unlink(missing_ok=True)
        executor.submit(run_attempt, folder, os.getpid(), restart).wait()
        if paths.cancelled.exists() or not (paths.local / "requeue").exists():
            return


def run_attempt(folder: str, job_id: int, restart: int) -> int:
    """Run the job script once, with Slurm's variables and its time limit; return its exit code."""
    paths = RunPaths(Path(folder))
    settings = read_record(paths.local / "settings")
    with (paths.logs / f"slurm-{job_id}.out").open("ab") as log:
        child = subprocess.Popen(
            ["bash", "-c", _RUN_SCRIPT, str(paths.script), str(paths.local / "slurm.bash")],
            env=_slurm_variables(paths, settings, job_id, restart),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    write_whole(paths.local / "batch.pid", str(child.pid))
    limit = float(settings["limit"]) if settings.get("limit") else None
    _watch(paths, child, limit, float(settings.get("lead") or 0))
    _kill_attempt(folder)
    return child.wait()


def _watch(
    paths: RunPaths, child: subprocess.Popen[bytes], limit: float | None, lead: float
) -> None:
    """Act as slurmctld: signal before the time limit, enforce it, and handle requeue and cancel."""
    started_at, is_warned, killed_at = time.monotonic(), False, None
    while child.poll() is None:
        time.sleep(_POLL_SECONDS)
        now = time.monotonic()
        if (paths.local / "requeue").exists():
            return
        if limit is not None and not is_warned and now - started_at > limit - lead:
            is_warned = True
            signal_process(paths, paths.local / "step.pid", signal.SIGUSR1)
        over = (limit is not None and now - started_at > limit) or paths.cancelled.exists()
        if over and killed_at is None:
            killed_at = now
            cancel_local(paths)
        if killed_at is not None and now - killed_at > KILL_WAIT:
            return


def _slurm_variables(
    paths: RunPaths, settings: Mapping[str, str], job_id: int, restart: int
) -> dict[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SUBMITIT_", "PYTHONPATH"))
    }
    variables = {
        "SLURM_JOB_ID": str(job_id),
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_JOB_NODELIST": os.uname().nodename,
        "SLURM_SUBMIT_DIR": str(Path.cwd()),
        "SLURM_RESTART_COUNT": str(restart),
        "run_dir": str(paths.folder),
    }
    if settings.get("limit"):
        variables["SLURM_JOB_END_TIME"] = str(int(time.time() + float(settings["limit"])))
    if settings.get("gpus"):
        variables["SLURM_GPUS_ON_NODE"] = settings["gpus"]
    else:
        inherited.pop("CUDA_VISIBLE_DEVICES", None)
    return {**inherited, **variables}


def kill_processes(folder: str) -> None:
    """Send SIGKILL to every remaining process of the run, also in other sessions.

    The supervisor is first: it would start the next attempt.
    """
    paths = RunPaths(Path(folder))
    supervisor = process_id_of(read_record(paths.local / "supervisor").get("job_id", ""))
    if supervisor is not None and supervisor_lives(paths):
        with contextlib.suppress(OSError):
            os.kill(supervisor, signal.SIGKILL)
    _kill_attempt(folder)


def _kill_attempt(folder: str) -> None:
    for process_id in processes_of(Path(folder)):
        with contextlib.suppress(OSError):
            os.kill(process_id, signal.SIGKILL)


if __name__ == "__main__":
    supervise(sys.argv[1])
