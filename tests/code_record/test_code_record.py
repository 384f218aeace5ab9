"""The record of a run's code, made by real git of real repositories."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from clusterrun.code_record import git
from clusterrun.code_record.comparing import RecordedCode, compare_code
from clusterrun.code_record.recording import (
    CodeRecord,
    dump_record,
    read_code_record,
    record_code,
)

TOKEN = "hf_" + "a1B2" * 8
IDENTITY = {
    f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
}


def run_git(folder: Path, *words: str) -> str:
    """Return what git prints."""
    done = subprocess.run(["git", *words], cwd=folder, env=os.environ | IDENTITY, check=True,
                          capture_output=True, text=True)  # fmt: skip
    return done.stdout.strip()


def repository(folder: Path, **files: str) -> Path:
    """Make a repository with one commit of some files; `__` is a dot in their names."""
    folder.mkdir(parents=True)
    run_git(folder, "init", "-q", "-b", "main")
    write(folder, **files)
    run_git(folder, "add", "-A")
    run_git(folder, "commit", "-q", "-m", "first", "--allow-empty")
    return folder


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", ".").replace("0", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def recorded(folder: Path, *secrets: str) -> RecordedCode:
    return RecordedCode("run", *record_code(folder, dict(os.environ), secrets))


def files_of(folder: Path) -> dict[str, bytes]:
    """Return all files with their content, also those of git."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["plain", "a b%s", "with:colon", 'quote"d', "new\nline", "ümläut"])
def test_the_recorded_code_can_be_restored(tmp_path: Path, name: str) -> None:
    """Commit and patch give the files as they were; nothing is written into the repository."""
    folder = repository(tmp_path / name, train__py="print(1)\n", src0lib__py="x = 1\n", gone__py="")
    write(folder, train__py="print(2)\n", src0new__py="y = 2\n")
    (folder / "gone.py").unlink()
    (folder / "bytes.py").write_bytes(b"# caf\xe9\n")
    before = files_of(folder)
    code = recorded(folder / "src")
    assert files_of(folder) == before
    assert code.record.folder == str(folder)
    assert code.record.changed == ("gone.py", "train.py")
    assert code.record.untracked == ("bytes.py", "src/new.py")
    assert code.record.in_words() == (
        f"{code.record.commit[:10]} on main, with 2 changed files and 2 untracked files"
    )
    copy = tmp_path / "copy"
    run_git(folder, "worktree", "add", "-q", str(copy), code.record.commit)
    subprocess.run(["git", "apply", "-"], cwd=copy, input=code.patch, check=True)
    here, there = (
        {path.relative_to(top): path.read_bytes() for path in top.rglob("*.py")}
        for top in (folder, copy)
    )
    assert here == there


def test_a_run_is_compared_with_the_files_now_and_with_another_run(tmp_path: Path) -> None:
    """Both show what was edited in between, also after the commit has moved on."""
    folder = repository(tmp_path / "r", train__py="step = 1\n", other__py="a = 1\n")
    write(folder, train__py="step = 2\n", new__py="n = 1\n")
    first = recorded(folder)
    assert compare_code(first, None, os.environ) == ""
    run_git(folder, "add", "-A")
    run_git(folder, "commit", "-q", "-m", "second")
    assert compare_code(first, None, os.environ) == ""
    write(folder, train__py="step = 3\n", new__py="n = 2\n")
    second = recorded(folder)
    for shown in (compare_code(first, None, os.environ), compare_code(first, second, os.environ)):
        assert [line for line in shown.splitlines() if line[0] in "+-" and line[1:3] not in ("--", "++")] == [
            "-n = 1", "+n = 2", "-step = 2", "+step = 3",
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".env", "ANY=value\n"),
        ("id_ed25519.txt", "PRIVATE\n"),
        ("deploy.pem.txt", f"{TOKEN}\n"),
        ("train.py", f"login('{TOKEN}')\n"),
        ("train.py", "api_key = 'c0ffee1234567890c0ffee'\n"),
        ("train.py", "print('a value that only the environment has')\n"),
        ("conf.yaml", "url: https://user:s3cretword@example.com/\n"),
    ],
)
def test_a_patch_shows_no_secret(tmp_path: Path, name: str, text: str) -> None:
    """A file that shows one is named, and is not in the patch; the rest is."""
    folder = repository(tmp_path / "r", train__py="print(1)\n", other__py="")
    write(folder, other__py="b = 2\n")
    (folder / name).write_text(text)
    code = recorded(folder, "a value that only the environment has")
    assert b"b = 2" in code.patch
    assert text.strip().encode() not in code.patch
    assert name in code.record.withheld or name not in code.record.untracked
    assert text.strip() not in dump_record(code.record)
    assert compare_code(code, None, os.environ) == "" or name == ".env"


