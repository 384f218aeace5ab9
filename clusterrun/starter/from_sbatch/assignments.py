"""The variables of an old script: their values, and which of them are secrets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from clusterrun.quoting import Shell
from clusterrun.starter.from_sbatch.bash import text_of
from clusterrun.starter.from_sbatch.expansion import one_word, resolve
from clusterrun.starter.from_sbatch.facts import Facts, Kept, Variable
from clusterrun.starter.from_sbatch.secrets import is_secret_name, secrets_in
from clusterrun.starter.from_sbatch.words import Scope, Word, line_of, names_in, with_names

if TYPE_CHECKING:
    from tree_sitter import Node


@dataclass
class Assignments:
    """Records the variables of a text that starts after line `offset` of the script."""

    facts: Facts
    scope: Scope
    offset: int = 0
    on_nodes: bool = False
    """Whether the text runs on each node."""

    def assign(self, node: Node) -> tuple[str, Word | None]:
        """Record an assignment; return its variable, and its value if it is one word."""
        name, value = text_of(node.named_children[0]), node.named_children[-1]
        if "+=" in text_of(node).partition("\n")[0].split("=")[0] + "=":
            self._append(name, value)
        elif value.type == "array":
            words = [word for child in value.named_children for word in resolve(child, self.scope)]
            self.scope.values[name] = tuple(words)
        elif len(node.named_children) == 1:
            self.scope.values[name] = Word(("",), line_of(node) + self.offset)
        else:
            word = one_word(value, self.scope)
            if self._is_secret(name, word):
                self.scope.values[name] = Word(
                    (Shell(f"${{{name}}}"),), line_of(node) + self.offset
                )
                return name, word
            self.scope.values[name] = self.without_secrets(word)
        assigned = self.scope.values[name]
        return name, assigned if isinstance(assigned, Word) else None

    def export(self, name: str, value: object, line: int) -> None:
        """Record an exported variable; of a secret only the name."""
        if (
            is_secret_name(name)
            and isinstance(value, Word)
            and (value.known or names_in(value.text) == {name})
        ):
            self.facts.secrets.setdefault(name, line)
        elif isinstance(value, Word):
            self.facts.variables.pop(name, None)
            self.facts.variables[name] = Variable(line, value, on_nodes=self.on_nodes)
        else:
            text = f"export {name}"
            self.facts.kept.append(Kept(line, text, frozenset({name})))

    def _append(self, name: str, value: Node) -> None:
        old = self.scope.look(name)
        if value.type == "array":
            more = tuple(
                word for child in value.named_children for word in resolve(child, self.scope)
            )
            before = old if isinstance(old, tuple) else () if old is None else (old,)
            self.scope.values[name] = (*before, *more)
        elif isinstance(old, Word):
            self.scope.values[name] = replace(
                old, parts=(*old.parts, *one_word(value, self.scope).parts)
            )
        else:
            self.scope.values[name] = None

    def _is_secret(self, name: str, value: Word) -> bool:
        """Record a variable whose name marks its value as a secret; return False for others."""
        if not (value.known and value.text and is_secret_name(name)):
            return False
        self.facts.written_secrets[value.text] = name
        self.facts.secrets.setdefault(name, value.line + self.offset)
        return True

    def without_secrets(self, word: Word) -> Word:
        """Return a word with variables in place of secrets, and record the secrets."""
        for value, name in secrets_in(word.text).items():
            self.facts.written_secrets.setdefault(value, name)
            self.facts.secrets.setdefault(self.facts.written_secrets[value], word.line)
        return with_names(
            word,
            {value: name for value, name in self.facts.written_secrets.items() if len(value) > 5},
        )
