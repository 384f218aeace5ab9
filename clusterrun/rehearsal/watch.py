"""Waits for what a rehearsal needs to see, and says what went wrong instead."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from clusterrun.errors import ClusterError
from clusterrun.files.reading import read_text
from clusterrun.rehearsal.observation import FollowedRun
from clusterrun.run_folder.attempts import describe_end
from clusterrun.run_folder.causes import Cause
from clusterrun.run_folder.index import Index
from clusterrun.run_folder.records import read_record, whole
from clusterrun.run_folder.removal import remove
from clusterrun.run_status.control import cancel, run_status, stop
from clusterrun.slurm.states import State

_POLL_SECONDS = 0.3
_QUERY_SECONDS = 5.0  # between two questions to Slurm
_LEAVE_SECONDS = 60.0  # for a last save
_GONE = {Cause.CRASH, Cause.NO_RESTART, Cause.FAILED_START, Cause.CANCEL, Cause.STOP}
_ERROR = re.compile(r"^(\[rank\d+\]: )?(?P<words>[A-Za-z_][\w.]*(Error|Exception|Interrupt)\b.*)$")
_LAST_LINES = 5


class NotSurvived(Exception):
    """The run did not come through; the text says why."""


class OutOfTime(Exception):
    """The time for the rehearsal is over; the text says what was waited for."""


class Watch:
    """Follows the runs of a rehearsal until `deadline`, a time of time.monotonic()."""

    def __init__(self, index: Index, deadline: float) -> None:
        self._index, self._deadline = index, deadline
        self._next_question = 0.0
        self.followed: list[FollowedRun] = []

    def until(self, true: Callable[[], bool], what: str, *, patience: float | None = None) -> bool:
        """Wait until something is true; False where it is not after `patience` seconds.

        Raises NotSurvived where a run has ended meanwhile, OutOfTime when the time for all is over.
        """
        begun = time.monotonic()
        while True:
            self.look()
            if true():
                return True
            self.check()
            self._query_slurm()
            now = time.monotonic()
            if patience is not None and now - begun >= patience:
                return False
            if now >= self._deadline:
                raise OutOfTime(f"still waiting: {what}{self._describe_pending()}")
            time.sleep(_POLL_SECONDS)

    def look(self) -> None:
        """Look at every run once; one that has reached its goal is asked to leave."""
        for followed in self.followed:
            followed.look()
            if followed.reached and not followed.asked:
                followed.asked = True
                stop(followed.run.run_id, self._index)

    def check(self) -> None:
        """Raise NotSurvived where a run has ended otherwise than it was asked to."""
        for followed in self.followed:
            _raise_trouble(followed)

    def until_ended(self) -> None:
        """Wait for the runs to leave, as asked; those that do not are cancelled."""

        def over() -> bool:
            return all(run_status(followed.run).state.final for followed in self.followed)

        if not self.until(over, "the runs leave", patience=_LEAVE_SECONDS):
            self.cancel()
            self.until(over, "the runs end", patience=_LEAVE_SECONDS)

    def cancel(self) -> list[str]:
        """Cancel the active runs and return their ids.

        If Slurm does not answer, a message takes the place of an id.
        """
        ended = []
        for followed in self.followed:
            followed.asked = True
            try:
                if not run_status(followed.run).state.final:
                    cancel(followed.run.run_id, self._index)
                    ended.append(followed.run.run_id)
            except ClusterError as error:
                ended.append(f"{followed.run.run_id} (not cancelled: {str(error).splitlines()[0]})")
        return ended

    def remove_checkpoints(self) -> int:
        """Remove the runs' checkpoints in their own folders; return how many there were."""
        return sum(map(_remove_checkpoints, self.followed))

    def _query_slurm(self) -> None:
        if time.monotonic() < self._next_question:
            return
        for followed in self.followed:
            found = run_status(followed.run)
            followed.look()  # its end may have been written since the last look
            self.check()
            if found.state.final and not followed.asked:
                raise NotSurvived(
                    f"{followed.run.run_id} is {found.state.value}: "
                    f"{found.reason}{_describe_log(followed)}"
                )
        self._next_question = time.monotonic() + _QUERY_SECONDS

    def _describe_pending(self) -> str:
        found = [run_status(followed.run) for followed in self.followed]
        waiting = [one for one in found if one.state is State.PENDING]
        words = (
            f"{one.run_id} is PENDING" + (f" ({one.reason})" if one.reason else "")
            for one in waiting
        )
        return "".join(f"; {word}" for word in words)


def _remove_checkpoints(followed: FollowedRun) -> int:
    own = followed.run.paths.folder.resolve()
    followed.look()
    there = {one.path for one in followed.saved.values() if one.path.exists()}
    inside = [path for path in there if path.resolve().is_relative_to(own)]
    staging = followed.run.paths.folder / "staging"
    for path in inside:
        with suppress(OSError):
            remove(path, staging)
    shutil.rmtree(staging, ignore_errors=True)  # what was pruned, and is half removed
    return len(inside)


def _raise_trouble(followed: FollowedRun) -> None:
    """Raise NotSurvived for an attempt that ended otherwise than it was asked to."""
    if followed.asked or not followed.attempts:
        return
    number, newest, name = len(followed.attempts), followed.attempts[-1], followed.run.run_id
    if newest.finished:
        raise NotSurvived(f"{name}: {_describe_finish(followed)}")
    if newest.end.get("cause") in _GONE or newest.end.get("next") == "end":
        raise NotSurvived(
            f"{name}, attempt {number}: {describe_end(newest.end)}{_last_log_lines(followed)}"
        )
    if number > followed.interruptions + 1:
        words = describe_end(followed.attempts[followed.interruptions].end) or "it never said why"
        raise NotSurvived(f"{name} was interrupted by somebody else ({words}): rehearse again")


def _describe_finish(followed: FollowedRun) -> str:
    step = followed.step_of(len(followed.attempts))
    total = whole(read_record(followed.run.paths.progress).get("total"))
    place = (
        f"step {step}" + (f" of {total}" if total else "")
        if step is not None
        else "a step that it did not tell"
    )
    if followed.interruptions and not (step is not None and step == total):
        return (
            f"when it was asked to stop it said that training was finished, at {place}, so nobody "
            "starts it again"
        )
    return f"training was finished at {place}, before it could be stopped and come back"


def _last_log_lines(followed: FollowedRun) -> str:
    """Return the first error in the newest log, the failing rank's; else the last lines."""
    log = followed.run.paths.log(followed.attempts[-1].name)
    lines = [line for line in _read_text(log).splitlines() if line.strip()]
    found = next((match["words"] for match in map(_ERROR.match, lines) if match), "")
    said = [line for line in lines if not line.startswith("clusterrun: ")]
    told = [found] if found else said[-_LAST_LINES:]
    return "".join(f"\n  {line}" for line in told) + _describe_log(followed)


def _describe_log(followed: FollowedRun) -> str:
    return (
        f"\n  its log: {followed.run.paths.log(followed.attempts[-1].name)}"
        if followed.attempts
        else ""
    )


def _read_text(path: Path) -> str:
    try:
        return read_text(path, errors="replace")
    except OSError:
        return ""
