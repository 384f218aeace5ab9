"""Completion when the user presses Tab, requested by argcomplete's variable; no Slurm calls."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence

# Commands that take a run or a spec, so that completion need not load their modules.
RUNS = (
    "status",
    "best",
    "compare",
    "why",
    "report",
    "logs",
    "diff",
    "wait",
    "checkpoints",
    "stop",
    "requeue",
    "resume",
    "cancel",
)
SEVERAL_RUNS = ("compare", "diff")
SPECS = ("validate", "estimate", "render", "submit", "rehearse", "notify")


def complete(parser_of: Callable[[Sequence[str]], argparse.ArgumentParser]) -> None:
    """Print the completions and exit; `parser_of` builds the parser for a command line."""
    from argcomplete import autocomplete  # noqa: PLC0415 - only when a shell asks
    from argcomplete.lexers import split_line  # noqa: PLC0415 - same reason

    line = os.environ.get("COMP_LINE", "")
    _, prefix, _, words, _ = split_line(line, int(os.environ.get("COMP_POINT", len(line))))
    command = words[1] if len(words) > 1 else ""
    of_options = prefix.startswith("-") or words[-1].startswith("-")
    if of_options or command not in RUNS + SPECS:
        parser = parser_of(words[1:])
    else:
        parser = parser_of([])
        _add_name_argument(parser, command)
    autocomplete(parser, always_complete_options=False)


def _add_name_argument(parser: argparse.ArgumentParser, command: str) -> None:
    from argcomplete.completers import FilesCompleter  # noqa: PLC0415 - only when a shell asks

    actions = parser._actions  # noqa: SLF001 - argparse has no public access to its commands
    subparsers = argparse._SubParsersAction  # noqa: SLF001 - same reason
    commands = next(action for action in actions if isinstance(action, subparsers))
    name = commands.choices[command].add_argument(
        "name", nargs="*" if command in SEVERAL_RUNS else "?"
    )
    name.completer = run_names if command in RUNS else FilesCompleter(allowednames=("yaml", "yml"))


def run_names(**_: object) -> list[str]:
    """List this user's run ids from the names in the index, and `last`."""
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")  # noqa: PTH111 - pathlib costs 5 ms
    try:
        names = [
            entry.name
            for entry in os.scandir(f"{base}/clusterrun/runs")
            if not entry.name.startswith(".")
        ]
    except OSError:
        return []
    return [*names, "last"] if names else []
