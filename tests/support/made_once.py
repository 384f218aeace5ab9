"""What one test process makes for all processes of `make test`, or for itself if it runs alone."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def made_once(name: str, make: Callable[[Path], None]) -> Iterator[Path]:
    """A folder that the first process to request it fills with `make`; the others wait for it.

    Without the folder in CLUSTERRUN_TESTS_SHARED, which `make test` sets, it is made each time, and
    removed.
    """
    shared = os.environ.get("CLUSTERRUN_TESTS_SHARED")
    if not shared:
        with TemporaryDirectory() as made:
            make(Path(made))
            yield Path(made)
        return
    folder, draft = Path(shared, name), Path(shared, f"{name}.making")
    with Path(shared, f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            shutil.rmtree(draft, ignore_errors=True)  # left by a process that failed
            draft.mkdir(parents=True)
            make(draft)
            draft.rename(folder)
    yield folder
