"""Syntax errors that bash finds without running a text (`bash -n`)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO

# Reads texts that end with NUL, and prints for each what a separate bash reports, followed by NUL.
_EACH = 'while IFS= read -r -d "" text; do "$BASH" -n <<< "$text" 2>&1; printf "\\0"; done'
_SECONDS = 60


def script_fault(text: str) -> str:
    """Return the first error that bash reports for a script; empty if none, or without bash."""
    return _first_line(_run_bash(["-n"], text))


def syntax_faults(texts: Sequence[str]) -> list[str]:
    """Return the first error that bash reports for each text by itself; empty without errors."""
    output = _run_bash(["-c", _EACH], "".join(f"{text}\0" for text in texts)) if texts else ""
    faults = [_first_line(one) for one in output.split("\0")]
    return [faults[number] if number < len(faults) else "" for number in range(len(texts))]


def _run_bash(words: list[str], text: str) -> str:
    import shutil  # noqa: PLC0415 - 10 ms of a start together with subprocess, and rarely needed
    import subprocess  # noqa: PLC0415

    bash = shutil.which("bash")
    if bash is None:
        return ""
    with _file_in_memory() as file:  # bash reads a pipe byte by byte: 100 ms for a job script
        file.write(text.encode(errors="surrogateescape"))
        file.seek(0)
        result = subprocess.run(
            [bash, *words],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_SECONDS,
            check=False,
            env={"LC_ALL": "C"},
        )
    return result.stdout.decode(errors="replace")


def _file_in_memory() -> IO[bytes]:
    """Open a file in memory, because a full /tmp must not prevent validation.

    Without memfd (macOS), open a file in /tmp.
    """
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("clusterrun"), "w+b")
    import tempfile  # noqa: PLC0415 - only without memfd

    return tempfile.TemporaryFile()


def _first_line(output: str) -> str:
    """Return the first line of bash's output without its prefix.

    This includes the warning for an open here-document, which would swallow the rest of the script.
    """
    return output.strip().partition("\n")[0].split(": ", 1)[-1]
