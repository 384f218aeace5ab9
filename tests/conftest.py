"""What all tests stand on."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Hear SIGINT, and let children hear it, also where a shell in the background has started the tests deaf to it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
