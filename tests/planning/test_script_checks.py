"""What `validate` reports about the training script: syntax errors, arguments, and the time limit."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from clusterrun.errors import SpecError
from clusterrun.planning.preparation import Request
from clusterrun.planning.validation import validate

SCRIPT = """import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int)
parser.add_argument("--block-size", type=int)
parser.add_argument("--data", required=True)
args = parser.parse_args()
"""
HERE = sys.version_info[:2]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(SCRIPT)
    return tmp_path


def checked(text: str):
    Path("job.yaml").write_text(f"script: train.py\n{text}\n")
    return validate(Request("job.yaml", environment={}, own_python=False))


def refused(text: str) -> str:
    with pytest.raises(SpecError) as raised:
        checked(text)
    return str(raised.value)


def test_unknown_and_missing_arguments():
    """An unknown or a missing required argument is reported before submission."""
    assert refused("args: {epohcs: 3, block_size: 4, lr: 1}") == (
        "job.yaml:2: args: --data, which train.py requires, is missing\n"
        "  hint: add args: {data: ...}\n"
        "job.yaml:2: args.block_size: train.py has no argument --block_size\n"
        "  hint: did you mean block-size?\n"
        "job.yaml:2: args.epohcs: train.py has no argument --epohcs\n"
        "  hint: did you mean epochs?\n"
        "job.yaml:2: args.lr: train.py has no argument --lr\n"
        "  hint: use one of --block-size, --data, --epochs"
    )


def test_values_that_argparse_refuses():
    """A value with a placeholder or a variable is only known to the job."""
    assert refused("args: {data: x, epochs: three, block-size: 1.5}") == (
        "job.yaml:2: args.block-size: '1.5' is refused by train.py: must be a whole number\n"
        "job.yaml:2: args.epochs: 'three' is refused by train.py: must be a whole number"
    )
    checked("args: {data: x, epochs: '{attempt}', block-size: 3}")


def test_a_list_of_words():
    """Options in a list are checked, too, each at its place, up to `--`."""
    assert refused("args: [--data=x, --epohcs, -3]") == (
        "job.yaml:2: args[1]: train.py has no argument --epohcs\n  hint: did you mean epochs?"
    )
    checked("args: [--data, x, --epo, 3, --, --lr]")


def test_the_arguments_to_resume_with():
    """The option that passes a checkpoint must be one that the script accepts."""
    assert refused("args: {data: x}\ncheckpoint: {path: out/*}") == (
        "job.yaml:3: checkpoint.resume: train.py has no argument --resume_from_checkpoint\n"
        "  hint: use one of --block-size, --data, --epochs"
    )
    checked("args: {data: x}\ncheckpoint: {path: out/*, resume: '--data={checkpoint}'}")


def test_omitted_arguments_are_not_passed():
    """false and null leave an argument out, so they cannot be unknown."""
    checked("args: {data: x, lr: false, gamma: null}")


def venv(version: tuple[int, int]) -> str:
    Path("venv/bin").mkdir(parents=True, exist_ok=True)
    Path("venv/bin/activate").touch()
    Path("venv/pyvenv.cfg").write_text(f"version = {version[0]}.{version[1]}.2\n")
    return "environment: {venv: venv}"


def test_a_syntax_error():
    """A syntax error has the script's file and line, if the run's Python is not newer than ours."""
    Path("train.py").write_text("x = 1\ndef f(:\n")
    assert refused(venv(HERE)).startswith("train.py:2: syntax error: ")
    checked(venv((HERE[0], HERE[1] + 1)))
    checked("environment: {modules: [python]}")


@pytest.mark.parametrize(
    ("time", "note"),
    [
        ("12:00", "the time limit is 12 min; for hours, write 12:00:00"),
        ("1:30", "the time limit is 1 min 30 s; for hours, write 1:30:00"),
        ("24", "the time limit is 24 min; for hours, write 24:00:00"),
        ("30", ""),
        ("12:00:00", ""),
        ("1-12", ""),
        ("UNLIMITED", ""),
    ],
)
def test_how_a_time_limit_is_read(time, note):
    """A number of minutes that could be meant as hours is shown as sbatch reads it."""
    text = f"args: {{data: x}}\nslurm: {{time: {time}}}\naccelerate: {{use_cpu: true}}"
    notes = checked(text).notes
    assert [*notes] == ([f"job.yaml:3: slurm.time: {note}"] if note else [])
