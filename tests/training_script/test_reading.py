"""Reading a training script returns a value at once, whatever is at its path."""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from clusterrun.errors import SpecError
from clusterrun.planning.preparation import Request, prepare
from clusterrun.starter.first_spec import SpecRequest, new_spec
from clusterrun.starter.script import list_training_scripts
from clusterrun.training_script import TrainingScript, read_script
from clusterrun.training_script.call_warnings import call_warnings
from clusterrun.training_script.reading import MOST_BYTES, read_script_text, script_file

SCRIPT = "import accelerate\n"


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))  # a socket's path has at most 107 bytes


# Files that are not scripts; the last ones contain text.
NO_SCRIPTS = {
    "absent": Path.absolute,
    "a folder": lambda path: path.mkdir(),
    "a FIFO": make_fifo,
    "a socket": make_socket,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a terminal's device": lambda path: path.symlink_to("/dev/tty"),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "endless in /proc": lambda path: path.symlink_to("/proc/self/mem"),
    "too large": lambda path: path.write_bytes(b"#" * (MOST_BYTES + 1)),
    "Latin-1": lambda path: path.write_bytes(b"import accelerate  # \xe9\n"),
    "UTF-16": lambda path: path.write_text("import accelerate", encoding="utf-16"),
    "no Python": lambda path: path.write_text("def broken(  # import accelerate"),
    "a NUL": lambda path: path.write_text("\x00"),
    "deep": lambda path: path.write_text("x = " + "(" * 5000),
    "a deep attribute": lambda path: path.write_text("x = a" + ".b" * 100_000),
    "deep operators": lambda path: path.write_text("x = " + "-" * 100_000 + "1"),
    "a long number": lambda path: path.write_text(f"x = {'9' * 5000}"),
}
WITH_TEXT = ("no Python", "a NUL", "deep", "a deep attribute", "deep operators", "a long number")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the files; no test takes longer than a few seconds."""
    monkeypatch.chdir(tmp_path)
    started = time.monotonic()
    yield tmp_path
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("kind", NO_SCRIPTS)
def test_a_file_that_is_not_a_script_gives_a_value(folder, kind):
    """No exception, and no waiting for a FIFO's writer or for a file's end."""
    NO_SCRIPTS[kind](folder / "train.py")
    assert read_script(folder / "train.py") is None
    assert (read_script_text(folder / "train.py") is not None) == (kind in WITH_TEXT)


@pytest.mark.parametrize("kind", NO_SCRIPTS)
def test_commands_ignore_files_that_are_not_scripts(folder, kind):
    """`prepare` then has no script; `init` refuses such a file, and finds the scripts next to it."""
    NO_SCRIPTS[kind](folder / "train.py")
    Path("other.py").write_text(SCRIPT)
    Path("job.yaml").write_text("script: train.py\nargs: {batch_size: 4}\n")
    assert prepare(Request("job.yaml", environment={}, own_python=False)).script is None
    expected = ["other.py", "train.py"] if kind == "no Python" else ["other.py"]
    assert list_training_scripts(folder) == expected
    request = SpecRequest("train.py", environment={})
    if kind in WITH_TEXT:
        assert "script: train.py" in new_spec(request, cwd=folder, folder=folder)
    else:
        with pytest.raises(SpecError, match=r"^--script: cannot be read: train\.py"):
            new_spec(request, cwd=folder, folder=folder)


@pytest.mark.parametrize("name", ["train\0.py", "x" * 5000, "a/" * 3000])
def test_an_impossible_path_is_absent(folder, name):
    assert read_script(folder / name) is None


# Unusual Python that must still be read.
ODD = [
    "@" + ".".join("a" * 1100) + "\nclass A:\n    x: int = 1\n",
    f"add('--seed', default=0x{'f' * 5000})\nFullyShardedDataParallelPlugin(auto_wrap_policy=0x{'f' * 5000})\n",
    "\ufeffimport accelerate\r\nx = 1\r\n",
    "pattern = '\\d'\nx = 1 is 1\n",
    "AutoModel.from_pretrained([])\nAutoModel.from_pretrained({1: []})\n",
    "f(**{**a})\nf(*a, **a)\nfrom . import a\nfrom .. import *\nimport a.b.c as d\n",
    "",
]


@pytest.mark.parametrize("text", ODD)
def test_odd_python_is_read(folder, text):
    """Every fact is available, and no warning of Python is printed."""
    (folder / "train.py").write_bytes(text.encode())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        script = read_script(folder / "train.py")
    assert script is not None
    facts = [name for name in vars(TrainingScript) if not name.startswith("_")]
    assert [fact for fact in facts if getattr(script, fact) is None] == []
    assert script.arguments({}) == script.defaults()
    assert call_warnings(script, zero3=True, optimizer_in_json=False) == []


def test_a_large_script_is_analysed_in_seconds(folder):
    """Each fact takes one walk, however many calls there are."""
    lines = [f"n{n} = 'm'\nAutoModel.from_pretrained(n{n})" for n in range(5_000)]
    (folder / "train.py").write_text("\n".join(lines))
    Path("job.yaml").write_text("script: train.py\n")
    assert prepare(Request("job.yaml", environment={}, own_python=False)).script is not None
    done = subprocess.run([sys.executable, "-m", "clusterrun", "estimate", "job.yaml"], capture_output=True, text=True, check=False)  # fmt: skip
    assert done.stderr.startswith("train.py:2: no config.json of m on this machine")


def test_a_script_is_a_value(folder):
    """It is immutable."""
    (folder / "train.py").write_text(SCRIPT)
    script = read_script(folder / "train.py", "folder/train.py")
    assert script is not None
    assert (script.name, script.file_name, script.text) == ("folder/train.py", "train.py", SCRIPT)
    with pytest.raises(dataclasses.FrozenInstanceError):
        script.name = "other"
    assert script.nodes is script.nodes


@pytest.mark.parametrize(("text", "trainer", "library"), [
    ("from transformers import TrainingArguments", True, False),
    ("from trl import SFTConfig as Config", True, False),
    ("def main():\n    from transformers import HfArgumentParser", True, False),
    ("# TrainingArguments of clusterrun.training", False, False),
    ("import clusterrun.training", False, True),
    ("import clusterrun.training.loop as loop", False, True),
    ("from clusterrun.training import TrainingRun", False, True),
    ("from clusterrun import training", False, True),
    ("from clusterrun.training.trainer import resumable\nfrom transformers import TrainingArguments", True, True),
    ("from clusterrun import submit", False, False),
    ("from clusterrun.training_script import read_script", False, False),
    ("from .training import clusterrun", False, False),
])  # fmt: skip
def test_a_training_script_is_recognised_by_its_imports(folder, text, trainer, library):
    """Imports count anywhere in the script; a comment imports nothing."""
    (folder / "train.py").write_text(text)
    script = read_script(folder / "train.py")
    assert script is not None
    assert (script.uses_trainer, script.uses_training_library) == (trainer, library)


def test_the_file_of_a_script_or_a_module():
    """A module is in the working folder, as for `python -m`."""
    assert script_file("a/train.py", None) == "a/train.py"
    assert script_file(None, "recipes.train") == "recipes/train.py"
    assert script_file(None, None) == ""


def test_a_module_is_read_as_a_script_is(folder):
    """Its old calls and its batch size are reported."""
    (folder / "recipes").mkdir()
    Path("recipes/train.py").write_text("add('--batch_size', default=8)\nAccelerator(fp16=True)\n")
    Path("job.yaml").write_text("module: recipes.train\n")
    prepared = prepare(Request("job.yaml", environment={}, own_python=False))
    assert prepared.batch.micro == 8
    assert any(
        note.startswith("recipes/train.py:2: Accelerator(fp16=...)") for note in prepared.notes
    )
