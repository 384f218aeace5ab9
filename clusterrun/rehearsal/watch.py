"""The observation of a rehearsal's runs: wait for events, and report failures."""

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
_QUERY_SECONDS = 5.0  # between two queries to Slurm
_EXIT_SECONDS = 60.0  # for a last save
_GONE = {Cause.CRASH, Cause.NO_RESTART, Cause.FAILED_START, Cause.CANCEL, Cause.STOP}
_ERROR = re.compile(r"^(\[rank\d+\]: )?(?P<words>[A-Za-z_][\w.]*(Error|Exception|Interrupt)\b.*)$")
_LAST_LINES = 5


class NotSurvived(Exception):
    """The run did not survive; the text is the reason."""


class OutOfTime(Exception):
    """The rehearsal timed out; the text is what it was waiting for."""


class Watch:
    """Follows the runs of a rehearsal until `deadline`, a time of time.monotonic()."""

    def __init__(self, index: Index, deadline: float) -> None:
        self._index, self._deadline = index, deadline
        self._next_query = 0.0
        self.followed: list[FollowedRun] = []

    def until(
        self, condition: Callable[[], bool], what: str, *, patience: float | None = None
    ) -> bool:
        """Wait until a condition is true; return False if it is not after `patience` seconds.

        Raises NotSurvived if a run ends meanwhile, OutOfTime if the rehearsal times out.
        """
        start = time.monotonic()
        while True:
            self.look()
            if condition():
                return True
            self.check()
            self._query_slurm()
            now = time.monotonic()
            if patience is not None and now - start >= patience:
                return False
            if now >= self._deadline:
                raise OutOfTime(f"still waiting for {what}{self._describe_pending()}")
            time.sleep(_POLL_SECONDS)

    def look(self) -> None:
        """Read every run once; request a stop of those that have reached their goal."""
        for followed in self.followed:
            followed.look()
            if followed.reached and not followed.stop_requested:
                followed.stop_requested = True
                stop(followed.run.run_id, self._index)

    def check(self) -> None:
        """Raise NotSurvived if a run has ended in a way that was not requested."""
        for followed in self.followed:
            _raise_if_failed(followed)

    def until_ended(self) -> None:
        """Wait for the runs to exit as requested; cancel those that do not."""

        def have_ended() -> bool:
            return all(run_status(followed.run).state.final for followed in self.followed)

        if not self.until(have_ended, "the runs to exit", patience=_EXIT_SECONDS):
            self.cancel()
            self.until(have_ended, "the runs to end", patience=_EXIT_SECONDS)

    def cancel(self) -> list[str]:
        """Cancel the active runs and return their ids.

        If Slurm is not responding, a message takes the place of an id.
        """
        cancelled = []
        for followed in self.followed:
            followed.stop_requested = True
            try:
                if not run_status(followed.run).state.final:
                    cancel(followed.run.run_id, self._index)
                    cancelled.append(followed.run.run_id)
            except ClusterError as error:
                reason = str(error).splitlines()[0]
                cancelled.append(f"{followed.run.run_id} (not cancelled: {reason})")
        return cancelled

    def remove_checkpoints(self) -> int:
        """Remove the checkpoints in the folders of the runs; return their number."""
        return sum(map(_remove_checkpoints, self.followed))

    def _query_slurm(self) -> None:
        if time.monotonic() < self._next_query:
            return
        for followed in self.followed:
            status = run_status(followed.run)
            followed.look()  # its end may have been recorded since the last look
            self.check()
            if status.state.final and not followed.stop_requested:
                raise NotSurvived(
                    f"{followed.run.run_id} is {status.state.value}: "
                    f"{status.reason}{_describe_log(followed)}"
                )
        self._next_query = time.monotonic() + _QUERY_SECONDS

    def _describe_pending(self) -> str:
        statuses = [run_status(followed.run) for followed in self.followed]
        pending = [one for one in statuses if one.state is State.PENDING]
        words = (
            f"{one.run_id} is PENDING" + (f" ({one.reason})" if one.reason else "")
            for one in pending
        )
        return "".join(f"; {word}" for word in words)


def _remove_checkpoints(followed: FollowedRun) -> int:
    own = followed.run.paths.folder.resolve()
    followed.look()
    existing = {one.path for one in followed.saved.values() if one.path.exists()}
    inside = [path for path in existing if path.resolve().is_relative_to(own)]
    staging = followed.run.paths.folder / "staging"
    for path in inside:
        with suppress(OSError):
            remove(path, staging)
    shutil.rmtree(staging, ignore_errors=True)  # pruned checkpoints that are half removed
    return len(inside)


def _raise_if_failed(followed: FollowedRun) -> None:
    """Raise NotSurvived if an attempt ended in a way that was not requested."""
    if followed.stop_requested or not followed.attempts:
        return
    number, newest, name = len(followed.attempts), followed.attempts[-1], followed.run.run_id
    if newest.finished:
        raise NotSurvived(f"{name}: {_describe_finish(followed)}")
    if newest.end.get("cause") in _GONE or newest.end.get("next") == "end":
        raise NotSurvived(
            f"{name}, attempt {number}: {describe_end(newest.end)}{_last_log_lines(followed)}"
        )
    if number > followed.interruptions + 1:
        words = describe_end(followed.attempts[followed.interruptions].end) or "no end record"
        raise NotSurvived(f"{name} was interrupted from outside ({words}): run the rehearsal again")


def _describe_finish(followed: FollowedRun) -> str:
    step = followed.step_of(len(followed.attempts))
    total = whole(read_record(followed.run.paths.progress).get("total"))
    place = (
        f"step {step}" + (f" of {total}" if total else "")
        if step is not None
        else "an unknown step"
    )
    if followed.interruptions and not (step is not None and step == total):
        return (
            f"when asked to stop, it reported that training was finished, at {place}, so it is not "
            "restarted"
        )
    return f"training finished at {place}, before the run could be stopped and resumed"


def _last_log_lines(followed: FollowedRun) -> str:
    """Return the first error in the newest log, which is the failing rank's, or the last lines."""
    log = followed.run.paths.log(followed.attempts[-1].name)
    lines = [line for line in _read_text(log).splitlines() if line.strip()]
    error = next((match["words"] for match in map(_ERROR.match, lines) if match), "")
    output = [line for line in lines if not line.startswith("clusterrun: ")]
    excerpt = [error] if error else output[-_LAST_LINES:]
    return "".join(f"\n  {line}" for line in excerpt) + _describe_log(followed)


def _describe_log(followed: FollowedRun) -> str:
    return (
        f"\n  log: {followed.run.paths.log(followed.attempts[-1].name)}"
        if followed.attempts
        else ""
    )


def _read_text(path: Path) -> str:
    try:
        return read_text(path, errors="replace")
    except OSError:
        return ""
