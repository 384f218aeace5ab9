"""Prefixes of the command that a script starts: srun with its options, `time`, `exec`."""

from __future__ import annotations

from collections.abc import Sequence

from clusterrun.starter.from_sbatch.facts import Srun
from clusterrun.starter.from_sbatch.words import Word

# srun(1) of Slurm 22.05: these have no value, or only one that is joined by `=`; all others have a
# value.
_BARE = frozenset(
    """
    allocate compress contiguous debugger-test disable-status exact exclusive external-launcher help
    hold immediate interactive kill-on-bad-exit label multi-prog nice no-allocate no-kill overcommit
    overlap oversubscribe preserve-env propagate pty quiet quit-on-interrupt reboot send-libs
    spread-job unbuffered use-min-nodes verbose version whole
    """.split()
)
_SHORT = {
    "N": "nodes",
    "n": "ntasks",
    "c": "cpus-per-task",
    "w": "nodelist",
    "G": "gpus",
    "o": "output",
    "e": "error",
    "J": "job-name",
    "p": "partition",
    "t": "time",
    "x": "exclude",
    "A": "account",
    "D": "chdir",
    "i": "input",
    "m": "distribution",
    "W": "wait",
    "r": "relative",
    "C": "constraint",
}
_SHORT_BARE = {
    "K": "kill-on-bad-exit",
    "l": "label",
    "u": "unbuffered",
    "v": "verbose",
    "O": "overcommit",
    "E": "preserve-env",
    "Q": "quiet",
    "X": "disable-status",
    "Z": "no-allocate",
    "k": "no-kill",
    "s": "oversubscribe",
}
_PREFIXES = frozenset({"time", "exec", "nohup", "command", "env", "stdbuf", "nice"})


def strip_srun(words: Sequence[Word]) -> tuple[Srun | None, list[Word]]:
    """Return srun with its options, and the command without srun, `time`, `exec` and similar."""
    rest, srun = list(words), None
    while rest:
        name = rest[0].text.rsplit("/", 1)[-1]
        if name == "srun":
            options, count = _read_options(rest[1:])
            srun, rest = Srun(rest[0].line, options), rest[1 + count :]
        elif name in _PREFIXES and len(rest) > 1:
            rest = rest[1:]
            while rest and rest[0].text.startswith("-"):
                rest = rest[1:]
        else:
            break
    return srun, rest


def _read_options(words: Sequence[Word]) -> tuple[dict[str, str], int]:
    """Return srun's options by their long names, and their number of words."""
    options: dict[str, str] = {}
    place = 0
    while place < len(words) and words[place].text.startswith("-"):
        text = words[place].text
        place += 1
        name, equals, value = text.lstrip("-").partition("=")
        if not text.startswith("--"):
            letter, value, equals = text[1:2], text[2:], text[2:]
            if letter in _SHORT_BARE:
                options[_SHORT_BARE[letter]] = value
                continue
            name = _SHORT.get(letter, letter)
        if not equals and name not in _BARE and place < len(words):
            value = words[place].text
            place += 1
        options[name] = value
    return options, place
