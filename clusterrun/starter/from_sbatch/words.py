"""The words of a command, as far as the script itself determines them; nothing is run.

Bash's rules: bash(1), EXPANSION. A variable is replaced by its value; text that is known only when
the script runs stays shell, as written.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from clusterrun.job_spec.secret_forms import is_secret_name
from clusterrun.quoting import Shell, control_character

if TYPE_CHECKING:
    from tree_sitter import Node

_NAMES = re.compile(r"\$\{?[#!]?([A-Za-z_]\w*)")
# where a name is read without a dollar: sums, comparisons of numbers, and places in an array
_BARE_READS = re.compile(
    r"\(\((?P<sum>.*?)\)\)|\[\[(?P<test>.*?)\]\]|\$\{\w+\[(?P<place>[^]@*]+)\]", re.DOTALL
)
# set by bash, by Slurm, or by modules
MAY_BE_SET = re.compile(
    r"(SLURM|BASH|CUDA|ROCM|HIP|MPI|EB|LMOD|CONDA|VIRTUAL|CLUSTERRUN)\w*|\w*(HOME|ROOT|DIR|PATH|PREFIX)"
    r"|RANDOM|SRANDOM|SECONDS|EPOCH\w+|LINENO|HOSTNAME|UID|EUID|PPID|PWD|OLDPWD|IFS|USER|LOGNAME|SHELL"
    r"|TMPDIR|SCRATCH|WORK|LANG|TERM|SHLVL|OPTARG|OPTIND|REPLY|PIPESTATUS|FUNCNAME|_"
)
_COMPARED = re.compile(
    r"([A-Za-z_]\w*)\s+-(?:eq|ne|lt|le|gt|ge)\b|-(?:eq|ne|lt|le|gt|ge)\s+([A-Za-z_]\w*)"
)

Part: TypeAlias = str
"""A piece of a word: a str is its value; a Shell is known only when the script runs."""


class Bare(Shell):
    """Unquoted shell text, which can become several words, or none."""

    __slots__ = ()


@dataclass(frozen=True)
class Word:
    """One word of a command, as far as it is known."""

    parts: tuple[Part, ...]
    line: int

    @property
    def known(self) -> bool:
        """Whether the script itself determines the whole word."""
        return not any(isinstance(part, Shell) for part in self.parts)

    @property
    def one_line(self) -> bool:
        """Whether it is known and has no control characters, and so can be in a spec."""
        return self.known and not control_character(self.text)

    @property
    def text(self) -> str:
        """The value, with shell text where it is not known."""
        return self.source.replace("\\\n", "")

    @property
    def source(self) -> str:
        """The value with its line ends, so that a script in it keeps its lines."""
        return "".join(self.parts)

    @property
    def names(self) -> set[str]:
        """The variables that it reads when the script runs."""
        return names_in("".join(part for part in self.parts if isinstance(part, Shell)))

    @property
    def shell(self) -> str:
        """The word as shell text."""
        merged: list[Part] = []
        for part in self.parts:
            if merged and not isinstance(part, Shell) and not isinstance(merged[-1], Shell):
                merged[-1] += part
            else:
                merged.append(part)
        return "".join(map(_as_shell, merged)) or "''"


Value: TypeAlias = Word | tuple[Word, ...] | None
"""The value of a variable: a word, an array, or None if it is known only at run time."""


@dataclass
class Scope:
    """The variables of a script, on top of those of the submitting shell."""

    values: dict[str, Value] = field(default_factory=dict)
    shell: Mapping[str, str] = field(default_factory=dict)
    taken: dict[str, str] = field(default_factory=dict)
    """Variables of that shell whose values are used."""

    unset: dict[str, int] = field(default_factory=dict)
    """Variables that nothing sets and that are read as a word of their own, with their lines."""

    bare: frozenset[str] = frozenset()
    """The names that appear in the script without a dollar, which it may set in any way."""

    is_open: bool = False
    """Whether a sourced file or another program may have set variables."""

    reads_arguments: bool = False
    """Whether the script reads its own arguments, which sbatch passes on."""

    def is_unset(self, name: str) -> bool:
        """Return whether nothing can have set a variable: the script, its shell, Slurm, modules."""
        if name in self.values or name in self.shell or name in self.bare:
            return False
        if self.is_open or name.isdigit():
            return False
        return not MAY_BE_SET.fullmatch(name)

    def look(self, name: str) -> Value:
        """Return the value of a variable; None if it is not known."""
        if name in ("@", "*") and name not in self.values:
            self.reads_arguments = True
            return ()
        if name in self.values:
            return self.values[name]
        # paths that the job extends, and secrets, stay names
        if (
            name in self.shell
            and not name.endswith("PATH")
            and not is_secret_name(name, self.shell[name])
        ):
            if name not in ("HOME", "USER"):
                self.taken[name] = self.shell[name]
            return Word((self.shell[name],), 0)
        return None


def names_in(text: str) -> set[str]:
    """Return the variables that a shell text reads, also without a dollar as in `$((n * 2))`."""
    found = set(_NAMES.findall(text))
    for bare in _BARE_READS.finditer(text):
        if bare["test"] is not None:
            found |= {name for pair in _COMPARED.findall(bare["test"]) for name in pair if name}
        else:
            found |= set(re.findall(r"(?<![\w$])[A-Za-z_]\w*", bare["sum"] or bare["place"] or ""))
    return found


def with_names(word: Word, known: Mapping[str, str]) -> Word:
    """Return a word with variables in place of known values; `known` maps values to names."""
    parts = word.parts
    for value, name in known.items():
        parts = tuple(
            piece for part in parts for piece in _insert_name(part, value, Shell(f"${{{name}}}"))
        )
    return replace(word, parts=tuple(part for part in parts if part))


def _insert_name(part: Part, value: str, name: Shell) -> list[Part]:
    if isinstance(part, Shell) or value not in part:
        return [part]
    pieces: list[Part] = []
    for text in part.split(value):
        pieces += [text, name]
    return pieces[:-1]


def positional(words: Sequence[Word]) -> dict[str, Value]:
    """Return the positional parameters of a function call with these words."""
    numbered: dict[str, Value] = {str(number): word for number, word in enumerate(words, 1)}
    return {**numbered, "@": tuple(words), "*": tuple(words)}


def line_of(node: Node) -> int:
    """Return the line of a node, from 1."""
    return int(node.start_point[0]) + 1


def _as_shell(part: Part) -> str:
    if isinstance(part, Bare):
        return part
    return f'"{part}"' if isinstance(part, Shell) else shlex.quote(part.replace("\\\n", ""))
