"""One piece of work in a thread of its own, beside the training."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from threading import Thread
from typing import Generic, TypeVar

T = TypeVar("T")
# At the end of a process that leaves without asking for the result, as one that crashes: another
# rank may hang.
_PATIENCE = 600.0  # seconds


class Flight(Generic[T]):
    """Does `work` in a thread once it is started; it is finished before the process exits."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work: Callable[[], T] | None = work
        self._thread: Thread | None = None
        self._value: T
        self._error: BaseException | None = None

    def start(self) -> None:
        """Start the work in a thread.

        If the system gives no thread, the work is done when this returns.
        """
        thread = Thread(
            target=self.run, name="clusterrun-save", daemon=True
        )  # Python would wait without a limit
        try:
            thread.start()
        except RuntimeError:
            self.run()
            return
        self._thread = thread
        atexit.register(thread.join, _PATIENCE)

    def run(self) -> None:
        """Do the work here and now; what it raises is kept for `result`."""
        work, self._work = self._work, None
        assert work is not None  # noqa: S101 - it is called once
        try:
            self._value = work()
        except BaseException as error:  # noqa: BLE001 - it is raised again by `result`
            self._error = error

    def landed(self) -> bool:
        """Whether the work is done, well or badly."""
        return self._work is None and not (self._thread and self._thread.is_alive())

    def failed_with(self) -> BaseException | None:
        """Return what the work has raised, if it is over."""
        return self._error

    def result(self) -> T:
        """Wait for the work to be done and return what it returned, or raise what it raised."""
        if self._thread:
            self._thread.join()
            atexit.unregister(self._thread.join)
        if self._error is not None:
            raise self._error
        return self._value
