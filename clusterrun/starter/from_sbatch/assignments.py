"""The variables of an old script: their values, and which of them are secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from clusterrun.job_spec.secret_forms import (
    is_secret_name,
    names_of_secrets,
    secrets_in,
    variable_of_flag,
)
from clusterrun.quoting import Shell
from clusterrun.starter.from_sbatch.bash import text_of
from clusterrun.starter.from_sbatch.expansion import one_word, resolve
from clusterrun.starter.from_sbatch.facts import Facts, Kept, Variable
from clusterrun.starter.from_sbatch.words import Scope, Word, line_of, names_in, with_names

if TYPE_CHECKING:
    from tree_sitter import Node

_LONGEST_VALUE = 1 << 15
_ONCE = re.compile(r"\$\(|`|\bRANDOM\b|\bSRANDOM\b|\bSECONDS\b|\bEPOCH\w+|\$\$|<\(")


def is_computed(text: str) -> bool:
    """Return whether a shell text can have another value each time, or on another node."""
    return bool(_ONCE.search(text))


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
            self.scope.values[name] = self._elements(value)
        elif len(node.named_children) == 1:
            self.scope.values[name] = Word(("",), line_of(node) + self.offset)
        else:
            word = one_word(value, self.scope)
            if self._is_secret(name, word):
                self.scope.values[name] = Word(
                    (Shell(f"${{{name}}}"),), line_of(node) + self.offset
                )
                return name, word
            self.scope.values[name] = self._as_value(name, word)
            if any(isinstance(part, Shell) and is_computed(part) for part in word.parts):
                return name, self.without_secrets(word)
        found = self.scope.values[name]
        return name, found if isinstance(found, Word) else None

    def export(self, name: str, value: object, line: int) -> None:
        """Record an exported variable; of a secret only the name."""
        if (
            isinstance(value, Word)
            and is_secret_name(name, value.text if value.known else None)
            and (value.known or names_in(value.text) == {name})
        ):
            self.facts.secrets.setdefault(name, line)
        elif isinstance(value, Word):
            self.facts.variables.pop(name, None)
            self.facts.variables[name] = Variable(line, value, on_nodes=self.on_nodes)
        else:
            text = f"export {name}"
            self.facts.kept.append(Kept(line, text, frozenset({name})))

    def _as_value(self, name: str, word: Word) -> Word | None:
        """Return a value as later words read it: what is new at each call is read by name.

        The batch shell computed `$(hostname)`, `$RANDOM` and `$(mktemp)` once, on its own node.
        """
        if sum(map(len, word.parts)) > _LONGEST_VALUE:
            return None
        if any(isinstance(part, Shell) and is_computed(part) for part in word.parts):
            return Word((Shell(f"${{{name}}}"),), word.line)
        return self.without_secrets(word)

    def _elements(self, array: Node) -> tuple[Word, ...]:
        """Return the words of an array; what follows a # there is a comment."""
        return tuple(
            word
            for child in array.named_children
            if child.type != "comment"
            for word in resolve(child, self.scope)
        )

    def _append(self, name: str, value: Node) -> None:
        old = self.scope.look(name)
        if value.type == "array":
            more = self._elements(value)
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
        if not (value.known and value.text):
            return False
        contains = names_of_secrets(value.text) and not re.search(r"\s", value.text)
        if not (contains or is_secret_name(name, value.text)):
            return False
        self.facts.written_secrets[value.text] = name
        self.facts.secrets.setdefault(name, value.line + self.offset)
        return True

    def without_secret_flags(self, words: list[Word]) -> list[Word]:
        """Return words with a variable for each value of a flag such as `--api-key`."""
        found: list[Word] = []
        for word in words:
            flag, equals, value = word.text.partition("=")
            before = found[-1].text if found else ""
            if word.known and equals and flag.startswith("-") and is_secret_name(flag, value):
                name = self._note_flag(flag, value, word)
                found.append(replace(word, parts=(f"{flag}=", Shell(f"${{{name}}}"))))
            elif word.known and before.startswith("--") and is_secret_name(before, word.text):
                name = self._note_flag(before, word.text, word)
                found.append(replace(word, parts=(Shell(f"${{{name}}}"),)))
            else:
                found.append(word)
        return found

    def _note_flag(self, flag: str, value: str, word: Word) -> str:
        name = self.facts.written_secrets.setdefault(value, variable_of_flag(flag))
        self.facts.secrets.setdefault(name, word.line)
        return name

    def without_secrets(self, word: Word) -> Word:
        """Return a word with variables in place of secrets, and record the secrets."""
        for value, name in secrets_in(word.text, flags=True).items():
            self.facts.written_secrets.setdefault(value, name)
            self.facts.secrets.setdefault(self.facts.written_secrets[value], word.line)
        return with_names(
            word,
            {value: name for value, name in self.facts.written_secrets.items() if len(value) > 5},
        )
