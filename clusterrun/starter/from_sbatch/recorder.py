"""What a reader of an old script records: words, kept lines and secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from clusterrun.job_spec.secret_forms import is_secret_name, secrets_in
from clusterrun.quoting import Shell
from clusterrun.starter.from_sbatch import launchers
from clusterrun.starter.from_sbatch.assignments import Assignments, is_computed
from clusterrun.starter.from_sbatch.bash import below, text_of
from clusterrun.starter.from_sbatch.expansion import resolve
from clusterrun.starter.from_sbatch.facts import Facts, Kept, Started
from clusterrun.starter.from_sbatch.srun import strip_srun
from clusterrun.starter.from_sbatch.words import Bare, Scope, Word, line_of

if TYPE_CHECKING:
    from tree_sitter import Node

# they fail if there is nothing to do, which a script without `set -e` does not notice
_FAILS_HARMLESSLY = re.compile(
    r"(mkdir(?! -p)|rmdir|rm(?! -\w*f)|kill|pkill|ulimit|unset|unalias|grep|which|ls|ln|rsync|stty"
    r"|umask)\b"
)


_VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)\}")
_UNKNOWN = re.compile(r"\$|`")


class Recorder:
    """Records what a text does in Facts.

    The text starts after line `offset` of the script; `outer` is the command that contains it.
    """

    def __init__(
        self,
        facts: Facts,
        scope: Scope,
        offset: int = 0,
        outer: Started | None = None,
        functions: Mapping[str, Node] | None = None,
    ) -> None:
        self.facts, self.scope, self.offset, self.outer = facts, scope, offset, outer
        self.assigned = Assignments(facts, scope, offset, on_nodes=outer is not None)
        self.inside = ""
        self.fed: tuple[str, ...] = ()  # the commands that are piped into the current one
        self.functions: dict[str, Node] = dict(functions or {})
        self.exported: set[str] = set()
        self.calls = 0

    def line(self, node: Node) -> int:
        """Return the line of a node in the whole script."""
        return line_of(node) + self.offset

    def words(self, node: Node) -> list[Word]:
        """Return the words of a command, without the variables that are set only for it."""
        found = []
        for child in node.named_children:
            if child.type == "command_name" and child.named_children:
                found += resolve(child.named_children[0], self.scope)
            elif child.type not in ("variable_assignment", "file_redirect", "heredoc_redirect"):
                found += resolve(child, self.scope)
        words = [
            self.assigned.without_secrets(replace(word, line=word.line + self.offset))
            for word in found
        ]
        return self.assigned.without_secret_flags(words)

    def keep(
        self,
        node: Node,
        *,
        defines: Sequence[str] = (),
        soft: bool = False,
        background: bool = False,
    ) -> None:
        """Keep a statement as written."""
        text = f"{text_of(node)} &" if background else text_of(node)
        self.note_secrets(text, self.line(node))
        if not background and not soft and self._may_fail(node):
            text = f"{text} || :"  # its result may be false, which is not an error
        if "scontrol requeue" in text:
            self.facts.requeues = self.facts.requeues or self.line(node)
        self.facts.kept.append(Kept(self.line(node), text, frozenset(defines), soft))

    def written_file(self, node: Node) -> tuple[str, str] | None:
        """Return the path and the text of `cat > FILE <<EOF`; None if either is not known."""
        parts = {child.type: child for child in below(node)}
        target, body = parts.get("file_redirect"), parts.get("heredoc_body")
        if target is None or body is None or not text_of(target).startswith(">"):
            return None
        path = resolve(target.named_children[-1], self.scope)
        text = text_of(body)
        if "'" not in text_of(parts["heredoc_start"]):
            text = _VARIABLE.sub(self._value_in_text, text)
        if len(path) != 1 or not path[0].known or _UNKNOWN.search(text):
            return None
        return path[0].text, text

    def _value_in_text(self, found: re.Match[str]) -> str:
        value = self.scope.look(found[1] or found[2])
        return value.text if isinstance(value, Word) and value.known else found[0]

    def _may_fail(self, node: Node) -> bool:
        """Return whether a statement's failure was no error in the old script."""
        if node.type == "list":
            return True
        harmless = not self.facts.strict and _FAILS_HARMLESSLY.match(text_of(node))
        return bool(harmless)

    def note_secrets(self, text: str, line: int) -> None:
        """Record the secrets in a text, with their values, which must not be written."""
        for value in self.facts.written_secrets:
            text = text.replace(value, "")
        for value, name in secrets_in(text, flags=True).items():
            self.facts.written_secrets.setdefault(value, name)
            self.facts.secrets.setdefault(self.facts.written_secrets[value], line)

    def trains(self, node: Node) -> bool:
        """Return whether a node starts a training."""
        if node.type == "function_definition":
            return False
        for child in below(node):
            if child.type == "command":
                srun, rest = strip_srun(self.words(child))
                kind, _ = launchers.kind_of(rest)
                if kind in (*launchers.LAUNCHERS, "python") or (srun and rest):
                    return True
        return False

    def compute_once(self, word: Word) -> Word:
        """Name what the batch shell computes for a command that srun starts on each node."""
        parts: list[str] = []
        for part in word.parts:
            if isinstance(part, Shell) and is_computed(part):
                name = f"launch_value_{len(self.facts.computed) + 1}"
                self.facts.computed.append(name)
                text = f"{name}={part}" if isinstance(part, Bare) else f'{name}="{part}"'
                self.facts.kept.append(Kept(word.line, text, frozenset({name}), soft=True))
                part = type(part)(f"${{{name}}}")  # noqa: PLW2901
            parts.append(part)
        return replace(word, parts=tuple(parts))

    def read_into(self, node: Node, words: list[Word]) -> None:
        """Keep `read` and `mapfile`, whose variables are known only when the script runs."""
        names = [word.text for word in words[1:] if re.fullmatch(r"[A-Za-z_]\w*", word.text)]
        for name in names:
            self.scope.values[name] = None
        given = text_of(node).partition("<<<")[2].strip().strip("'\"")
        if names and given and is_secret_name(names[-1], given):
            self.facts.written_secrets[given] = names[-1]
            self.facts.secrets.setdefault(names[-1], self.line(node))
        else:
            self.keep(node, defines=names)
