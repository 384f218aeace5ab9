"""`--help` lists the commands in the order of use, and each has examples that parse."""

from __future__ import annotations

import shlex

import pytest

from clusterrun import cli
from clusterrun.cli.help import EXAMPLES, GROUPS

TYPED = [typed for examples in EXAMPLES.values() for typed, _ in examples]


def test_every_command_is_in_one_group():
    """Every command is in exactly one group of the help."""
    listed = [name for names in GROUPS.values() for name in names]
    assert sorted(listed) == sorted(cli.COMMANDS)


def test_the_help_has_the_groups_in_their_order(capsys):
    """The headings are in the order of use, each followed by its commands."""
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    shown = capsys.readouterr().out
    places = [shown.index(f"\n{heading}:\n") for heading in GROUPS]
    assert places == sorted(places)
    assert shown.startswith("usage: clusterrun [-h] [--version] command ...\n")


def test_every_command_has_examples():
    """Each command has at least one example, which starts with its name."""
    assert set(EXAMPLES) == set(cli.COMMANDS)
    for name, examples in EXAMPLES.items():
        assert examples
        assert all(typed.split()[:2] == ["clusterrun", name] for typed, _ in examples)


@pytest.mark.parametrize("typed", TYPED)
def test_every_example_parses(typed):
    """The parser accepts every example as written."""
    words = shlex.split(typed.partition(" | ")[0].partition(" > ")[0])[1:]
    options = cli._build_parser(words).parse_args(words)
    assert options.command == words[0]


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_the_examples_are_shown(command, capsys):
    """`COMMAND --help` ends with the command's examples."""
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    shown = capsys.readouterr().out
    assert "\nexamples:\n" in shown
    assert all(f"\n  {typed}\n" in shown for typed, _ in EXAMPLES[command])
