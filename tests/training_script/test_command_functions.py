"""Command lines of click, typer and fire, and of HfArgumentParser with a library's dataclasses."""

from __future__ import annotations

import argparse
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from clusterrun.planning.strategy.installed import find_arguments_class
from clusterrun.training_script.command_line import ValueRule
from clusterrun.training_script.parsers import read_command_line
from clusterrun.training_script.reading import parse_script

CLICK = """import click
@click.command()
@click.option("--block-size", "-b", type=int, default=3)
@click.option("--shuffle/--in-order", default=True)
@click.option("--data", required=True)
def main(**words): pass
main()
"""
TYPER = """import typer
app = typer.Typer()
@app.command()
def main(data: str = typer.Option(...), block_size: int = 3, shuffle: bool = True,
         seed: int = typer.Option(1, "--seed", "-s")): pass
app()
"""
TYPER_RUN = """from typing import Annotated
import typer
def main(data: Annotated[str, typer.Option("--data")], block_size: int = 3, shuffle: bool = False): pass
typer.run(main)
"""
WORDS = ("--block-size=1", "--block_size=1", "--block=1", "--shuffle", "--no-shuffle",
         "--in-order", "--epohcs=1", "--seed=2", "-b=1")  # fmt: skip


def command_line(text: str, environment: Path | None = None):
    script = parse_script("train.py", text)
    assert script is not None
    if environment is None:
        return read_command_line(script)
    return read_command_line(script, partial(find_arguments_class, environment))


@pytest.mark.parametrize("text", [CLICK, TYPER, TYPER_RUN], ids=["click", "typer", "typer.run"])
def test_an_option_is_accepted_as_the_package_accepts_it(text: str) -> None:
    """The result agrees with the package on the same script."""
    pytest.importorskip("click")
    pytest.importorskip("typer")
    interface = command_line(text)
    assert interface.required == (frozenset({"--data"}),)
    program = (
        "import sys\nwords = sys.argv[1:]\n"
        f"text = {text!r}\n"
        "for word in words:\n"
        "    sys.argv[1:] = ['--data=x', word]\n"
        "    try:\n        exec(text, {'__name__': '__main__'})\n"
        "    except SystemExit as end:\n        print(word, end.code or 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *WORDS], capture_output=True, text=True, check=True
    )
    accepted = dict(line.split() for line in done.stdout.splitlines())
    assert len(accepted) == len(WORDS)
    for word, code in accepted.items():
        if word != "-b=1":  # only long options of a spec are checked
            assert interface.accepts(word.partition("=")[0]) is (code == "0"), word


def test_a_function_for_fire() -> None:
    interface = command_line("import fire\ndef f(data, block_size=3): pass\nfire.Fire(f)\n")
    assert interface.required == ()
    assert all(map(interface.accepts, ["--data", "--block_size", "--block-size", "--nodata"]))
    assert not interface.accepts("--epohcs")


UNREADABLE = {
    "click group": "import click\n@click.group()\ndef main(): pass\n@main.command()\ndef a(): pass\nmain()\n",
    "click, other decorator": "import click\n@click.command()\n@shared()\ndef main(): pass\nmain()\n",
    "click, unknown options": "import click\n@click.command(context_settings=dict(ignore_unknown_options=True))\n"
    "def main(): pass\nmain()\n",
    "two typer commands": "import typer\na = typer.Typer()\n@a.command()\ndef f(): pass\n@a.command()\ndef g(): pass\na()\n",
    "fire, a class": "import fire\nclass A:\n    def f(self): pass\nfire.Fire(A)\n",
    "fire, any name": "import fire\ndef f(**words): pass\nfire.Fire(f)\n",
    "fire, nothing": "import fire\ndef f(x): pass\nfire.Fire()\n",
}


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
def test_a_command_line_that_is_not_known(text: str) -> None:
    assert command_line(text) is None


HF = """from dataclasses import dataclass
from transformers import HfArgumentParser, {name}
@dataclass
class Model:
    model_name: str
    rank: int = 8
@dataclass
class More({name}):
    patience: int = 3
parser = HfArgumentParser((Model, {used}))
model, training = parser.parse_args_into_dataclasses()
"""


@pytest.mark.parametrize("name", ["TrainingArguments", "Seq2SeqTrainingArguments"])
@pytest.mark.parametrize("used", ["More", ""])
def test_the_arguments_of_transformers(name: str, used: str) -> None:
    """They are those of the environment of the run, and of none other."""
    text = HF.format(name=name, used=used or name)
    interface = command_line(text, Path(sys.prefix))
    assert all(map(interface.accepts, ["--learning_rate", "--num-train-epochs", "--rank"]))
    assert interface.accepts("--patience") is bool(used)
    assert interface.accepts("--predict_with_generate") is name.startswith("Seq2Seq")
    assert not interface.accepts("--epohcs")
    assert interface.required == (frozenset({"--model_name", "--model-name"}),)
    assert command_line(text) is None
    assert command_line(text, Path("/nonexistent")) is None


def test_every_argument_of_transformers_is_accepted() -> None:
    """Compared with the parser itself."""
    transformers = pytest.importorskip("transformers")
    parser = transformers.HfArgumentParser(transformers.Seq2SeqTrainingArguments)
    names = {name for action in parser._actions for name in action.option_strings}
    text = HF.format(name="Seq2SeqTrainingArguments", used="Seq2SeqTrainingArguments")
    interface = command_line(text, Path(sys.prefix))
    assert [name for name in names if not interface.accepts(name)] == []


@pytest.mark.parametrize("value", ["3", "-3", "3.5", "1e-4", "x", "", "a", "1_000", "inf"])
@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (ValueRule("int"), {"type": int}),
        (ValueRule("float"), {"type": float}),
        (ValueRule("", ("a", "b")), {"choices": ["a", "b"]}),
    ],
)
def test_a_value_is_refused_as_argparse_refuses_it(value: str, rule: ValueRule, words) -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--x", **words)
    try:
        parser.parse_args([f"--x={value}"])
        accepted = True
    except (argparse.ArgumentError, SystemExit):
        accepted = False
    assert (not rule.describe_fault(value)) is accepted


def test_rules_are_those_of_the_script() -> None:
    text = """import argparse
p = argparse.ArgumentParser()
p.add_argument("--epochs", "-e", type=int)
p.add_argument("--lr", type=float, nargs="+")
p.add_argument("--mode", choices=["a", "b"])
p.add_argument("--size", type=int, choices=[1, 2])
p.add_argument("--name", type=str.lower, choices=["x"])
p.add_argument("--flag", action="store_true")
p.parse_args()
"""
    assert command_line(text).rules == {
        "--epochs": ValueRule("int"),
        "-e": ValueRule("int"),
        "--mode": ValueRule("", ("a", "b")),
        "--size": ValueRule("int"),
    }
