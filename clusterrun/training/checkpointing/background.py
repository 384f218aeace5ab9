"""A task in a separate thread, parallel to training."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from threading import Thread
from typing import Generic, TypeVar

T = TypeVar("T")
# How long a process that exits without collecting the result, such as after a crash, waits for the
# task: another rank may hang.
_EXIT_TIMEOUT_S = 600.0


class Flight(Generic[T]):
    """Runs `work` in a thread once it is started; the process waits for it before it exits."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work: Callable[[], T] | None = work
        self._thread: Thread | None = None
        self._value: T
        self._error: BaseException | None = None

    def start(self) -> None:
        """Start the work in a thread; if no thread can be created, do it before returning."""
        # a daemon, because Python would wait for another thread without a limit
        thread = Thread(target=self.run, name="clusterrun-save", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            self.run()
            return
        self._thread = thread
        atexit.register(thread.join, _EXIT_TIMEOUT_S)

    def run(self) -> None:
        """Do the work in the calling thread; an error is kept for `result`."""
        work, self._work = self._work, None
        assert work is not None  # noqa: S101 - it is called once
        try:
            self._value = work()
        except BaseException as error:  # noqa: BLE001 - `result` raises it
            self._error = error

    def has_landed(self) -> bool:
        """Return whether the work is complete, with or without an error."""
        return self._work is None and not (self._thread and self._thread.is_alive())

    def failed_with(self) -> BaseException | None:
        """Return the error of the work, if it has failed."""
        return self._error

    def result(self) -> T:
        """Wait for the work; return its result or raise its error."""
        if self._thread:
            self._thread.join()
            atexit.unregister(self._thread.join)
        if self._error is not None:
            raise self._error
        return self._value
