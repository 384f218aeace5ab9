"""Writes reference/python.md from signatures and docstrings.

A test compares the page with this script's output.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import itertools
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import clusterrun
from clusterrun.cli import COMMANDS
from clusterrun.job_spec.docstrings import field_docstrings

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "python.md"
INTRODUCTION = """\
# Python

<!-- Written by tools/docs/python_api.py from signatures and docstrings. Change those. -->

Each command is a function of the same name, with the command's options as keywords, \
and a run is an object:

```python
import clusterrun

run = clusterrun.submit("job.yaml", overrides=["slurm.nodes=2"])
print(run.status().state.value)
```

`import clusterrun` loads nothing else: a module is imported when one of its names is first used. \
A function prints
nothing, asks nothing and does not exit. Results are values with the keys of \
[`--json`](json.md) as attributes. Times
are in seconds since the epoch, durations in seconds, sizes in bytes.
"""
ERRORS = """\
All of them are in `clusterrun`: `from clusterrun import SpecError, ClusterError`. A timeout is \
Python's own
`TimeoutError`."""
# What a command's option is in Python, if it is not a keyword of the command's function.
INSTEAD = {
    "`--set KEY=VALUE`": '`overrides=["KEY=VALUE"]`',
    "`--json`, `--parsable`": "the result is a value",
    "`render --explain`": "`explain`",
    "`submit --dry-run`": "`dry_run`",
    "`logs --json`": "`log_lines`",
    "`status --watch`": "`wait`, or `status` in a loop",
    "`schema -o FILE`": "`json.dump(clusterrun.schema(), file)`",
    "`clean --runs`, `--yes`": "nothing is asked; whole runs are the default",
    "`init --yes`": "nothing is asked",
}  # fmt: skip


def public() -> dict[str, Any]:
    """Return every public name and what it is."""
    return {name: getattr(clusterrun, name) for name in clusterrun.__all__ if name != "__version__"}


def shown(default: object) -> str:
    """Write a default as one types it."""
    if callable(default):
        return "..."
    return f'"{default}"' if isinstance(default, str) else repr(default)


def parameters(function: Any, *, method: bool = False) -> Iterator[str]:
    """Write the parameters of a function as in its source."""
    star = False
    for one in [*inspect.signature(function).parameters.values()][method:]:
        if one.kind is one.KEYWORD_ONLY and not star:
            star = True
            yield "*"
        default = "" if one.default is one.empty else f" = {shown(one.default)}"
        yield f"{one.name}: {one.annotation}{default}".replace("'", '"')


def signature(name: str, function: Any, *, method: bool = False) -> str:
    """Write a signature, one parameter a line if it is long."""
    given, result = (
        [*parameters(function, method=method)],
        inspect.signature(function).return_annotation,
    )
    line = f"{name}({', '.join(given)}) -> {result}"
    if len(line) <= 100:
        return line
    return f"{name}(\n" + "".join(f"    {one},\n" for one in given) + f") -> {result}"


def prose(text: str | None) -> str:
    """Return a docstring as paragraphs of one line each."""
    return re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.cleandoc(text or "")).strip()


def function(name: str, found: Any) -> Iterator[str]:
    """Write a section for a function."""
    yield from (
        f"### {name}",
        "",
        "```python",
        signature(f"clusterrun.{name}", found),
        "```",
        "",
        prose(found.__doc__),
        "",
    )


def fields(kind: type) -> Iterator[str]:
    """Write a table of a dataclass's fields and properties."""
    docstrings = field_docstrings(kind)
    rows = [
        (one.name, str(one.type), docstrings.get(one.name, "")) for one in dataclasses.fields(kind)
    ]
    rows += [
        (name, str(inspect.signature(one.fget).return_annotation), prose(one.__doc__))
        for name, one in vars(kind).items()
        if isinstance(one, property) and one.fget
    ]
    yield from ("| field | type | |", "|---|---|---|")
    for name, form, text in rows:
        yield f"| `{name}` | `{form}` | {text} |".replace(" | None", " \\| None")
    yield ""


def methods(kind: type) -> Iterator[str]:
    """Write the methods of a class, each with its first sentence."""
    for name, found in vars(kind).items():
        inner = getattr(found, "__func__", found)
        if not name.startswith("_") and inspect.isfunction(inner):
            yield from (
                "```python",
                signature(
                    f"{kind.__name__ if inner is not found else 'run'}.{name}", inner, method=True
                ),
                "```",
                "",
                prose(inner.__doc__),
                "",
            )


def alias(name: str) -> str:
    """Return what a module says below an alias, which has no docstring of its own."""
    home = importlib.import_module(f"clusterrun.{clusterrun._HOME[name]}")  # noqa: SLF001 - its one table
    for line, after in itertools.pairwise(ast.parse(inspect.getsource(home)).body):
        if (
            isinstance(line, ast.AnnAssign)
            and ast.unparse(line.target) == name
            and isinstance(after, ast.Expr)
        ):
            value = ast.unparse(line.value) if line.value else ""
            return f"`{value}`. {prose(ast.literal_eval(after.value))}"
    raise LookupError(name)


def described(name: str, kind: Any) -> Iterator[str]:
    """Write a section for a result, an error or a form of an argument."""
    yield from (f"### {name}", "")
    if not isinstance(kind, type):
        yield from (alias(name), "")
        return
    yield from (prose(kind.__doc__), "")
    if issubclass(kind, Enum):
        yield from (", ".join(f"`{one.value}`" for one in kind) + ".", "")
    elif dataclasses.is_dataclass(kind):
        yield from fields(kind)
    elif issubclass(kind, Exception):
        yield from (
            f"The command line exits with {kind.exit_code} for it."
            if hasattr(kind, "exit_code")
            else "",
            "",
        )


def page() -> str:
    """Return the whole page."""
    names = public()
    functions = {name: one for name, one in names.items() if inspect.isfunction(one)}
    others = {name: one for name, one in names.items() if name not in functions and name != "Run"}
    errors = {
        name: one
        for name, one in others.items()
        if isinstance(one, type) and issubclass(one, Exception)
    }
    forms = {name: one for name, one in others.items() if not isinstance(one, type)}
    lines = [INTRODUCTION, "| on the command line | in Python |", "|---|---|"]
    lines += [f"| {option} | {words} |" for option, words in INSTEAD.items()]
    lines += ["", "## What functions take", ""]
    lines += [line for name, one in forms.items() for line in described(name, one)]
    lines += ["## The commands", ""]
    lines += [line for name in COMMANDS for line in function(name, functions[name])]
    lines += ["## More functions", ""]
    lines += [
        line
        for name, one in functions.items()
        if name not in COMMANDS
        for line in function(name, one)
    ]
    run = names["Run"]
    lines += ["## A run", "", "### Run", "", prose(run.__doc__), "", *fields(run), *methods(run)]
    lines += ["## Errors", "", ERRORS, ""]
    lines += [line for name, one in errors.items() for line in described(name, one)]
    lines += ["## Results", ""]
    results = {name: one for name, one in others.items() if name not in {*errors, *forms}}
    lines += [line for name, one in results.items() for line in described(name, one)]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
