"""Reader of an old script: goes through its statements and records what each does."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from clusterrun.starter.from_sbatch import launchers, preparation_commands
from clusterrun.starter.from_sbatch.bash import assigned_names, below, parse, redirections, text_of
from clusterrun.starter.from_sbatch.directives import read_directives
from clusterrun.starter.from_sbatch.facts import Facts, Kept, Started
from clusterrun.starter.from_sbatch.recorder import Recorder
from clusterrun.starter.from_sbatch.srun import strip_srun
from clusterrun.starter.from_sbatch.words import Scope, Word, positional

if TYPE_CHECKING:
    from tree_sitter import Node

_STRAIGHT = {"declaration_command", "comment"} | frozenset(
    "command redirected_statement variable_assignment variable_assignments".split()
)
_EXITS = re.compile(r"\b(exit|return|die|fail|usage)\b")
_DEEPEST = 5  # calls of functions within each other
_ASSIGN = ("variable_assignment", "variable_assignments")


def read_script(
    name: str,
    text: str,
    *,
    shell: Mapping[str, str],
    known: Mapping[str, str],
    arguments: Sequence[str] = (),
) -> Facts:
    """Read a script without running it.

    `shell` is the environment of the submitting shell; `known` are variables that Slurm sets, as
    far as the directives determine their values.
    """
    facts = Facts(name, text, read_directives(text))
    scope = Scope({key: Word((value,), 0) for key, value in known.items()}, shell)
    code = re.sub(r"(^|\s)#.*", "", text, flags=re.MULTILINE)
    scope.bare = frozenset(re.findall(r"(?<![\w$])(?<!\$\{)[A-Za-z_]\w*", code))
    if arguments:
        scope.values |= positional([Word((one,), 0) for one in arguments])
    reader = Reader(facts, scope)
    root = parse(text)
    first = text.partition("\n")[0]
    facts.strict = first.startswith("#!") and " -" in first and "e" in first.rpartition(" -")[2]
    reader.statements(root.children)
    facts.reads_arguments = scope.reads_arguments
    facts.unset = scope.unset
    return facts


class Reader(Recorder):
    """Reads statements into Facts."""

    def statements(self, nodes: Sequence[Node]) -> None:
        """Read statements one after another."""
        for place, node in enumerate(nodes):
            if node.is_named and node.type != "comment":
                follower = nodes[place + 1].type if place + 1 < len(nodes) else ""
                self.statement(node, background=follower == "&")

    def statement(self, node: Node, *, background: bool = False, piped: bool = False) -> None:
        """Read one statement."""
        if node.type == "ERROR":
            self.facts.unreadable.append(self.line(node))
            self.keep(node)
        elif node.type in _ASSIGN:
            self.assignments(node)
        elif node.type == "declaration_command":
            self.declaration(node)
        elif node.type in ("command", "redirected_statement"):
            self.command(node, background=background, piped=piped)
        elif node.type == "pipeline" and self.trains(node):
            self.pipeline(node.named_children, background=background)
        elif node.type == "list" and not background:
            self.chain(node)
        else:
            self.compound(node, background=background)

    def pipeline(self, members: Sequence[Node], *, background: bool) -> None:
        """Read the member of a pipeline that trains; record its input, and ignore its readers."""
        place = next((number for number, member in enumerate(members) if self.trains(member)), 0)
        before, self.fed = self.fed, tuple(f"{text_of(member)} |" for member in members[:place])
        self.statement(members[place], background=background, piped=place + 1 < len(members))
        self.fed = before

    def chain(self, node: Node) -> None:
        """Read `a && b`, where each part must succeed as in a job spec, and `a || b`."""
        first, second = node.named_children[0], node.named_children[-1]
        either = any(child.type == "||" for child in node.children)
        if either and (self.trains(first) or _EXITS.search(text_of(second))):
            self.statement(first)
        elif not either and not any(child.type == "test_command" for child in below(first)):
            self.statement(first)
            self.statement(second)
        else:
            self.compound(node)

    def compound(self, node: Node, *, background: bool = False) -> None:
        """Read a loop, condition or function: assignments are uncertain, launches are recorded."""
        for child in below(node):
            if child.type == "variable_assignment" or (
                child.type == "for_statement" and child.named_children
            ):
                self.scope.values[text_of(child.named_children[0])] = None
        if node.type == "function_definition":
            name = text_of(node.named_children[0])
            self.functions[name] = node.named_children[-1]
            self.keep(node, defines=(name,), soft=True)
        elif self.trains(node):
            before, self.inside = self.inside, self.inside or text_of(node)
            for child in below(node):
                if child.type == "command" and self.trains(child):
                    sibling = child.next_sibling
                    self.command(child, background=sibling is not None and sibling.type == "&")
            self.inside = before
        else:
            self.keep(node, defines=tuple(assigned_names(node)), background=background)

    def assignments(self, node: Node) -> None:
        """Read `NAME=value`, which is needed only if another line needs it."""
        for one in below(node):
            if one.type == "variable_assignment" and one.named_children:
                self.assigned.assign(one)
        self.keep(node, defines=tuple(assigned_names(node)), soft=True)

    def declaration(self, node: Node) -> None:
        """Read `export NAME=value`, `declare -x` and similar."""
        exported = node.children[0].type == "export" or " -x" in text_of(node)
        if re.match(r"\s*(export|declare)\s+-\w*f", text_of(node)):
            self.exported |= set(text_of(node).split()[2:])
            return
        for child in node.named_children:
            if child.type == "variable_name" and exported:
                self.assigned.export(
                    text_of(child), self.scope.look(text_of(child)), self.line(child)
                )
            elif child.type == "variable_assignment":
                name, word = self.assigned.assign(child)
                if exported:
                    self.assigned.export(name, word, self.line(child))

    def command(self, node: Node, *, background: bool, piped: bool = False) -> None:
        """Read a simple command, with its redirections."""
        inner = next((child for child in below(node) if child.type == "command"), None)
        if inner is None:
            self.keep(node)
            return
        self._read_assignments_above(inner)
        redirected = any(
            child.type in ("file_redirect", "heredoc_redirect") for child in node.named_children
        )
        words = self.words(inner)
        text = text_of(node)
        name = words[0].text.rsplit("/", 1)[-1] if words else ""
        self.note_secrets(text, self.line(node))
        if name in preparation_commands.PRINTING and not redirected:
            self.facts.printing.append(self.line(node))
        elif name in self.functions and self.calls < _DEEPEST and self._can_follow(name):
            self.call(self.functions[name], words[1:])
        elif name in ("read", "mapfile", "readarray"):
            self.read_into(node, words)
        elif name == "cat" and (written := self.written_file(node)):
            self.facts.files[written[0]] = written[1], len(self.facts.kept)
            self.keep(node)
        elif name == "eval" and self._evaluates_training(words):
            self._read_evaluated(words, self.line(node))
        elif (background and not self.trains(node)) or not preparation_commands.note_command(
            self.facts, self.scope, words, text, self.line(node)
        ):
            self.start(node, inner, words, background=background, piped=piped)

    def _evaluates_training(self, words: list[Word]) -> bool:
        text = " ".join(word.text for word in words[1:])
        return all(word.known for word in words) and self.trains(parse(text))

    def _read_evaluated(self, words: list[Word], line: int) -> None:
        """Read what `eval` runs, where it runs."""
        text = " ".join(word.source for word in words[1:]).replace("\\\n", " ")
        inner = Reader(self.facts, self.scope, line - 1, self.outer, self.functions)
        inner.inside = self.inside
        inner.statements(parse(text).children)

    def call(self, body: Node, words: list[Word]) -> None:
        """Read the body of a function that starts the training, where it is called."""
        before, self.calls = dict(self.scope.values), self.calls + 1
        self.scope.values |= positional(words)
        self.statements(body.children)
        for name in ("@", "*", *map(str, range(1, len(words) + 1))):
            self.scope.values.pop(name, None)
            if name in before:
                self.scope.values[name] = before[name]
        self.calls -= 1

    def _can_follow(self, name: str) -> bool:
        """Return whether a call can be read as the statements of its function."""
        return self._trains_in(name) or all(
            child.type in _STRAIGHT
            and not re.match(r"(return|exit|shift|getopts)\b", text_of(child))
            for child in self.functions[name].named_children
        )

    def _trains_in(self, name: str) -> bool:
        """Return whether a function starts a training, itself or through another function."""
        text = text_of(self.functions[name])
        others = [
            other
            for other in self.functions
            if other != name and re.search(rf"\b{re.escape(other)}\b", text)
        ]
        return self.trains(self.functions[name]) or any(
            self.trains(self.functions[other]) for other in others
        )

    def _read_assignments_above(self, node: Node) -> None:
        """Read assignments above a command, which the parser makes part of the command."""
        name = next((child for child in node.named_children if child.type == "command_name"), None)
        for child in node.named_children:
            above = name is not None and child.end_point[0] < name.start_point[0]
            if child.type == "variable_assignment" and above:
                self.assigned.assign(child)
                self.facts.kept.append(
                    Kept(
                        self.line(child),
                        text_of(child),
                        frozenset(assigned_names(child)),
                        soft=True,
                    )
                )

    def start(
        self, node: Node, inner: Node, words: list[Word], *, background: bool, piped: bool
    ) -> None:
        """Record a command that may be the training, or keep it as written."""
        srun, rest = strip_srun(words)
        kind, _ = launchers.kind_of(rest)
        if self.outer is None and srun is not None:
            rest = [self.compute_once(word) for word in rest]
        started = Started(
            self.line(node),
            text_of(node),
            tuple(rest),
            kind,
            srun,
            background,
            piped,
            self.inside,
            len(self.facts.kept),
            dropped=(*self.fed, *redirections(node)),
        )
        if self.outer is not None:
            outer = self.outer
            started = replace(
                started,
                srun=outer.srun or srun,
                background=outer.background or background,
                piped=outer.piped or piped,
                shell=outer.shell,
                after=outer.after,
            )
        if kind == "bash" and (found := launchers.script_of_bash(rest)) is not None:
            self._read_inner_script(started, found)
        elif kind != "other" or srun is not None:
            for child in inner.named_children:
                if (
                    child.type == "variable_assignment"
                    and self.line(child) >= started.line_of_words
                ):
                    name, word = self.assigned.assign(child)
                    self.assigned.export(name, word, self.line(child))
            self.facts.started.append(started)
        else:
            self.keep(node, background=background)

    def _read_inner_script(self, started: Started, text: Word) -> None:
        """Read the text of `bash -c` as a script."""
        count = len(self.facts.started)
        started = replace(started, shell=text.text)
        functions = {name: self.functions[name] for name in self.exported & set(self.functions)}
        inner = Reader(self.facts, self.scope, text.line - 1, started, functions)
        inner.statements(parse(text.source.rstrip().rstrip("\\")).children)
        if len(self.facts.started) == count:
            self.facts.started.append(started)
