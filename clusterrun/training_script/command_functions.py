"""Command lines that are a function's parameters: click, typer and fire.

Source: click 8 (decorators.py), typer 0.29, fire 0.7. None of them accepts abbreviations.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from clusterrun.training_script.command_line import CommandLine
from clusterrun.training_script.script import TrainingScript
from clusterrun.training_script.syntax import keyword_value, last_name

_Option = tuple[frozenset[str], bool]
_HELP = frozenset({"--help"})
_CLICK_DECORATORS = {
    "argument",
    "command",
    "help_option",
    "option",
    "pass_context",
    "version_option",
}


def read_command_function(script: TrainingScript) -> CommandLine | None:
    """Return what a script's only command accepts; None if its text does not show all of it."""
    packages = {name.partition(".")[0] for name in script.imported_names}
    functions = {node.name: node for node in script.tree.body if isinstance(node, ast.FunctionDef)}
    for package, read in (("click", _read_click), ("typer", _read_typer), ("fire", _read_fire)):
        if package in packages:
            options = read(script, functions)
            if options is None:
                return None
            names = _HELP.union(*(names for names, _ in options))
            required = tuple(names for names, is_required in options if is_required)
            return CommandLine(names, required, abbreviations=False)
    return None


_Functions = dict[str, ast.FunctionDef]


def _read_click(_script: TrainingScript, functions: _Functions) -> list[_Option] | None:
    decorated = [one for one in functions.values() if one.decorator_list]
    if len(decorated) != 1:
        return None
    decorators = decorated[0].decorator_list
    calls = [one for one in decorators if isinstance(one, ast.Call)]
    kinds = [last_name(one.func if isinstance(one, ast.Call) else one) for one in decorators]
    keywords = {keyword.arg for call in calls for keyword in call.keywords}
    if "command" not in kinds or not set(kinds) <= _CLICK_DECORATORS:
        return None
    if keywords & {None, "context_settings", "cls", "params"}:
        return None
    options = [_read_click_option(call) for call in calls]
    known = [option for option in options if option is not None]
    return known if len(known) == len(options) else None


def _read_click_option(call: ast.Call) -> _Option | None:
    """Return a decorator's option; without spellings for another decorator, None if unreadable."""
    names, kind = _literals(call.args), last_name(call.func)
    if names is None:
        return None
    if kind == "version_option":
        return frozenset({*names[1:], "--version"}), False
    flags = [flag.strip() for name in names for flag in name.split("/")] * (kind == "option")
    return (
        frozenset(flag for flag in flags if flag.startswith("-")),
        _is_true(keyword_value(call, "required")) and bool(flags),
    )


def _read_typer(script: TrainingScript, functions: _Functions) -> list[_Option] | None:
    called = [last_name(call.func) for call in script.calls]
    if {"callback", "add_typer"} & set(called):
        return None
    commands = [one for one in functions.values() if any(map(_is_command, one.decorator_list))]
    for call in script.calls:
        if last_name(call.func) == "run" and len(call.args) == 1:
            named = functions.get(last_name(call.args[0]))
            commands += [named] if named is not None else []
    if len(commands) != 1 or any(one.decorator_list[1:] for one in commands):
        return None
    options = [option for option in _typer_parameters(commands[0]) if option is not None]
    is_plain = len(options) == len([*_parameters(commands[0])])
    completion = frozenset({"--install-completion", "--show-completion"})
    return [*options, (completion, False)] if is_plain else None


def _is_command(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and last_name(decorator.func) == "command"


def _typer_parameters(function: ast.FunctionDef) -> Iterator[_Option | None]:
    """Yield each parameter's option; without spellings for a positional one, None if unreadable."""
    for parameter, default in _parameters(function):
        info, value = _find_info(parameter, default)
        is_argument = info is not None and last_name(info.func) == "Argument"
        if is_argument or (info is None and default is None):
            yield frozenset(), False
        else:
            yield _typer_option(parameter, info, value)


def _find_info(
    parameter: ast.arg, default: ast.expr | None
) -> tuple[ast.Call | None, ast.expr | None]:
    """Return the Option(...) or Argument(...) of a parameter, and its default value.

    typer accepts it in Annotated, or as the default.
    """
    for node in ast.walk(parameter.annotation) if parameter.annotation else ():
        if isinstance(node, ast.Call) and _is_info(node):
            return node, default
    if isinstance(default, ast.Call) and _is_info(default):
        return default, default.args[0] if default.args else keyword_value(default, "default")
    return None, default


def _typer_option(
    parameter: ast.arg, info: ast.Call | None, default: ast.expr | None
) -> _Option | None:
    words = info.args if info is not None else []
    names = _literals([word for word in words if word is not default])
    if names is None:
        return None
    flags = [flag for name in names for flag in name.split("/")] or [_dashed(parameter.arg)]
    if not names and parameter.annotation and "bool" in ast.unparse(parameter.annotation):
        flags.append(f"--no-{_dashed(parameter.arg)[2:]}")
    is_missing = isinstance(default, ast.Constant) and default.value is ...
    return frozenset(flags), default is None or is_missing


def _is_info(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Call) and last_name(node.func) in ("Option", "Argument")


def _read_fire(script: TrainingScript, functions: _Functions) -> list[_Option] | None:
    calls = [call for call in script.calls if last_name(call.func) == "Fire"]
    if len(calls) != 1 or len(calls[0].args) != 1 or calls[0].keywords:
        return None
    function = functions.get(last_name(calls[0].args[0]))
    if function is None or function.args.kwarg or function.args.vararg or function.decorator_list:
        return None
    # a value may also be positional, so none is required
    return [(_fire_names(parameter.arg), False) for parameter, _ in _parameters(function)]


def _fire_names(name: str) -> frozenset[str]:
    names = {f"--{name}", _dashed(name), f"--no{name}", f"-{name}", f"-{name[0]}", f"--{name[0]}"}
    return frozenset(names)


def _parameters(function: ast.FunctionDef) -> Iterator[tuple[ast.arg, ast.expr | None]]:
    """Yield each parameter with its default; None without one."""
    named = [*function.args.posonlyargs, *function.args.args]
    padding: list[ast.expr | None] = [None] * (len(named) - len(function.args.defaults))
    yield from zip(named, [*padding, *function.args.defaults], strict=True)
    yield from zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)


def _dashed(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _literals(values: list[ast.expr]) -> list[str] | None:
    texts = [one.value for one in values if isinstance(one, ast.Constant)]
    names = [text for text in texts if isinstance(text, str)]
    return names if len(names) == len(values) else None


def _is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True