@pytest.mark.parametrize(
    "text",
    [
        "token = tokenizer(text)\n",
        "pad_token = '<|endoftext|>'\n",
        "api_key = os.environ['KEY']\n",
        "seed: 12345678\n",
    ],
)
def test_ordinary_code_is_no_secret(tmp_path: Path, text: str) -> None:
    """A name alone does not keep a change out of the patch."""
    folder = repository(tmp_path / "r", train__py="")
    write(folder, train__py=text)
    code = recorded(folder)
    assert code.record.withheld == ()
    assert text.encode() in code.patch


def test_data_is_no_code(tmp_path: Path) -> None:
    """Ignored files, large files and files of other kinds are not in the patch."""
    folder = repository(tmp_path / "r", __gitignore="ignored.py\n")
    write(folder, ignored__py="i\n", data__bin="d\n", large__py="#" * 300_000, small__py="s\n")
    assert recorded(folder).record.untracked == ("small.py",)


def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    """All its code is in the patch."""
    run_git(tmp_path, "init", "-q", "-b", "main")
    write(tmp_path, train__py="print(1)\n")
    code = recorded(tmp_path)
    assert code.record.in_words() == "no commit on main, with 1 untracked file"
    assert b"+print(1)" in code.patch
    assert compare_code(code, None, os.environ) == ""


def test_a_worktree_a_detached_head_and_a_submodule(tmp_path: Path) -> None:
    """Each is recorded with its own commit."""
    folder = repository(tmp_path / "r", train__py="print(1)\n")
    inner = repository(tmp_path / "inner", lib__py="x\n")
    run_git(folder, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner), "lib")
    run_git(folder, "commit", "-q", "-m", "with a submodule")
    run_git(folder, "worktree", "add", "-q", "--detach", str(tmp_path / "w"))
    write(tmp_path / "w", train__py="print(2)\n")
    code = recorded(tmp_path / "w")
    assert (code.record.branch, code.record.changed) == ("", ("train.py",))
    assert recorded(folder / "lib").record.commit == run_git(inner, "rev-parse", "HEAD")


def test_what_git_refuses_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside a repository, without git, and if git is slow, there is a reason instead of a record."""
    assert recorded(tmp_path).record.fault.startswith("git rev-parse: not a git repository")
    folder = repository(tmp_path / "r", train__py="print(1)\n")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "git").write_text("#!/bin/bash\nwhile :; do :; done\n")
    (programs / "git").chmod(0o755)
    monkeypatch.setattr(git, "SECONDS", 0.0)
    assert (
        record_code(folder, {"PATH": str(programs)})[0].fault
        == "git rev-parse did not end within 0 s"
    )
    (programs / "git").unlink()
    assert record_code(folder, {"PATH": str(programs)})[0].fault == "git: No such file or directory"


def test_a_git_hook_s_variables_are_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """clusterrun may be called from a hook of another repository."""
    folder = repository(tmp_path / "r", train__py="print(1)\n")
    monkeypatch.setenv("GIT_DIR", str(repository(tmp_path / "other") / ".git"))
    assert recorded(folder).record.folder == str(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", "{not json", "\0", '{"folder": 3}'])
def test_a_corrupt_record_is_none(tmp_path: Path, text: str) -> None:
    """A reader does without it."""
    file = tmp_path / "code.json"
    file.write_text(text)
    assert read_code_record(file) is None
    record = CodeRecord("/r", "c" * 40, "main", ("a",), ("b",), (), "")
    file.write_text(dump_record(record))
    assert read_code_record(file) == record
