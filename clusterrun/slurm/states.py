"""Map Slurm's job states to a run's states. Source: squeue(1), JOB STATE CODES."""

from __future__ import annotations

from enum import Enum


class State(str, Enum):
    """The state of a run, with Slurm's name if it has one."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    STOPPED = "STOPPED"
    """It saved a checkpoint and exited, as requested by a person."""
    TIMEOUT = "TIMEOUT"
    PREEMPTED = "PREEMPTED"
    NODE_FAIL = "NODE_FAIL"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    LOST = "LOST"
    """Slurm no longer knows the job, and the run left no end record."""
    UNKNOWN = "UNKNOWN"
    """Slurm is not responding, so the state of the run is unknown."""

    @property
    def final(self) -> bool:
        """Whether nothing more happens by itself."""
        return self not in (State.PENDING, State.RUNNING, State.UNKNOWN)


_SLURM_STATES = {
    State.PENDING: (
        "PENDING REQUEUED REQUEUE_FED REQUEUE_HOLD RESV_DEL_HOLD SPECIAL_EXIT EXPEDITING"
    ),
    State.RUNNING: (
        "RUNNING COMPLETING CONFIGURING RESIZING SIGNALING STAGE_OUT STOPPED SUSPENDED "
        "POWER_UP_NODE"
    ),
    State.COMPLETED: "COMPLETED",
    State.CANCELLED: "CANCELLED REVOKED",
    State.FAILED: "FAILED BOOT_FAIL LAUNCH_FAILED RECONFIG_FAIL",
    State.TIMEOUT: "TIMEOUT DEADLINE",
    State.PREEMPTED: "PREEMPTED",
    State.NODE_FAIL: "NODE_FAIL",
    State.OUT_OF_MEMORY: "OUT_OF_MEMORY",
}
_STATE_BY_NAME = {name: state for state, names in _SLURM_STATES.items() for name in names.split()}


def state_of(slurm: str) -> State:
    """Translate a state of squeue or sacct such as `CANCELLED by 1000`; unknown ones are RUNNING.

    A state that is not in this table must not end a run that may be active.
    """
    word = slurm.split(maxsplit=1)[0].rstrip("+") if slurm.strip() else ""
    return _STATE_BY_NAME.get(word, State.RUNNING)
