"""The Python API: its names, the options of its functions, its results and its pages."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import clusterrun
from clusterrun.cli import COMMANDS
from clusterrun.job_spec.docstrings import field_docstrings
from tests.support.pages import written_by
from tests.support.python_programs import ROOT, python

README = (ROOT / "README.md").read_text()
PLACES = {module: names.split() for module, names in clusterrun._PLACES.items()}

# Options that are no keyword of their function, and keywords that are no option. All others have
# the same name: `--gpu-memory` is `gpu_memory`; `--set` is what argparse calls `overrides`.
MEMBER = "a run of one member sets its values in the spec"
OPTIONS_ONLY = {
    "*": {"json": "the result is a value"},
    "list": {
        "sort": "the order of a printed table",
        "metric": "a column of a printed table",
        "goal": "a column of a printed table",
    },
    "clean": {"runs": "the default", "yes": "nothing is asked"},
    "init": {"yes": "nothing is asked"},
    "render": {"explain": "another result, so another function: explain", "member": MEMBER},
    "rehearse": {"member": MEMBER},
    "resume": {"parsable": "the result is a value"},
    "schema": {"output": "the result is a value, for json.dump"},
    "status": {
        "csv": "another form of the result",
        "sort": "the order of a printed table",
        "metric": "a column of a printed table",
        "goal": "a column of a printed table",
        "watch": "drawn on a screen; a program calls wait, or status in a loop",
    },
    "submit": {
        "dry_run": "another result, so another function: dry_run",
        "member": MEMBER,
        "parsable": "the result is a value",
    },
    "validate": {"member": MEMBER},
}
KEYWORDS_ONLY = {
    "doctor": {"tell": "the progress, which the command prints"},
    "rehearse": {"tell": "the progress, which the command prints"},
}


def test_every_name_is_the_object_of_its_module() -> None:
    """A name is its module's object in a new process, even if that module was imported first."""
    code = f"""
import importlib, os, sys, types
for module, names in {PLACES!r}.items():
    if child := os.fork():
        assert os.waitpid(child, 0)[1] == 0, module
        continue
    assert not [name for name in sys.modules if name.startswith("clusterrun")]
    home = importlib.import_module(f"clusterrun.{{module}}")
    import clusterrun
    for name in names:
        found = getattr(clusterrun, name)
        assert found is getattr(home, name), name
        assert not isinstance(found, types.ModuleType), name
    break
"""
    python(code)


def test_no_module_is_called_like_a_public_name() -> None:
    """Importing a module adds it to the package under its name, where it would hide a function."""
    package = Path(clusterrun.__file__).parent
    modules = {path.stem for path in package.glob("*.py")} | {
        path.name for path in package.glob("*/")
    }
    assert modules & set(clusterrun.__all__) == set()


def test_type_checkers_see_the_same_names() -> None:
    """The imports for type checkers are those of the table, each exported under its own name."""
    (block,) = [
        node
        for node in ast.parse(Path(clusterrun.__file__).read_text()).body
        if isinstance(node, ast.If)
    ]
    read: dict[str, list[str]] = {}
    for line in block.body:
        assert isinstance(line, ast.ImportFrom)
        assert all(alias.asname == alias.name for alias in line.names)
        read[str(line.module).removeprefix("clusterrun.")] = [alias.name for alias in line.names]
    assert read == PLACES


def test_the_table_is_listed() -> None:
    """`__all__` and `dir` have every name once, and nothing else."""
    assert set(clusterrun.__all__) <= set(dir(clusterrun))
    assert len(clusterrun.__all__) == sum(map(len, PLACES.values()))
    with pytest.raises(AttributeError, match="no attribute 'valdate'"):
        clusterrun.valdate  # noqa: B018


def test_the_training_library_loads_the_standard_library_only(tmp_path: Path) -> None:
    """A training environment may lack what the commands need."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import clusterrun.training; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=tmp_path, text=True, capture_output=True, check=True
    )
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert loaded - set(sys.stdlib_module_names) - {"clusterrun", "__main__"} == set()


def options_of(command: str) -> set[str]:
    """Return argparse's names of a command's options."""
    parser = argparse.ArgumentParser(add_help=False)
    importlib.import_module(f"clusterrun.cli.commands.{command}").add_options(parser)
    return {action.dest for action in parser._actions}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_and_its_function_have_the_same_options(command: str) -> None:
    """Options and keywords have the same names; the tables above list and explain each difference."""
    options, keywords = (
        options_of(command),
        set(inspect.signature(getattr(clusterrun, command)).parameters),
    )
    without = {
        **OPTIONS_ONLY.get(command, {}),
        **{name: "" for name in OPTIONS_ONLY["*"] if name in options},
    }
    assert options - keywords == set(without)
    assert keywords - options == set(KEYWORDS_ONLY.get(command, {}))


def test_the_methods_of_a_run_have_the_options_of_the_functions() -> None:
    """A method has the options of its function, without the run."""
    for name in set(COMMANDS) & set(vars(clusterrun.Run)):
        method, function = (
            inspect.signature(found)
            for found in (getattr(clusterrun.Run, name), getattr(clusterrun, name))
        )
        assert list(method.parameters)[1:] == list(function.parameters)[1:], name


def results() -> Iterator[type]:
    for name in clusterrun.__all__:
        found = getattr(clusterrun, name)
        if isinstance(found, type) and dataclasses.is_dataclass(found):
            yield found


@pytest.mark.parametrize("kind", [*results()], ids=lambda kind: kind.__name__)
def test_a_result_is_frozen_and_described(kind: type) -> None:
    """A result is immutable, and each of its fields has a description."""
    assert kind.__dataclass_params__.frozen
    descriptions = field_docstrings(kind)
    assert [one.name for one in dataclasses.fields(kind) if not descriptions.get(one.name)] == []


def test_each_command_is_a_function() -> None:
    """The commands of the README's table, and all others, are functions of the same name."""
    named = set(re.findall(r"^\| `clusterrun (\w+)", README, re.MULTILINE))
    assert len(named) == 8
    assert named <= set(COMMANDS)
    assert all(inspect.isfunction(getattr(clusterrun, name)) for name in COMMANDS)


def test_the_guide_shows_a_loop_that_can_be_read() -> None:
    """The training example for plain Accelerate uses what the training library has."""
    from clusterrun.training import TrainingRun

    guide = (ROOT / "docs" / "guides" / "accelerate.md").read_text()
    programs = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    program = next(text for text in programs if "TrainingRun" in text)
    tree = ast.parse(program)
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    used = {node.attr for node in calls if ast.unparse(node.value) == "run"}
    assert used
    assert all(callable(getattr(TrainingRun, name)) for name in used)


def test_the_reference_matches_the_docstrings() -> None:
    """docs/reference/python.md is what tools/docs/python_api.py writes; run it to update the page."""
    assert (ROOT / "docs" / "reference" / "python.md").read_text() == written_by("python_api")
