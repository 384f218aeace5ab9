"""Running of rewritten bash text, and the events that its recorders report."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from clusterrun.planning.template_folders import template_folder
from clusterrun.starter.oracle.rewriting import SEARCH_PATH, rewrite

WALL_S = 5.0
"""The longest time for one shell."""
_CPU_S = 2
_MEMORY_BYTES = 1 << 28
_EVENT_BYTES = 4 << 20
# bash sets them for itself
_OF_BASH = frozenset(
    "_ OLDPWD PWD SHLVL BASH_ENV ENV BASHOPTS SHELLOPTS POSIXLY_CORRECT BASH_COMPAT IFS".split()
)
_REFUSED = re.compile(
    r"line (\d+): (.*(?:restricted|readonly variable|syntax error|unbound variable).*)"
)


class CannotRecordError(Exception):
    """The script does something that cannot be recorded; the message says what, for a person."""


@dataclass(frozen=True)
class Event:
    """What a shell was about to do."""

    kind: str
    """start, srun, bash, module, activate, source or file."""
    line: int
    folder: str
    words: tuple[str, ...]
    environment: Mapping[str, str]
    functions: str
    """The texts of the exported functions."""


def record(
    text: str, environment: Mapping[str, str], *, node: int, folder: str, files_exist: bool = False
) -> list[Event]:
    """Return the events of a script; nothing that it names is executed.

    Raises CannotRecordError if bash refuses a part of it, or if it takes too long.
    """
    bash = shutil.which("bash")
    if bash is None:
        raise CannotRecordError("bash not found")
    with tempfile.TemporaryDirectory(prefix="clusterrun-check.") as name:
        place = Path(name)
        head = (
            f"__node={node} PWD={_quoted(folder)}\nexport PWD\nexec 7>>{name}/events 9>/dev/null\n"
        )
        recorders = (template_folder() / "oracle" / "recorders.sh").read_text()
        (place / "recorders").write_text(head + recorders)
        (place / "script").write_text(rewrite(text, files_exist=files_exist))
        (place / "events").touch()
        words = [bash, "--norc", "--noprofile", "-r", f"{name}/script"]
        errors = _run(words, environment, place, folder)
        refused = _REFUSED.search(errors)
        if refused:
            raise CannotRecordError(f"line {refused[1]}: {refused[2]}")
        ready, _, events = (place / "events").read_text(errors="replace").partition("\x1e")
        if ready != "ready":
            raise CannotRecordError("bash did not load the recorders")
        return _read_events(events)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _run(command: list[str], environment: Mapping[str, str], place: Path, folder: str) -> str:
    """Run a shell within its bounds, end all that it started, and return its error output."""
    variables = {name: value for name, value in environment.items() if name not in _OF_BASH}
    search = variables.pop("PATH", "/usr/bin:/bin")
    variables |= {SEARCH_PATH: search, "PATH": f"{place}/none", "BASH_ENV": f"{place}/recorders"}
    variables["LC_ALL"] = "C.UTF-8"
    work = Path(folder) if Path(folder).is_dir() else place
    with (place / "errors").open("wb") as errors:
        shell = subprocess.Popen(
            command, env=variables, cwd=work, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=errors, start_new_session=True,
            preexec_fn=_limit,  # noqa: PLW1509 - sets limits only; no thread runs here
        )  # fmt: skip
        try:
            shell.wait(WALL_S)
        except subprocess.TimeoutExpired:
            raise CannotRecordError(f"it runs longer than {WALL_S:.0f} s") from None
        finally:
            # ends what the shell has left behind, too
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
    printed = (place / "errors").read_text(errors="replace")[:100_000]
    if shell.returncode < 0 or "cannot allocate" in printed:
        raise CannotRecordError("it uses too much time or memory")
    return printed


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_EVENT_BYTES, _EVENT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _read_events(text: str) -> list[Event]:
    return [_read_event(one.lstrip("\n")) for one in text.split("\x1e") if one.strip()]


def _read_event(text: str) -> Event:
    kind, line, folder, count, *rest = text.split("\x1f")
    words, others = rest[: int(count)], rest[int(count) :]
    variables = [one for one in others if not one.startswith("\x1d")]
    functions = [one[1:] for one in others if one.startswith("\x1d")]
    found = dict(one.partition("=")[::2] for one in variables)
    if SEARCH_PATH in found:
        found["PATH"] = found.pop(SEARCH_PATH)
    kept = {name: value for name, value in found.items() if name not in _OF_BASH}
    kept.pop("LC_ALL", None)
    return Event(
        kind, int(line) if line.isdigit() else 0, folder, tuple(words), kept, "\n".join(functions)
    )
