"""Translation of an old sbatch script to a job spec."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from clusterrun.errors import Problem, SpecError
from clusterrun.files.reading import read_text
from clusterrun.starter.from_sbatch.draft import Draft
from clusterrun.starter.from_sbatch.translate import translate

MAX_SCRIPT_BYTES = 1 << 20
"""A larger file is not an sbatch script."""
_BASH = re.compile(r"#!.*\b(bash|sh)\b")


def from_sbatch(
    path: str | Path, *, environment: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Draft:
    """Read an old sbatch script, without running it, and return its job spec and its mistakes.

    `environment` is that of the shell that would submit it, `cwd` the folder. Raises SpecError if
    it cannot be read or starts nothing, ClusterError if the parser (`pip install
    'clusterrun[sbatch]'`) is not installed.
    """
    folder = cwd or Path.cwd()
    shell = {**(os.environ if environment is None else environment), "PWD": str(folder)}
    try:
        text = read_text(Path(path), max_bytes=MAX_SCRIPT_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(
            [Problem(str(path), "", "cannot be read", "pass the path of an sbatch script")]
        ) from error
    _check_bash(str(path), text)
    return translate(str(path), text, shell=shell, read_file=lambda name: _read_text(folder / name))


def _check_bash(name: str, text: str) -> None:
    """Raise SpecError for a script that bash cannot parse, which never ran under sbatch."""
    if "\r\n" in text:
        hint = f"convert it with sed -i 's/\\r$//' {name}"
        raise SpecError([Problem(name, "", "has DOS line breaks, which sbatch refuses", hint)])
    first = text.partition("\n")[0]
    if not _BASH.match(first):
        hint = "use a script for bash or sh, starting with #!/bin/bash"
        raise SpecError([Problem(f"{name}:1", "", f"starts with {first[:60]!r}", hint)])
    bash = shutil.which("bash")
    if bash is None:
        return
    done = subprocess.run(
        [bash, "-n"],
        input=text,
        text=True,
        capture_output=True,
        timeout=10,
        check=False,
        env={"LC_ALL": "C"},
    )
    if done.returncode:
        line, _, what = done.stderr.splitlines()[0].partition(": line ")[2].partition(": ")
        raise SpecError([Problem(f"{name}:{line}", "", f"bash syntax error: {what}")])


def _read_text(path: Path) -> str | None:
    try:
        return read_text(path, max_bytes=MAX_SCRIPT_BYTES)
    except (OSError, UnicodeDecodeError):
        return None
