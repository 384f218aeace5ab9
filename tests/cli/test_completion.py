"""Completion in a real shell: type part of a line, then press Tab."""

from __future__ import annotations

import argparse
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clusterrun import cli
from clusterrun.cli import COMMANDS, shell_completion

CLUSTERRUN = Path(sys.prefix) / "bin"
RUNS = ("tiny-gpt2-1", "tiny-gpt2-2", "other-3")
# A shell without the machine's startup files; its output ends where the mark is printed.
SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
BEGIN = {
    "bash": 'bind "set show-all-if-ambiguous on"; bind "set bell-style none"; . ./code\n',
    "zsh": "autoload -Uz compinit; compinit -u -D; . ./code\n",
    "fish": "source ./code\n",
}


class Terminal:
    """An interactive shell at its own terminal."""

    def __init__(self, shell: str, folder: Path) -> None:
        for name in RUNS:
            entry = folder / "home" / ".local" / "state" / "clusterrun" / "runs" / name
            entry.parent.mkdir(parents=True, exist_ok=True)
            entry.write_text("folder=/nowhere\njob_id=1\n")
        (folder / "job.yaml").touch()
        environment = {"HOME": str(folder / "home"), "PATH": f"{CLUSTERRUN}:{os.environ['PATH']}", "TERM": "xterm",
                       "PS1": "", "LANG": "C.UTF-8"}  # fmt: skip
        code = subprocess.run(
            [CLUSTERRUN / "clusterrun", "completion", shell],
            text=True,
            capture_output=True,
            check=True,
        )
        (folder / "code").write_text(code.stdout)
        self.process, self.fd = pty.fork()
        if self.process == 0:
            os.chdir(folder)
            os.execvpe(SHELLS[shell][0], SHELLS[shell], environment)  # noqa: S606
        self.type(BEGIN[shell] + "echo rea''dy\n")
        self.until("ready")

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def until(self, *words: str) -> str:
        """Return what the terminal shows until all these words have appeared."""
        shown, end = "", time.monotonic() + 30
        while not all(word in shown for word in words):
            assert time.monotonic() < end, f"{words} not printed: {shown!r}"
            if select.select([self.fd], [], [], 0.2)[0]:
                shown += os.read(self.fd, 65536).decode(errors="replace")
        return shown

    def end(self) -> None:
        os.close(self.fd)
        os.waitpid(self.process, 0)


@pytest.fixture(params=SHELLS)
def terminal(request, tmp_path):
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed here")
    made = Terminal(request.param, tmp_path)
    yield made
    made.end()


def test_tab_completes_commands_runs_specs_and_options(terminal):
    """A command's prefix is completed; runs follow the command, and `--` shows its options."""
    terminal.type("clusterrun che\t")
    terminal.until("clusterrun checkpoints")
    terminal.type("tiny\t\t")
    terminal.until("iny-gpt2-1", "iny-gpt2-2")  # fish writes an ellipsis for the part already typed
    terminal.type("\x15clusterrun status oth\t")
    terminal.until("status other-3")
    terminal.type("\x15clusterrun submit jo\t")
    terminal.until("job.yaml")
    terminal.type("\x15clusterrun status --js\t")
    terminal.until("--json")


def complete(line: str, home: Path, *options: str) -> subprocess.CompletedProcess[bytes]:
    """Request completions as the shells' code does: with variables, answered on descriptor 8."""
    words = " ".join([sys.executable, *options, "-m", "clusterrun"])
    environment = {"HOME": str(home), "PATH": os.defpath, "PYTHONPATH": str(Path(shell_completion.__file__).parents[2]),
                   "_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_IFS": "\n"}  # fmt: skip
    return subprocess.run(
        ["bash", "-c", f"{words} 8>&1 9>&2"], env=environment, capture_output=True, check=False
    )


@pytest.mark.parametrize(
    "line",
    ["clusterrun status ", "clusterrun logs -f", "clusterrun cancel t", "clusterrun submit "],
)
def test_runs_and_specs_are_completed_without_heavy_imports(tmp_path, line):
    """Completing a name loads none of the slow modules: submitit, pydantic, YAML, Jinja2, Slurm."""
    loaded = complete(line, tmp_path, "-X", "importtime").stderr.decode()
    modules = {
        row.rpartition("|")[2].strip()
        for row in loaded.splitlines()
        if row.startswith("import time:")
    }
    assert "argcomplete" in modules
    assert not modules & {"submitit", "yaml", "jinja2", "rich", "torch", "pydantic"}
    if "-" not in line:
        assert not {name for name in modules if name.startswith("clusterrun.")} - {
            "clusterrun.cli", "clusterrun.cli.help", "clusterrun.cli.shell_completion",
            "clusterrun.__main__", "clusterrun.version"
        }  # fmt: skip


def test_every_command_with_a_name_completes_it():
    """The commands completed without their module are those that take a run or a spec."""
    takes: dict[str, set[str]] = {"run": set(), "job": {"notify"}}  # after its option
    for command in COMMANDS:
        parser = cli._build_parser([command])
        (commands,) = [
            action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
        ]
        for action in commands.choices[command]._actions:
            dest = "run" if action.dest == "runs" else action.dest
            if dest in takes and not action.option_strings:
                takes[dest].add(command)
    assert ({*shell_completion.RUNS}, {*shell_completion.SPECS}) == (takes["run"], takes["job"])


def test_without_runs_nothing_is_offered(tmp_path):
    """A user without runs gets no completions, and no error."""
    done = complete("clusterrun status ", tmp_path)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_each_of_several_runs_is_completed(tmp_path):
    """`compare` and `diff` take more than one run, `status` takes one."""
    index = tmp_path / ".local" / "state" / "clusterrun" / "runs"
    index.mkdir(parents=True)
    (index / "tiny-1").touch()
    for command, offered in (("compare", True), ("diff", True), ("status", False)):
        shown = complete(f"clusterrun {command} tiny-0 ti", tmp_path).stdout.decode()
        assert ("tiny-1" in shown) is offered, command
