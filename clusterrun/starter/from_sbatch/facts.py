"""The contents of an old script, in its order, from which the spec is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from clusterrun.starter.from_sbatch.directives import Directives
from clusterrun.starter.from_sbatch.words import Word, names_in


@dataclass(frozen=True)
class Kept:
    """Shell lines that are kept as written."""

    line: int
    text: str
    defines: frozenset[str] = frozenset()
    """The variables and functions that it defines."""
    soft: bool = False
    """Whether it is needed only if another line needs what it defines."""
    first: bool = False
    """Whether it may select what the modules and activations after it find."""

    @property
    def reads(self) -> set[str]:
        """The variables and functions that it may need."""
        return names_in(self.text) | set(self.text.replace(";", " ").split())


@dataclass(frozen=True)
class Srun:
    """The options of the srun before a command."""

    line: int
    options: Mapping[str, str]
    """The options by long name; empty for one without a value."""


@dataclass(frozen=True)
class Started:
    """A command that may be the training: the words after srun and other prefixes."""

    line: int
    text: str
    """The command as written, including srun."""
    words: tuple[Word, ...]
    kind: str
    """accelerate, torchrun, deepspeed, python, bash, or other."""
    srun: Srun | None = None
    background: bool = False
    piped: bool = False
    inside: str = ""
    """The text of the loop or condition around it."""
    after: int = 0
    """The number of kept lines before it."""
    shell: str = ""
    """The whole text of the `bash -c` around it."""
    dropped: tuple[str, ...] = ()
    """The parts around it that are not translated: redirections and input pipes."""

    @property
    def line_of_words(self) -> int:
        """The line of its first word; the statement's may be that of an assignment before it."""
        return self.words[0].line if self.words else self.line


@dataclass(frozen=True)
class Variable:
    """An exported variable; `on_nodes`: set inside `bash -c`, so on each node."""

    line: int
    value: Word
    on_nodes: bool = False


@dataclass
class Facts:
    """The contents of an old script."""

    name: str
    text: str
    directives: Directives
    purge: int = 0
    """The line of a `module purge` before all modules."""
    module_folders: list[tuple[int, str]] = field(default_factory=list)
    """The folders of `module use` before all modules."""
    modules: list[tuple[int, str]] = field(default_factory=list)
    venv: tuple[int, str] | None = None
    conda: tuple[int, str] | None = None
    conda_base: str = ""
    """Where conda is installed, if the job script would not find it."""
    conda_line: tuple[int, str, str] | None = None
    """The line that sources conda.sh, its text, and its base; empty: the submitting shell's."""
    variables: dict[str, Variable] = field(default_factory=dict)
    secrets: dict[str, int] = field(default_factory=dict)
    """The names of secrets, and the first line of each."""
    written_secrets: dict[str, str] = field(default_factory=dict)
    """Secret values in the text, with their names; they must not be shown or written."""
    folder: tuple[int, str] | None = None
    """The folder that the script changes to before it starts the training."""
    kept: list[Kept] = field(default_factory=list)
    started: list[Started] = field(default_factory=list)
    traps: list[tuple[int, str]] = field(default_factory=list)
    waits: list[int] = field(default_factory=list)
    strict: bool = False
    """Whether it contains `set -e`."""
    printing: list[int] = field(default_factory=list)
    """Lines that only print."""
    reads_arguments: bool = False
    """Whether it reads its own arguments."""
    files: dict[str, tuple[str, int]] = field(default_factory=dict)
    """The texts of files that `cat` writes, by path, each with its place in `kept`."""
    unset: dict[str, int] = field(default_factory=dict)
    """Variables that nothing sets, read as words of their own, and their lines."""
    computed: list[str] = field(default_factory=list)
    """Names for values that the batch shell computes."""
    unreadable: list[int] = field(default_factory=list)
    requeues: int = 0
    """The line with `scontrol requeue`."""
