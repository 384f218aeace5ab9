"""Call the script's fixed bash functions one by one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

FUNCTIONS = Path(__file__).parents[2] / "templates" / "functions"
LOAD = 'for file in "$0"/*.sh; do . "$file"; done'


def run_script(text: str, *options: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a whole script from a file in memory.

    From a pipe bash reads byte by byte, which takes 100 ms for a job script.
    """
    with os.fdopen(os.memfd_create("script"), "w+b") as file:
        file.write(text.encode())
        file.seek(0)
        return subprocess.run(
            ["bash", *options], stdin=file, capture_output=True, check=False, **more
        )


def bash(text: str, *words: object, **variables: object) -> subprocess.CompletedProcess[str]:
    """Run shell text after the functions, with arguments and environment variables."""
    environment = {
        "PATH": os.environ["PATH"],
        **{name: str(value) for name, value in variables.items()},
    }
    command = ["bash", "-c", f"{LOAD}\n{text}", FUNCTIONS, *map(str, words)]
    return subprocess.run(command, env=environment, text=True, capture_output=True, check=False)


def said(text: str, *words: object, **variables: object) -> str:
    """Return the output of shell text; it must succeed and print nothing on stderr."""
    done = bash(text, *words, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
