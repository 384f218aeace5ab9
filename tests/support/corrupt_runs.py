"""Corrupt one file of a run, run a command, and report what a user would call an internal error.

The runs are the stored ones of 0.1.0 and a healthy one. Commands run in this process, with a PATH
whose Slurm knows no job.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import re
import shutil
import signal
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from clusterrun import cli
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record

STORED = Path(__file__).parents[1] / "data" / "run-folder-0.1.0"
CORRUPTED, HEALTHY = "pair-20261130-161728-501a", "tiny-20261130-160428-7388"
HOSTILE_TEXT = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"
MAX_SECONDS = 20

MUTATIONS: Mapping[str, Callable[[Path], object]] = {
    "missing": lambda _: None,
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(b"job_id="),
    "random bytes": lambda path: path.write_bytes(random.Random(7).randbytes(500)),
    "control characters": lambda path: path.write_text(
        "".join(f"{key}={HOSTILE_TEXT}{number}\n" for number, key in enumerate(_KEYS))
    ),
    "-1": lambda path: path.write_text("".join(f"{key}=-1\n" for key in _KEYS)),
    "Arabic digits": lambda path: path.write_text("".join(f"{key}=\u0661\n" for key in _KEYS)),
    "5,000 digits": lambda path: path.write_text("".join(f"{key}={'9' * 5000}\n" for key in _KEYS)),
    "25 digits": lambda path: path.write_text("".join(f"{key}={'9' * 25}\n" for key in _KEYS)),
    "infinities": lambda path: path.write_text(
        "".join(f"{key}={('inf', 'nan', '-inf', '1e308')[number % 4]}\n"
                for number, key in enumerate(_KEYS))
    ),
    "nested JSON": lambda path: path.write_text("[" * 100_000),
    "a folder": lambda path: path.mkdir(),
    "a link to a file that others cannot read": lambda path: path.symlink_to("/etc/shadow"),
    "a link loop": lambda path: path.symlink_to(path.name),
    "a FIFO": os.mkfifo,
    "a device without room": lambda path: path.symlink_to("/dev/full"),
    "a device without end": lambda path: path.symlink_to("/dev/zero"),
    "a sparse file of 200 GB": lambda path: (path.touch(), os.truncate(path, 200 << 30)),
}  # fmt: skip
_KEYS = (
    "job_id", "restart", "nodes", "cluster", "by", "began", "cause", "next", "exit_code", "reason",
    "step", "ended", "name", "outcome", "loss", "total", "rate", "attempt", "folder", "array",
    "format", "number", "local", "crashes", "until", "check", "asked", "comment",
)  # fmt: skip

COMMANDS = (
    ("list",),
    ("list", "--json"),
    ("status",),
    ("status", CORRUPTED),
    ("status", CORRUPTED, "--json"),
    ("why", CORRUPTED),
    ("why", CORRUPTED, "--json"),
    ("report", CORRUPTED),
    ("checkpoints", CORRUPTED),
    ("checkpoints", CORRUPTED, "--verify"),
    ("logs", CORRUPTED),
    ("clean", "--dry-run"),
    ("stop", CORRUPTED),
    ("requeue", CORRUPTED),
    ("resume", CORRUPTED),
    ("cancel", CORRUPTED),
    ("wait", CORRUPTED, "--timeout", "1"),
)
_EXPECTED_CODES = (0, 1, 2, 124, 130)
_SHOWS_RAW_OUTPUT = ("logs",)
_OBEYED = re.compile("[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e]")


@dataclass(frozen=True)
class Case:
    """One file of a run, its replacement, and the command to run."""

    file: str
    mutation: str
    command: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.file} is {self.mutation}: clusterrun {' '.join(self.command)}"


@dataclass
class Site:
    """A home with two runs, one of which is corrupted and restored."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Site:
        """Copy the stored runs below a new home, with a Slurm on PATH that knows no job."""
        site = cls(folder)
        programs = folder / "bin"
        programs.mkdir()
        for name in ("squeue", "sacct", "scontrol", "scancel", "sinfo", "sbatch"):
            program = programs / name
            program.write_text("#!/bin/sh\nexit 0\n")
            program.chmod(0o755)
        for run_id in (CORRUPTED, HEALTHY):
            site.restore(run_id)
        return site

    @property
    def environment(self) -> dict[str, str]:
        """The user's variables."""
        home = self.folder / "home"
        return {
            "HOME": str(home),
            "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin",
            "LANG": "C.UTF-8",
        }

    def restore(self, run_id: str = CORRUPTED) -> None:
        """Copy a stored run and its entry in the index again."""
        paths = RunPaths(self.folder / "runs" / run_id)
        shutil.rmtree(paths.folder, ignore_errors=True)
        shutil.copytree(STORED / run_id, paths.folder)
        entry = Index(self.environment).runs / run_id
        _remove(entry)
        Index(self.environment).add(RunRef(run_id, paths, read_record(paths.job)["job_id"]))

    def files(self) -> list[str]:
        """List the files of the corrupted run, and its entry in the index."""
        run = self.folder / "runs" / CORRUPTED
        entry = Index(self.environment).runs / CORRUPTED
        return sorted(
            str(path.relative_to(self.folder))
            for path in (*run.rglob("*"), entry)
            if path.is_file()
        )


def all_cases(site: Site) -> Iterator[Case]:
    """Yield every file with every mutation and every command."""
    for file in site.files():
        for mutation in MUTATIONS:
            for command in COMMANDS:
                yield Case(file, mutation, command)


def find_fault(site: Site, case: Case) -> str:
    """Run a case and describe what is wrong with the result; empty if nothing is."""
    path = site.folder / case.file
    _remove(path)
    MUTATIONS[case.mutation](path)
    try:
        code, shown = _type(site, case.command)
    finally:
        _remove(path)
        site.restore()
    if code == "a traceback" and case.command[0] in _SHOWS_RAW_OUTPUT and "sparse" in case.mutation:
        return ""  # it prints all of it, as it should
    if code not in _EXPECTED_CODES:
        return f"exit code {code}: {shown[-2000:]}"
    if case.command[0] not in _SHOWS_RAW_OUTPUT and (match := _OBEYED.search(shown)):
        return f"prints {match[0]!r}: {shown[:1000]!r}"
    if case.command[0] == "list" and HEALTHY not in shown:
        return f"hides the healthy run: {shown[:1000]}"
    return ""


def _type(site: Site, words: tuple[str, ...]) -> tuple[object, str]:
    """Run a command here; return its exit code, or the exception that ended it, and its output."""
    output = io.StringIO()
    before, where = dict(os.environ), Path.cwd()
    os.environ.clear()
    os.environ.update(site.environment)
    os.chdir(site.folder)
    signal.signal(signal.SIGALRM, _too_late)
    signal.alarm(MAX_SECONDS)
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            return cli.main([*words]), output.getvalue()
    except SystemExit as error:
        return error.code, output.getvalue()
    except BaseException:  # noqa: BLE001 - nothing may pass the one boundary of the command line
        return "a traceback", traceback.format_exc()
    finally:
        signal.alarm(0)
        os.chdir(where)
        os.environ.clear()
        os.environ.update(before)


class _HangError(BaseException):
    """A command that exceeds the time limit."""


def _too_late(*_: object) -> None:
    raise _HangError


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
