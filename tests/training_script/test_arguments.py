"""A script's arguments: their names, their defaults, and which are required."""

from __future__ import annotations

import pytest

from clusterrun.training_script import TrainingScript
from clusterrun.training_script.arguments import whole_number
from clusterrun.training_script.reading import parse_script

TRAINER = "from transformers import TrainingArguments\n"


def parsed(text: str) -> TrainingScript:
    script = parse_script("train.py", text)
    assert script is not None
    return script


def test_arguments_have_the_defaults_of_the_script():
    """Defaults of argparse, under each flag, and of dataclasses are read; others are not guessed."""
    text = """
from dataclasses import dataclass, field
parser.add_argument("--block-size", "--block_len", type=int, default=128)
add("--name", default="tiny")
add("--file", default=Path("x"))
add("--none", default=None)
add("--flag", action="store_true", default=False)
add("positional", default=3)
@dataclass(frozen=True)
class Arguments(TrainingArguments):
    n_layer: int = 4
    rate: float = field(default=2e-3, metadata={})
    files: list = field(default_factory=list)
class Other:
    n_layer: int = 9
"""
    assert parsed(text).defaults() == {
        "block_size": "128", "block_len": "128", "name": "tiny", "flag": False, "n_layer": "4", "rate": "0.002"
    }  # fmt: skip


@pytest.mark.parametrize("decorator", [
    "dataclass", "dataclass()", "dataclasses.dataclass(frozen=True)", "pydantic_dataclass",
])  # fmt: skip
def test_a_dataclass_is_known_by_its_decorator(decorator):
    """The way it is imported does not matter."""
    assert parsed(f"@{decorator}\nclass A:\n    rate: float = 0.5\n").defaults() == {"rate": "0.5"}
    assert parsed("@other(dataclass)\nclass A:\n    rate: float = 0.5\n").defaults() == {}


def test_given_arguments_override_defaults():
    """Values are texts; null and false leave an argument out, and a bare flag is True."""
    script = parsed(
        "add('--rate', default=1)\nadd('-n', '--number', default=2)\nadd('--zero', default=3)\n"
    )
    passed = {"rate": None, "n": "5", "zero": "0", "flag": True, "other": False}
    assert script.arguments(passed) == {"rate": "1", "n": "5", "zero": "0", "flag": True}


def test_required_arguments_are_named_as_typed():
    """They are named by their first long flag."""
    text = """
p.add_argument("--data-dir", "--data", required=True)
p.add_argument("-s", required=True)
p.add_argument("--maybe", required=maybe)
p.add_argument("positional", required=True)
p.other("--other", required=True)
"""
    assert parsed(text).required_arguments == ("data-dir",)


@pytest.mark.parametrize(("text", "size"), [
    ("add('--batch_size', default=8)", 8),
    ("add('--batch_size', default=64)\nadd('--micro_batch_size', default=4)", 4),
    (f"{TRAINER}add('--batch_size', default=8)", None),
    (f"{TRAINER}add('--per_device_train_batch_size', default=2)", 2),
    ("add('--batch_size', default='auto')", None),
    ("add('--batch_size', default=0)", None),
    ("", None),
])  # fmt: skip
def test_the_default_batch_size_of_a_script(text, size):
    """It is the size per process; a Trainer reads only its own argument."""
    assert parsed(text).default_batch_size() == size
    assert (
        parsed(text).default_batch_size(
            {"batch_size", "micro_batch_size", "per_device_train_batch_size"}
        )
        is None
    )


@pytest.mark.parametrize(("value", "number"), [
    ("8", 8), (8, 8), ("0", None), (0, None), ("-1", None), ("1.0", None), (True, None), (None, None), ("", None),
    ("\u0663", None), ("9" * 5000, None), ("1e3", None),
])  # fmt: skip
def test_a_whole_number(value, number):
    """It is positive, in ASCII digits, and not longer than a size can be."""
    assert whole_number(value) == number
