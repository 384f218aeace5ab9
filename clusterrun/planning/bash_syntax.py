"""What bash reports about texts that it parses but does not run (`bash -n`)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO

# Reads texts that end with NUL, and prints what a bash of its own says of each, ended in the same
# way.
_EACH = 'while IFS= read -r -d "" text; do "$BASH" -n <<< "$text" 2>&1; printf "\\0"; done'
_SECONDS = 60


def script_fault(text: str) -> str:
    """Return bash's first complaint about a script; empty if it has none, or without bash."""
    return _first_line(_run_bash(["-n"], text))


def syntax_faults(texts: Sequence[str]) -> list[str]:
    """Return bash's first complaint about each text, read alone; empty if none, or without bash."""
    output = _run_bash(["-c", _EACH], "".join(f"{text}\0" for text in texts)) if texts else ""
    found = [_first_line(one) for one in output.split("\0")]
    return [found[number] if number < len(found) else "" for number in range(len(texts))]


def _run_bash(words: list[str], text: str) -> str:
    import shutil  # noqa: PLC0415 - with subprocess 10 ms of a start, for what bash reads alone
    import subprocess  # noqa: PLC0415

    bash = shutil.which("bash")
    if bash is None:
        return ""
    with _file_in_memory() as file:  # from a pipe bash reads byte by byte: 100 ms for a job script
        file.write(text.encode(errors="surrogateescape"))
        file.seek(0)
        done = subprocess.run(
            [bash, *words],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_SECONDS,
            check=False,
            env={"LC_ALL": "C"},
        )
    return done.stdout.decode(errors="replace")


def _file_in_memory() -> IO[bytes]:
    """Open a file in memory, because a full /tmp must not prevent validation.

    Without memfd (macOS), it is a file in /tmp.
    """
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("clusterrun"), "w+b")
    import tempfile  # noqa: PLC0415 - only without memfd

    return tempfile.TemporaryFile()


def _first_line(output: str) -> str:
    """Return whether a line is a complaint.

    An open here-document, which would swallow the rest of the script, is only a warning, and
    counts, too.
    """
    return output.strip().partition("\n")[0].split(": ", 1)[-1]
