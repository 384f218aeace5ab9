"""Record the code of a run at submit: the commit, and what was not committed, as a patch."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from clusterrun.code_record.git import EMPTY_TREE, Git, GitFault, open_repository
from clusterrun.code_record.secret_files import is_secret_file, shows_secret, split_patch
from clusterrun.files.reading import read_text

# of an untracked file: data and outputs are no code
_CODE = tuple(
    ".py .sh .yaml .yml .json .toml .cfg .ini .txt .md .j2 .cu .cpp .h .lua .slurm".split()
)
_LARGEST_UNTRACKED = 200_000
_MOST_UNTRACKED = 500


@dataclass(frozen=True)
class CodeRecord:
    """The code of a run when it was submitted."""

    folder: str = ""
    """The top-level folder of the repository; empty without one."""
    commit: str = ""
    """The commit that was checked out; empty without one."""
    branch: str = ""
    """The branch; empty if HEAD was detached."""
    changed: tuple[str, ...] = ()
    """The tracked files that differed from the commit."""
    untracked: tuple[str, ...] = ()
    """The files of code that git did not track; ignored files are not listed."""
    withheld: tuple[str, ...] = ()
    """Files whose changes are not in the patch, because they show a secret."""
    fault: str = ""
    """Why nothing, or not everything, is recorded."""

    def in_words(self) -> str:
        """Return the record in one line: `1a2b3c4 on main, with 2 changed files`."""
        if not self.folder:
            return ""
        where = f"{self.commit[:10] or 'no commit'}{f' on {self.branch}' if self.branch else ''}"
        counts = [
            f"{len(files)} {kind} file{'s' if len(files) > 1 else ''}"
            for kind, files in (("changed", self.changed), ("untracked", self.untracked))
            if files
        ]
        return f"{where}, with {' and '.join(counts)}" if counts else where


def record_code(
    folder: Path, environment: Mapping[str, str], secrets: Collection[str] = ()
) -> tuple[CodeRecord, bytes]:
    """Return the record of the repository that a folder belongs to, and its patch.

    `secrets` are values that must not be in the patch. Nothing is raised: a run starts without a
    record, too, and `fault` says why.
    """
    try:
        with (
            tempfile.TemporaryDirectory(prefix="clusterrun-code-") as scratch,
            open_repository(folder, environment, Path(scratch)) as repository,
        ):
            return _record(repository, secrets)
    except (GitFault, OSError) as error:
        return CodeRecord(fault=str(error)), b""


def _record(repository: Git, secrets: Collection[str]) -> tuple[CodeRecord, bytes]:
    commit, branch = find_head(repository)
    base = CodeRecord(str(repository.folder), commit, branch)
    try:
        untracked = add_work_tree(repository)
        names = list_changes(repository, commit)
        kept = [name for name in names if not is_secret_file(name)]
        parts = list_parts(repository, commit, kept)
    except GitFault as error:
        return replace(base, fault=str(error)), b""
    shown = {name for name, part in parts.items() if shows_secret(part, secrets)}
    record = replace(
        base,
        changed=tuple(name for name in names if name not in untracked),
        untracked=tuple(sorted(untracked)),
        withheld=tuple(sorted({*names} - {*kept} | shown)),
    )
    return record, b"".join(part for name, part in parts.items() if name not in shown)


def find_head(repository: Git) -> tuple[str, str]:
    """Return the commit and the branch of HEAD, each empty if it does not exist."""

    def ask(*words: str) -> str:
        try:
            return repository.call(*words).decode().strip()
        except GitFault:
            return ""

    return ask("rev-parse", "-q", "--verify", "HEAD"), ask("symbolic-ref", "-q", "--short", "HEAD")


def add_work_tree(repository: Git) -> set[str]:
    """Add all code of the work tree to our index; return the untracked files. Raises GitFault."""
    repository.call("add", "--update", "--ignore-errors", ".")
    listed = repository.call("ls-files", "-z", "--others", "--exclude-standard")
    untracked = {*_choose_untracked(repository.folder, list_names(listed))}
    sent = b"".join(os.fsencode(name) + b"\0" for name in sorted(untracked))
    repository.call("update-index", "--add", "-z", "--stdin", sent=sent)
    return untracked


def _choose_untracked(top: Path, names: Sequence[str]) -> Iterator[str]:
    chosen = [name for name in names if name.endswith(_CODE) and not is_secret_file(name)]
    for name in chosen[:_MOST_UNTRACKED]:
        path = top / name
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= _LARGEST_UNTRACKED:
            yield name


def list_changes(repository: Git, commit: str) -> list[str]:
    """Return the files of our index that differ from a commit. Raises GitFault."""
    words = ("diff", "--cached", "--no-renames", "--name-only", "-z", commit or EMPTY_TREE)
    return list_names(repository.call(*words))


def list_parts(repository: Git, commit: str, names: Sequence[str]) -> dict[str, bytes]:
    """Return the patch from a commit to our index for each of some files. Raises GitFault."""
    if not names:
        return {}
    options = "--binary --full-index --no-color --no-ext-diff --no-textconv --no-renames".split()
    paths = [f":(top,literal){name}" for name in names]
    patch = repository.call("diff", "--cached", *options, commit or EMPTY_TREE, "--", *paths)
    parts = [*split_patch(patch)]
    if len(parts) != len(names):
        raise GitFault("git diff printed an unexpected patch")
    return dict(zip(names, parts, strict=True))


def list_names(listing: bytes) -> list[str]:
    """Return the paths that git printed with `-z`."""
    return [os.fsdecode(name) for name in listing.split(b"\0") if name]


def dump_record(record: CodeRecord) -> str:
    """Return a record as JSON."""
    return json.dumps(asdict(record), indent=1) + "\n"


def read_code_record(file: Path) -> CodeRecord | None:
    """Return the record in a file; None if it is missing or corrupt."""
    try:
        values = json.loads(read_text(file))
        known = {field.name: values[field.name] for field in fields(CodeRecord)}
        arguments: dict[str, Any] = {
            key: (*value,) if isinstance(value, list) else value for key, value in known.items()
        }
        return CodeRecord(**arguments)
    except (OSError, ValueError, LookupError, TypeError):
        return None
