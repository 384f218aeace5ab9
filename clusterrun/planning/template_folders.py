"""The folders with the user's templates: those of --templates, and `templates` next to the spec.

A template can put any command into the job script. One that somebody else can write would run with
the rights of whoever submits.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clusterrun.errors import Problem
from clusterrun.files.reading import is_folder

_ROOT = 0


def template_folder() -> Path:
    """Find our templates: inside the package in a wheel, next to it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "templates"
    return inside if inside.is_dir() else package.parent / "templates"


@dataclass(frozen=True)
class TemplateFolders:
    """The folders that are searched for templates, and what the user has to know about them."""

    folders: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


def find_template_folders(source: str, named: Sequence[str]) -> TemplateFolders:
    """Find the folders for the spec `source`; `named` are those of --templates, searched first.

    The folder next to the spec counts only if it replaces one of our templates. It is refused if
    another user can write to it and it is not named by --templates.
    """
    next_to_spec = Path(source).absolute().parent / "templates"
    folders = tuple(map(Path, named))
    replaced = sorted(
        file.name
        for file in template_folder().glob("*.j2")
        if os.path.lexists(next_to_spec / file.name)
    )
    if not replaced or not is_folder(next_to_spec):
        return TemplateFolders(folders)
    if next_to_spec in {folder.absolute() for folder in folders}:
        return TemplateFolders(folders)
    hint = f"if you trust them, pass --templates {next_to_spec}; otherwise move the spec"
    problems = tuple(
        Problem(str(path), "", f"template that {who} can change", hint)
        for path, who in _foreign_writers(next_to_spec)
    )
    note = f"templates of {next_to_spec} are used: {', '.join(replaced)}"
    return TemplateFolders((*folders, next_to_spec), () if problems else (note,), problems)


def _foreign_writers(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the paths of a folder of templates that another user can change, and who can."""
    for path in (folder, *sorted(folder.rglob("*.j2"))):
        stat_result = path.stat()
        if stat_result.st_uid not in (os.getuid(), _ROOT):
            yield path, f"user {stat_result.st_uid}"
        elif stat_result.st_mode & stat.S_IWOTH and not (
            path == folder and stat_result.st_mode & stat.S_ISVTX
        ):
            yield path, "everybody"
