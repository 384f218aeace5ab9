"""The command line that a script accepts, as far as its text shows the whole of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from clusterrun.training_script.parsers import read_command_line
from clusterrun.training_script.reading import parse_script

ARGPARSE = """import argparse
parser = argparse.ArgumentParser({options})
parser.add_argument("--epochs", "-e", type=int, default=1)
parser.add_argument("--block-size", type=int)
parser.add_argument("--data", required=True)
group = parser.add_argument_group("more")
group.add_argument("--shuffle", action=argparse.BooleanOptionalAction)
args = parser.parse_args()
"""
DATACLASSES = """from dataclasses import dataclass, field
from transformers import HfArgumentParser
@dataclass
class Data:
    path: str
    block_size: int = 128
    shuffle: bool = True
    names: list[str] = field(default_factory=list)
    split: str = field(default="train", metadata={"help": "part"})
    model: str = field(metadata={"help": "name"})
data, = HfArgumentParser((Data,)).parse_args_into_dataclasses()
"""


def command_line(text: str):
    script = parse_script("train.py", text)
    assert script is not None
    return read_command_line(script)


@pytest.mark.parametrize("options", ["", "allow_abbrev=False"])
@pytest.mark.parametrize(
    "option", ["--epochs=1", "--epo=1", "--block-size=1", "--block_size=1", "--epohcs=1",
               "--shuffle", "--no-shuffle", "--shuffl"],
)  # fmt: skip
def test_an_option_is_accepted_as_argparse_accepts_it(option, options):
    """The result agrees with argparse on the same script."""
    text = ARGPARSE.replace("{options}", options)
    run = subprocess.run(
        [sys.executable, "-c", text, "--data=x", option], capture_output=True, check=False
    )
    assert command_line(text).accepts(option.partition("=")[0]) is (run.returncode == 0)


def test_required_options():
    """The required options are exactly those of argparse."""
    interface = command_line(ARGPARSE.replace("{options}", ""))
    assert interface.required == (frozenset({"--data"}),)


def test_fields_of_dataclasses():
    """HfArgumentParser accepts both spellings of a field, and requires fields without a default."""
    text = DATACLASSES.replace(
        "data, = HfArgumentParser((Data,))", "parser = HfArgumentParser((Data,))\ndata, = parser"
    )
    interface = command_line(text)
    assert all(map(interface.accepts, ["--block_size", "--block-size", "--no_shuffle", "--names"]))
    assert not interface.accepts("--epohcs")
    assert interface.required == (frozenset({"--path"}), frozenset({"--model"}))


UNREADABLE = {
    "no parser": "print(1)\n",
    "two parsers": "import argparse\na = argparse.ArgumentParser()\nb = argparse.ArgumentParser()\na.parse_args()\n",
    "passed to a library": "import argparse, lib\np = argparse.ArgumentParser()\nlib.add(p)\np.parse_args()\n",
    "given by a library": "import argparse, lib\np = argparse.ArgumentParser(parents=[lib.p])\np.parse_args()\n",
    "names in a loop": "import argparse\np = argparse.ArgumentParser()\nfor n in 'ab':\n    p.add_argument('--' + n)\np.parse_args()\n",
    "unknown arguments allowed": "import argparse\np = argparse.ArgumentParser()\np.parse_known_args()\np.parse_args()\n",
    "own words": "import argparse\np = argparse.ArgumentParser()\np.parse_args(['--x'])\n",
    "TrainingArguments": "from transformers import HfArgumentParser, TrainingArguments\n"
    "p = HfArgumentParser(TrainingArguments)\np.parse_args_into_dataclasses()\n",
}


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
def test_a_command_line_that_is_not_known(text):
    """If the accepted options depend on other code, nothing is claimed."""
    assert command_line(text) is None


def test_another_name_of_add_argument():
    """Scripts shorten `parser.add_argument`; those options count, too."""
    text = (
        "import argparse\ndef parse_args():\n    p = argparse.ArgumentParser()\n"
        "    add = p.add_argument\n    add('--lr')\n    return p.parse_args()\n"
    )
    assert command_line(text).accepts("--lr")
    assert command_line(text.replace("add('--lr')", "list(map(add, ['--lr']))")) is None


def test_a_function_of_the_script_may_add_options():
    """A parser passed to a function of the script is still read."""
    text = (
        "import argparse\ndef add(parser):\n    parser.add_argument('--lr')\n"
        "p = argparse.ArgumentParser()\nadd(p)\np.parse_args()\n"
    )
    assert command_line(text).accepts("--lr")
