"""The `#SBATCH` lines of a script, as sbatch reads them.

Source: sbatch(1), and src/sbatch/opt.c of Slurm 22.05.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from clusterrun.job_spec import options

_MARK = "#SBATCH"
# They have no value, or only one that is joined by `=`.
_BARE = frozenset(
    """
    contiguous exclusive get-user-env help hold ignore-pbs nice no-kill no-requeue oom-kill-step
    overcommit oversubscribe parsable propagate quiet reboot requeue spread-job stepmgr test-only
    usage use-min-nodes verbose version wait
    """.split()
)


# sbatch takes it, and its manual does not list it (src/common/slurm_opt.c)
_ALIASES = {"tasks-per-node": "ntasks-per-node"}


@dataclass(frozen=True)
class Option:
    """One sbatch option by its long name, with its line; the value is True without one."""

    name: str
    value: str | bool
    line: int


@dataclass(frozen=True)
class Directives:
    """The `#SBATCH` lines of a script: options, and what sbatch does not read."""

    options: Mapping[str, Option]
    """The options by long name; the last of duplicates, as in sbatch."""
    too_late: tuple[int, ...]
    """Lines with `#SBATCH` after the first command, which sbatch does not read."""
    unread: tuple[tuple[int, str], ...]
    """Words in `#SBATCH` lines that are not options."""


def read_directives(text: str) -> Directives:
    """Return the options of a script, in every form that sbatch accepts."""
    options: dict[str, Option] = {}
    late: list[int] = []
    unread: list[tuple[int, str]] = []
    command_seen = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(_MARK) and command_seen:
            late.append(number)
        elif line.startswith(_MARK):
            for name, value in _pair_options(_split_words(line.removeprefix(_MARK))):
                if name:
                    options[name] = Option(name, value, number)
                else:
                    unread.append((number, str(value)))
        elif line.strip() and not line.lstrip().startswith("#"):
            command_seen = True
    return Directives(options, tuple(late), tuple(unread))


def _pair_options(words: list[str]) -> Iterator[tuple[str, str | bool]]:
    """Pair options with their values as getopt_long(3) does; other words have an empty name."""
    rest = iter(words)
    for word in rest:
        if word.startswith("--"):
            option, equals, value = word[2:].partition("=")
            name = (
                option
                if option in options.KNOWN | set(_BARE)
                else options.complete_prefix(option) or option
            )
            name = _ALIASES.get(name, name)
            yield name, value if equals else name in _BARE or next(rest, "")
        elif word.startswith("-") and word[1:2] in options.SHORT:
            name = options.SHORT[word[1]]
            if name in _BARE:
                yield name, True
            else:
                yield name, word[2:].removeprefix("=") or next(rest, "")
        else:
            yield "", word


def _split_words(line: str) -> list[str]:
    """Split a line; a backslash escapes in both kinds of quotes, and # starts a comment."""
    words: list[str] = []
    word, quote, in_word = "", "", False
    characters = iter(line)
    for character in characters:
        if character == "\\":
            word, in_word = word + next(characters, ""), True
        elif quote:
            quote, word = ("", word) if character == quote else (quote, word + character)
        elif character in "'\"":
            quote, in_word = character, True
        elif character.isspace() or (character == "#" and not in_word):
            words += [word] if in_word else []
            word, in_word = "", False
            if character == "#":
                return words
        else:
            word, in_word = word + character, True
    return [*words, word] if in_word else words
