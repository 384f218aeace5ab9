"""Calls of git that write nothing into the user's repository, with limits of time and size."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SECONDS = 10.0
"""How long all calls may take; a repository on a slow file server must not keep a run back."""
MOST_BYTES = 10 << 20
"""The largest output that is kept of one call."""
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"  # git's id of a tree without files
_OPTIONS = ("-c", "core.quotePath=false", "-c", "core.fsmonitor=false")


class GitFault(Exception):
    """Why git could not answer, in one line for people."""


@dataclass(frozen=True)
class Git:
    """git in a folder, with an environment of ours."""

    folder: Path
    """The folder of each call: the top-level folder of a work tree."""
    environment: Mapping[str, str]
    """The environment of each call."""
    deadline: float
    """When the last call must have ended, on the monotonic clock."""

    def call(self, *words: str, sent: bytes = b"") -> bytes:
        """Return what git prints; `sent` is its input.

        Raises GitFault if git is not installed, fails, takes too long or prints too much.
        """
        try:
            done = subprocess.run(
                ["git", *_OPTIONS, *words],
                cwd=self.folder,
                env=dict(self.environment),
                input=sent,
                capture_output=True,
                timeout=max(self.deadline - time.monotonic(), 0.1),
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise GitFault(f"git {words[0]} did not end within {SECONDS:.0f} s") from error
        except OSError as error:
            raise GitFault(f"git: {error.strerror}") from error
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines() or ["failed"]
            raise GitFault(f"git {words[0]}: {lines[0].removeprefix('fatal: ')}")
        if len(done.stdout) > MOST_BYTES:
            raise GitFault(f"git {words[0]} printed more than {MOST_BYTES >> 20} MiB")
        return done.stdout

    def ask(self, *words: str) -> str:
        """Return one line that git prints, such as a path."""
        return os.fsdecode(self.call(*words).removesuffix(b"\n"))


@contextmanager
def open_repository(folder: Path, environment: Mapping[str, str], scratch: Path) -> Iterator[Git]:
    """Open the repository that a folder belongs to; `scratch` is an empty folder.

    The index and all new objects are in `scratch`. Raises GitFault outside a repository.
    """
    # GIT_DIR and its like are set where a hook or an alias of git calls clusterrun
    kept = {name: value for name, value in environment.items() if not name.startswith("GIT_")}
    kept |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    here = Git(folder, kept, time.monotonic() + SECONDS)
    top = Path(here.ask("rev-parse", "--show-toplevel"))
    objects = (folder / here.ask("rev-parse", "--git-common-dir")).resolve() / "objects"
    (scratch / "objects").mkdir()
    own = {
        "GIT_INDEX_FILE": str(scratch / "index"),
        "GIT_OBJECT_DIRECTORY": str(scratch / "objects"),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": _quote(str(objects)),
    }
    repository = Git(top, kept | own, here.deadline)
    copy_index(repository)
    yield repository


def copy_index(repository: Git) -> None:
    """Copy the user's index to ours: it has what git knows of unchanged files, which saves time."""
    source = Path(repository.ask("rev-parse", "--absolute-git-dir")) / "index"
    target = Path(repository.environment["GIT_INDEX_FILE"])
    target.unlink(missing_ok=True)
    if source.exists():
        # with its time: git looks at the content of files that are as new as the index
        shutil.copy2(source, target)


def _quote(path: str) -> str:
    """Return an element of a list of folders: git(1), GIT_ALTERNATE_OBJECT_DIRECTORIES."""
    if not re.search(r'[:"\n]', path):
        return path
    return '"' + path.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") + '"'
