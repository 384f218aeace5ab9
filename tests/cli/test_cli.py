"""The command line in real processes, on a machine without Slurm."""

from __future__ import annotations

import argparse
import subprocess

import pytest

from clusterrun import __version__, cli


def test_the_version_and_the_help(desk):
    """Help and version go to stdout; without a command the help is shown."""
    assert desk.type("--version").stdout == f"clusterrun {__version__}\n"
    shown = desk.type("--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert all(f"    {name} " in shown.stdout for name in cli.COMMANDS)
    assert desk.type().stdout == shown.stdout


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("staus", "did you mean status?"),
        ("sumbit", "did you mean submit?"),
        ("log", "did you mean logs?"),
        ("frobnicate", "see `clusterrun --help` for all commands"),
    ],
)
def test_an_unknown_command_gets_a_proposal(capsys, typed, hint):
    """A mistyped command gets one line with a hint, not a list of all commands."""
    with pytest.raises(SystemExit) as left:
        cli.main([typed, "job.yaml"])
    assert left.value.code == 2
    assert capsys.readouterr().err == f"'{typed}' is not a clusterrun command\n  hint: {hint}\n"


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_explains_itself(desk, command):
    """The help of each command says what it does, and explains each of its options."""
    shown = desk.type(command, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert cli.COMMANDS[command] in shown.stdout
    assert shown.stdout.startswith(f"usage: clusterrun {command} ")
    parser = cli._build_parser([command])
    (commands,) = [
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    ]
    silent = [
        action.option_strings
        for action in commands.choices[command]._actions
        if action.option_strings and not action.help
    ]
    assert silent == []
    assert all(
        option in shown.stdout
        for action in commands.choices[command]._actions
        for option in action.option_strings
    )


@pytest.mark.parametrize(
    "words", [["render"], ["render", "job.yaml", "--nodes=2"], ["status", "--jsn"]]
)
def test_an_invalid_command_line_exits_with_2(desk, words):
    """An unknown command or option, or a missing argument, exits with 2 and prints the usage."""
    done = desk.type(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: clusterrun")


def test_validate_shows_what_would_run(desk):
    """A valid spec exits with 0; the text is for people, so stdout stays empty."""
    desk.write("script: train.py\nname: tiny\nslurm: {nodes: 2, gpus-per-node: 4}\n")
    done = desk.type("validate", "job.yaml")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == (
        f"note: environment: not set in the spec; using the active Python, {desk.folder}/venv\n"
        "job.yaml: valid: tiny, 2 nodes, one process per GPU that Slurm allocates\n"
    )


@pytest.mark.parametrize("command", ["validate", "render", "submit"])
def test_a_wrong_spec_exits_with_2(desk, command):
    """Every command that takes a spec reports its errors on stderr and does nothing."""
    desk.write("script: train.py\nslurm: {gpus-per-nod: 4}\n")
    done = desk.type(command, "job.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "job.yaml:2: slurm.gpus-per-nod: unknown key\n  hint: did you mean gpus-per-node?\n"
    )
    assert list(desk.home.iterdir()) == []


def test_validate_and_submit_look_for_files_and_render_only_warns(desk):
    """A script can be rendered if its files are missing, but it cannot be submitted."""
    desk.write("script: gone.py\n")
    mistake = f"job.yaml:1: script: file not found: {desk.folder}/gone.py\n"
    for command in ("validate", "submit"):
        done = desk.type(command, "job.yaml")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(mistake)
    done = desk.type("render", "job.yaml")
    assert done.returncode == 0
    assert f"warning: {mistake}" in done.stderr
    assert done.stdout.startswith("#!/bin/bash\n#SBATCH --job-name=job\n")
    assert done.stdout.endswith('\nmain "$@"\n')


def test_render_prints_the_script_alone(desk):
    """`clusterrun render job.yaml | sbatch` works: stdout is exactly the script."""
    script = desk.type("render", "job.yaml", "--set", "slurm.nodes=3", "--set", "name=tiny").stdout
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    assert script.splitlines()[1:3] == ["#SBATCH --job-name=tiny", "#SBATCH --nodes=3"]


def test_profiles_are_found_and_can_be_left_out(desk):
    """--profile overrides CLUSTERRUN_PROFILE, which overrides the user's own; '' means none."""
    own = desk.home / ".config" / "clusterrun" / "profile.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("slurm: {partition: own}\n")
    for name in ("variable", "option"):
        desk.write(f"slurm: {{partition: {name}}}\n", f"{name}.yaml")

    def partition(*words: str, **environment: str) -> list[str]:
        script = desk.type("render", "job.yaml", *words, **environment).stdout
        return [
            line.partition("=")[2]
            for line in script.splitlines()
            if line.startswith("#SBATCH --partition=")
        ]

    assert partition() == ["own"]
    assert partition(CLUSTERRUN_PROFILE="variable.yaml") == ["variable"]
    assert partition("--profile", "option.yaml", CLUSTERRUN_PROFILE="variable.yaml") == ["option"]
    assert partition(CLUSTERRUN_PROFILE="") == []
    done = desk.type("render", "job.yaml", "--profile", "gone.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "--profile: no such profile: gone.yaml\n  hint: give the path of a YAML file\n"
    )
