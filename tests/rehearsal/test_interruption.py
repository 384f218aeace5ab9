"""Ctrl-C in the moment in which Slurm has accepted a run, and the client does not know it yet.

tests/slurm/test_rehearse.py types it on the real cluster, where the moment is hit by chance.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

import pytest

from clusterrun.rehearsal.interruption import deferred_interrupt


def submit(done: list[str]) -> None:
    """Receive the signal in the middle of a submission."""
    with deferred_interrupt():
        os.kill(os.getpid(), signal.SIGINT)
        done.append("submitted")


def test_the_interrupt_comes_after_the_submission() -> None:
    """What is submitted is known, and so it can be cancelled; the handler is restored."""
    done: list[str] = []
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        submit(done)
    assert done == ["submitted"]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("handler", ["own", signal.SIG_IGN])
def test_a_program_s_own_handler_is_called(handler: str | signal.Handlers) -> None:
    """A notebook, or a shell that ignores the signal in the background, decides for itself."""
    done: list[str] = []

    def own(_: int, __: FrameType | None) -> None:
        done.append("handled")

    before = signal.signal(signal.SIGINT, own if handler == "own" else signal.SIG_IGN)
    try:
        submit(done)
    finally:
        signal.signal(signal.SIGINT, before)
    assert done == ["submitted", "handled"][: 2 if handler == "own" else 1]


def test_another_thread_submits_without_signals() -> None:
    """Only the main thread may set a handler."""
    done: list[str] = []

    def work() -> None:
        with deferred_interrupt():
            done.append("submitted")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == ["submitted"]
