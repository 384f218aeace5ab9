"""Translation of an old sbatch script to a job spec, and the proof that both start the same."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clusterrun.errors import Problem, SpecError
from clusterrun.files.reading import read_text
from clusterrun.planning.bash_syntax import syntax_faults
from clusterrun.starter.from_sbatch.draft import Draft
from clusterrun.starter.from_sbatch.faults import shell_pieces
from clusterrun.starter.from_sbatch.refused import TranslationRefusedError
from clusterrun.starter.from_sbatch.translate import translate
from clusterrun.starter.oracle.proof import Proof, prove

MAX_SCRIPT_BYTES = 1 << 20
"""A larger file is not an sbatch script."""
_LONGEST_LINE = 1 << 15
_DEEPEST = 50
_MOST_PIECES = 200
_BASH = re.compile(r"#!.*\b(bash|sh)\b")


@dataclass(frozen=True)
class _Source:
    """An old script, and what surrounds it."""

    name: str
    text: str
    shell: Mapping[str, str]
    read_file: Callable[[str], str | None]
    arguments: tuple[str, ...]


def from_sbatch(
    path: str | Path,
    *,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    arguments: Sequence[str] = (),
    check: bool = True,
) -> Draft:
    """Read an old sbatch script, without running it, and return its job spec and its mistakes.

    `environment` is that of the shell that would submit it, `cwd` the folder, `arguments` what
    would follow its name in sbatch. With `check`, what the spec starts is compared with what the
    script starts. Raises SpecError if the script cannot be read, starts nothing, or cannot be
    translated without a difference; ClusterError if the parser (`pip install 'clusterrun[sbatch]'`)
    is not installed.
    """
    folder = cwd or Path.cwd()
    shell = {**(os.environ if environment is None else environment), "PWD": str(folder)}
    try:
        text = read_text(Path(path), max_bytes=MAX_SCRIPT_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(
            [Problem(str(path), "", "cannot be read", "pass the path of an sbatch script")]
        ) from error
    _check_size(str(path), text)
    _check_bash(str(path), text)
    source = _Source(
        str(path), text, shell, lambda name: _read_text(folder, name), tuple(arguments)
    )
    try:
        return _translate(source, check=check)
    except RecursionError as error:
        raise SpecError([Problem(str(path), "", "is nested too deeply to be read")]) from error


def _translate(source: _Source, *, check: bool) -> Draft:
    draft = translate(
        source.name,
        source.text,
        shell=source.shell,
        read_file=source.read_file,
        arguments=source.arguments,
    )
    _check_pieces(source.name, draft)
    if not check:
        draft.check = "not compared with the old script: --no-check"
        return draft
    proof = prove(
        source.text,
        draft,
        shell=source.shell,
        read_file=source.read_file,
        arguments=source.arguments,
    )
    problems = list(_problems_of(source.name, proof))
    if problems:
        raise TranslationRefusedError(problems, draft.mistakes)
    draft.check = _describe_check(proof)
    return draft


def _check_pieces(name: str, draft: Draft) -> None:
    """Raise SpecError for a shell line of the draft that bash cannot parse."""
    pieces = [*shell_pieces(draft)]
    if len(pieces) > _MOST_PIECES:
        what = f"{len(pieces)} of its lines would be kept as shell; at most {_MOST_PIECES} are"
        hint = "move them into a file, and source it in a copy of the script"
        raise TranslationRefusedError([Problem(name, "", what, hint)], draft.mistakes)
    faults = zip(pieces, syntax_faults([text for _, text in pieces]), strict=True)
    problems = [
        Problem(
            f"{name}:{line}", "", f"cannot be translated: {fault}", "simplify this line in a copy"
        )
        for (line, _), fault in faults
        if fault
    ]
    if problems:
        raise TranslationRefusedError(problems, draft.mistakes)


def _problems_of(name: str, proof: Proof) -> list[Problem]:
    hint = "change this in a copy of the script, or use --no-check to write the spec and edit it"
    return [
        Problem(
            f"{name}:{one.line}" if one.line else name,
            "check",
            f"the spec would not start the same as the script: {one.what}",
            hint,
        )
        for one in proof.differences
    ]


def _describe_check(proof: Proof) -> str:
    if proof.unchecked:
        return f"not compared with the old script: {proof.unchecked}"
    if proof.programs:
        return f"same; not known: what {', '.join(proof.programs)} does"
    return "same"


def _check_size(name: str, text: str) -> None:
    """Raise SpecError for lines and nesting that no script has, and that would take minutes."""
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > _LONGEST_LINE:
            what = f"has {len(line)} characters; at most {_LONGEST_LINE} are read"
            raise SpecError([Problem(f"{name}:{number}", "", what)])
    depth = 0
    for number, line in enumerate(text.splitlines(), 1):
        for letter in line:
            depth += (letter in "({") - (letter in ")}")
            if depth > _DEEPEST:
                raise SpecError(
                    [Problem(f"{name}:{number}", "", "is nested too deeply to be read")]
                )
        depth = max(depth, 0)


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


def _read_text(folder: Path, name: str) -> str | None:
    try:
        return read_text(folder / name, max_bytes=MAX_SCRIPT_BYTES)
    except (OSError, UnicodeDecodeError, ValueError):  # a NUL in the name is a ValueError
        return None
