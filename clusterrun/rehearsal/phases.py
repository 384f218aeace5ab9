"""How long each phase of a rehearsal took."""

from __future__ import annotations

from dataclasses import dataclass

from clusterrun.rehearsal.observation import FollowedRun
from clusterrun.rehearsal.result import Phase

_BY_BEGIN_TIME = (
    "Slurm lets a requeued job wait, 120 s by default (cred_expire in slurm.conf's AuthInfo)"
)


@dataclass
class Times:
    """When things were seen to happen, in seconds since the epoch; None: not yet."""

    submitted: float | None = None
    first: float | None = None
    """The first step, or the first checkpoint of a plain script."""
    asked: float | None = None
    """TERM was sent."""
    saved: float | None = None
    """The newest checkpoint was complete."""
    left: float | None = None
    pending: float | None = None
    reason: str = ""
    """Slurm's, while it was pending again."""
    first_again: float | None = None


def list_phases(times: Times, run: FollowedRun, *, plain: bool, local: bool) -> list[Phase]:
    """List the phases that were seen, in order.

    The clocks of the nodes, the file server and this machine are mixed.
    """
    began = [attempt.began for attempt in run.attempts] + [None, None]
    first = "first checkpoint" if plain else "first step"
    saved = times.saved if times.saved and times.asked and times.saved > times.asked else None
    queued = times.left if local else times.pending
    found = [
        _make_phase("submitted to started", times.submitted, began[0]),
        _make_phase(f"started to {first}", began[0], times.first),
        _make_phase(f"{first} to TERM", times.first, times.asked),
        _make_phase("TERM to saved", times.asked, saved),
        _make_phase("TERM to left", times.asked, times.left),
        *([] if local else [_make_phase("left to pending again", times.left, times.pending)]),
        _make_phase(
            "left to started again" if local else "pending to started again",
            queued,
            began[1],
            _BY_BEGIN_TIME if times.reason == "BeginTime" else "",
        ),
        _make_phase(f"started again to {first}", began[1], times.first_again),
    ]
    return [phase for phase in found if phase is not None]


def _make_phase(name: str, start: float | None, end: float | None, note: str = "") -> Phase | None:
    return None if start is None or end is None else Phase(name, max(end - start, 0.0), note)
