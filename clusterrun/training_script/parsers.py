"""The command line that a training script accepts, if its text shows the whole of it.

Source: argparse of Python's library; HfArgumentParser of transformers 5.23 (hf_argparser.py).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence

from clusterrun.training_script.command_functions import read_command_function
from clusterrun.training_script.command_line import CommandLine, read_value_rule
from clusterrun.training_script.script import TrainingScript
from clusterrun.training_script.syntax import keyword_value, last_name

_PARSERS = ("ArgumentParser", "HfArgumentParser")
# With these, other text than the calls of add_argument decides which arguments are accepted.
_UNREADABLE = {"add_subparsers", "parse_known_args", "parse_known_intermixed_args", "parse_dict"}


FindClass = Callable[[str], "list[ast.ClassDef] | None"]
"""Finds a library's dataclass by its full name: it and its bases; None if it is not known."""


def read_command_line(
    script: TrainingScript, find_class: FindClass = lambda _: None
) -> CommandLine | None:
    """Return what a script accepts; None if its text does not show all of it."""
    parsers = [call for call in script.calls if last_name(call.func) in _PARSERS]
    if not parsers:
        return read_command_function(script)
    if len(parsers) != 1 or not _is_readable(script, parsers[0]):
        return None
    parser = parsers[0]
    calls = _find_option_calls(script)
    read = [_read_option(call) for call in calls or []]
    options = [option for option in read if option is not None]
    if calls is None or len(options) != len(read):
        return None
    if last_name(parser.func) == "HfArgumentParser":
        fields = _read_dataclasses(script, parser, find_class)
        if fields is None:
            return None
        options = [*options, *fields]
    abbreviation = keyword_value(parser, "allow_abbrev")
    return CommandLine(
        frozenset({"-h", "--help"}.union(*(names for names, _ in options))),
        tuple(names for names, is_required in options if is_required),
        not (isinstance(abbreviation, ast.Constant) and abbreviation.value is False),
        {
            name: rule
            for call, option in zip(
                calls, options, strict=False
            )  # after them, fields of dataclasses
            for name in option[0]
            if (rule := read_value_rule(call)) is not None
        },
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
    script: TrainingScript, parser: ast.Call, find_class: FindClass
) -> list[tuple[frozenset[str], bool]] | None:
    """Return the options of the parser's dataclasses; None if one is not known."""
    values: Sequence[ast.expr] = parser.args
    if len(values) == 1 and isinstance(values[0], (ast.Tuple, ast.List)):
        values = values[0].elts
    options: dict[str, tuple[frozenset[str], bool]] = {}
    for value in values:
        classes = _find_classes(script, value, find_class)
        if classes is None or any("aliases" in ast.unparse(one) for one in classes):
            return None
        for one in reversed(classes):  # a class replaces the fields of its bases
            options |= {min(field[0]): field for part in one.body for field in _read_field(part)}
    return [*options.values()] if values else None


def _find_classes(
    script: TrainingScript, value: ast.expr, find_class: FindClass
) -> list[ast.ClassDef] | None:
    """Return a dataclass and its bases; None if one of them is not known."""
    own = {node.name: node for node in script.nodes if isinstance(node, ast.ClassDef)}
    if not isinstance(value, ast.Name):
        return None
    if value.id not in own:
        full = [name for name in script.imported_names if name.endswith(f".{value.id}")]
        return find_class(full[0]) if len(full) == 1 else None
    classes = [own[value.id]]
    for base in classes[0].bases:
        more = _find_classes(script, base, find_class)
        if more is None:
            return None
        classes += more
    return classes


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
