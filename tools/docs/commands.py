"""Write docs/reference/commands.md, every command with its options, from the argument parsers.

A test compares the page with this script's output.
"""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from clusterrun.cli import _EPILOG, COMMANDS, _build_parser
from clusterrun.cli.help import EXAMPLES, GROUPS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "commands.md"
WIDTH = 84
INTRODUCTION = """\
# Commands

<!-- Written by tools/docs/commands.py from the argument parsers. Change those, and run it. -->

What `clusterrun COMMAND --help` prints. stdout is data, stderr is everything else, and every \
command but `schema` and `completion` takes `--json`: [the JSON output](json.md). \
In Python each is a function: [Python](python.md).
"""


def parser_of(name: str) -> argparse.ArgumentParser:
    """Return the parser of one command, with its options."""
    for action in _build_parser([name])._actions:  # noqa: SLF001 - argparse shows them nowhere else
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - likewise
            return action.choices[name]
    raise LookupError(name)


def usage(parser: argparse.ArgumentParser) -> str:
    """Return the usage in lines of the page's width, whatever the width of the terminal."""
    line = " ".join(parser.format_usage().removeprefix("usage: ").split())
    words = re.sub(r"\[[^]]*(?:\[[^]]*\])?[^]]*\]", lambda one: one[0].replace(" ", "\0"), line)
    wrapped = textwrap.wrap(words, WIDTH, subsequent_indent="    ", break_on_hyphens=False)
    return "\n".join(wrapped).replace("\0", " ")


def words(action: argparse.Action) -> str:
    """Return an option as it is typed, with its value."""
    value = action.metavar or (action.dest.upper() if action.nargs != 0 else "")
    value = "" if action.nargs == 0 else str(value)
    if not action.option_strings:
        return value
    return ", ".join(f"{option} {value}".strip() for option in action.option_strings)


def options(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Write a row for each option."""
    rows = [
        (words(action), str(action.help or "").replace("%%", "%"))
        for action in parser._actions  # noqa: SLF001 - argparse shows them nowhere else
        if action.help != argparse.SUPPRESS and "--help" not in action.option_strings
    ]
    if any(text for _, text in rows):
        yield from ("| option | |", "|---|---|")
        yield from (f"| `{name}` | {text} |".replace("\\|", "|") for name, text in rows)
        yield ""


def section(name: str) -> Iterator[str]:
    """Write the section of one command."""
    parser = parser_of(name)
    what = COMMANDS[name]
    yield from (f"### {name}", "", f"{what[0].upper()}{what[1:]}.", "")
    yield from ("```text", usage(parser), "```", "")
    yield from options(parser)
    if name in EXAMPLES:
        yield "<!-- not run: an example of --help -->"
        yield "```bash"
        for typed, comment in EXAMPLES[name]:
            yield from (f"# {comment}", typed)
        yield from ("```", "")


def page() -> str:
    """Return the whole page."""
    lines = [INTRODUCTION]
    for line in _EPILOG.splitlines():
        lines += [f"{line[0].upper()}{line[1:]}", ""]
    for heading, names in GROUPS.items():
        lines += [f"## {heading[0].upper()}{heading[1:]}", ""]
        lines += [line for name in names for line in section(name)]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
