"""The duration of each phase of a rehearsal."""

from __future__ import annotations

from dataclasses import dataclass

from clusterrun.rehearsal.observation import FollowedRun
from clusterrun.rehearsal.result import Phase

_BY_BEGIN_TIME = (
    "Slurm delays a requeued job, by 120 s by default (cred_expire in AuthInfo of slurm.conf)"
)


@dataclass
class Times:
    """When the events of a rehearsal were observed, in seconds since the epoch; None: not yet."""

    submitted: float | None = None
    first: float | None = None
    """The first step, or the first checkpoint of a script that saves its own."""
    term_sent: float | None = None
    saved: float | None = None
    """When the newest checkpoint was complete."""
    left: float | None = None
    """When the first attempt exited."""
    pending: float | None = None
    reason: str = ""
    """Slurm's reason while the run was pending again."""
    first_again: float | None = None


def list_phases(times: Times, run: FollowedRun, *, plain: bool, local: bool) -> list[Phase]:
    """List the observed phases in order.

    The times come from the clocks of the nodes, the file server and this machine.
    """
    began = [attempt.began for attempt in run.attempts] + [None, None]
    first = "first checkpoint" if plain else "first step"
    saved = times.saved
    if not (saved and times.term_sent and saved > times.term_sent):
        saved = None
    queued = times.left if local else times.pending
    phases = [
        _make_phase("submitted to started", times.submitted, began[0]),
        _make_phase(f"started to {first}", began[0], times.first),
        _make_phase(f"{first} to TERM", times.first, times.term_sent),
        _make_phase("TERM to saved", times.term_sent, saved),
        _make_phase("TERM to exit", times.term_sent, times.left),
        *([] if local else [_make_phase("exit to pending again", times.left, times.pending)]),
        _make_phase(
            "exit to restarted" if local else "pending to restarted",
            queued,
            began[1],
            _BY_BEGIN_TIME if times.reason == "BeginTime" else "",
        ),
        _make_phase(f"restarted to {first}", began[1], times.first_again),
    ]
    return [phase for phase in phases if phase is not None]


def _make_phase(name: str, start: float | None, end: float | None, note: str = "") -> Phase | None:
    return None if start is None or end is None else Phase(name, max(end - start, 0.0), note)
