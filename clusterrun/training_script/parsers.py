"""The command line that a training script accepts, if its text shows the whole of it.

Source: argparse of Python's library; HfArgumentParser of transformers 5.23 (hf_argparser.py).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from clusterrun.training_script.script import TrainingScript
from clusterrun.training_script.syntax import keyword_value, last_name

_PARSERS = ("ArgumentParser", "HfArgumentParser")
# With these, other text than the calls of add_argument decides which arguments are accepted.
_UNREADABLE = {"add_subparsers", "parse_known_args", "parse_known_intermixed_args", "parse_dict"}


@dataclass(frozen=True)
class CommandLine:
    """The options that a script accepts, with their dashes, and those that it requires."""

    options: frozenset[str]
    required: tuple[frozenset[str], ...]
    """The spellings of each required option."""
    abbreviations: bool
    """Whether a unique prefix of an option is accepted."""

    def accepts(self, option: str) -> bool:
        """Return whether the script accepts an option such as `--epochs`."""
        if option in self.options:
            return True
        return self.abbreviations and any(name.startswith(option) for name in self.options)


def read_command_line(script: TrainingScript) -> CommandLine | None:
    """Return what a script accepts; None if its text does not show all of it."""
    parsers = [call for call in script.calls if last_name(call.func) in _PARSERS]
    if len(parsers) != 1 or not _is_readable(script, parsers[0]):
        return None
    parser = parsers[0]
    calls = _find_option_calls(script)
    read = [_read_option(call) for call in calls or []]
    options = [option for option in read if option is not None]
    if calls is None or len(options) != len(read):
        return None
    if last_name(parser.func) == "HfArgumentParser":
        fields = _read_dataclasses(script, parser)
        if fields is None:
            return None
        options += fields
    abbreviation = keyword_value(parser, "allow_abbrev")
    return CommandLine(
        frozenset({"-h", "--help"}.union(*(names for names, _ in options))),
        tuple(names for names, is_required in options if is_required),
        not (isinstance(abbreviation, ast.Constant) and abbreviation.value is False),
    )


def _is_readable(script: TrainingScript, parser: ast.Call) -> bool:
    """Return whether only this script's calls of add_argument and its classes set the options."""
    called = {last_name(call.func) for call in script.calls}
    unusual = {"parents", "prefix_chars", "fromfile_prefix_chars", "argument_default"}
    if called & _UNREADABLE or unusual & {keyword.arg for keyword in parser.keywords}:
        return False
    if not any(_parses_command_line(call) for call in script.calls):
        return False
    names = _names_of(script, parser)
    functions = {node.name for node in script.nodes if isinstance(node, ast.FunctionDef)}
    parents = {id(child): node for node in script.nodes for child in ast.iter_child_nodes(node)}
    uses = (node for node in script.nodes if _is_read(node, names))
    return bool(names) and all(
        isinstance(parents[id(use)], (ast.Attribute, ast.Return))
        or _is_passed_to(parents[id(use)], functions)
        for use in uses
    )


def _is_read(node: ast.AST, names: set[str]) -> bool:
    return isinstance(node, ast.Name) and node.id in names and isinstance(node.ctx, ast.Load)


def _is_passed_to(node: ast.AST, functions: set[str]) -> bool:
    """Return whether a node is a call of one of the script's own functions."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and (node.func.id in functions)
    )


def _find_option_calls(script: TrainingScript) -> list[ast.Call] | None:
    """Return the calls of `add_argument`, also by another name; None for any other use of it."""
    methods = [
        node
        for node in script.nodes
        if isinstance(node, ast.Attribute) and node.attr == "add_argument"
    ]
    called = {id(call.func) for call in script.calls}
    others = {id(method) for method in methods if id(method) not in called}
    assigned = [
        node for node in script.nodes if isinstance(node, ast.Assign) and id(node.value) in others
    ]
    names = {
        target.id for node in assigned for target in node.targets if isinstance(target, ast.Name)
    }
    if len(names) != len(others):
        return None
    if any(_is_read(node, names) and id(node) not in called for node in script.nodes):
        return None
    return [
        call
        for call in script.calls
        if (isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument")
        or _is_read(call.func, names)
    ]


def _parses_command_line(call: ast.Call) -> bool:
    names = ("parse_args", "parse_args_into_dataclasses")
    is_method = isinstance(call.func, ast.Attribute) and call.func.attr in names
    return is_method and not call.args and not call.keywords


def _names_of(script: TrainingScript, parser: ast.Call) -> set[str]:
    """Return the variables that a parser is assigned to; empty for any other use of it."""
    for node in script.nodes:
        if isinstance(node, ast.Assign) and node.value is parser:
            names = {target.id for target in node.targets if isinstance(target, ast.Name)}
            return names if len(names) == len(node.targets) else set()
    return set()


def _read_option(call: ast.Call) -> tuple[frozenset[str], bool] | None:
    """Return the spellings of an option, and whether it is required; None if not literal.

    A positional argument has no spellings.
    """
    names = [word.value if isinstance(word, ast.Constant) else None for word in call.args]
    flags = [name for name in names if isinstance(name, str)]
    if (
        not flags
        or len(flags) != len(names)
        or any(keyword.arg is None for keyword in call.keywords)
    ):
        return None
    if not flags[0].startswith("-"):
        return frozenset(), False
    needed = keyword_value(call, "required")
    action = keyword_value(call, "action")
    if action is not None and last_name(action) == "BooleanOptionalAction":
        flags += [f"--no-{flag[2:]}" for flag in flags if flag.startswith("--")]
    return frozenset(flags), isinstance(needed, ast.Constant) and needed.value is True


def _read_dataclasses(
    script: TrainingScript, parser: ast.Call
) -> list[tuple[frozenset[str], bool]] | None:
    """Return the options of the parser's dataclasses; None if one is not in the script."""
    values: Sequence[ast.expr] = parser.args
    if len(values) == 1 and isinstance(values[0], (ast.Tuple, ast.List)):
        values = values[0].elts
    classes = {node.name: node for node in script.nodes if isinstance(node, ast.ClassDef)}
    dataclasses: list[tuple[frozenset[str], bool]] = []
    for value in values:
        kind = classes.get(value.id) if isinstance(value, ast.Name) else None
        if kind is None or kind.bases or "aliases" in ast.unparse(kind):
            return None
        dataclasses += [option for field in kind.body for option in _read_field(field)]
    return dataclasses if values else None


def _read_field(field: ast.stmt) -> Iterator[tuple[frozenset[str], bool]]:
    """Yield the options of a field: HfArgumentParser accepts dashes and underscores."""
    if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
        return
    name = field.target.id
    names = {f"--{name}", f"--{name.replace('_', '-')}"}
    is_field = isinstance(field.value, ast.Call) and last_name(field.value.func) == "field"
    keywords = (
        {one.arg for one in field.value.keywords} if isinstance(field.value, ast.Call) else set()
    )
    default = keyword_value(field.value, "default") if is_field else field.value
    if isinstance(default, ast.Constant) and default.value is True:
        names |= {f"--no_{name}", f"--no-{name.replace('_', '-')}"}
    is_required = default is None and not {"default_factory", "init"} & keywords
    annotation = ast.unparse(field.annotation)
    yield frozenset(names), is_required and annotation != "bool"
