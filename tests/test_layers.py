"""Which module may import which."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import clusterrun

PACKAGE = Path(clusterrun.__file__).parent

# A folder, or a module of the root, imports only from lower floors. CONTRIBUTING shows this table.
FLOORS = tuple(
    line.split()
    for line in """
    errors files quoting units version
    results slurm training_script
    job_spec run_folder
    code_record estimation local sweeps training
    planning run_status
    reporting run_logs starter submission
    diagnosis rehearsal upkeep
    site_checks
    json_output
    api cli
    __main__
    """.strip().splitlines()
)
FLOOR_OF = {name: number for number, names in enumerate(FLOORS) for name in names}

# No clock, environment, process or file: functions from values to values. A folder means its
# modules.
PURE = """
    diagnosis.classification diagnosis.failures diagnosis.findings diagnosis.launcher_summary
    diagnosis.reason_text diagnosis.reasons diagnosis.stacks job_spec planning.accelerate_config planning.launch
    planning.plan planning.strategy quoting reporting.goodput
    reporting.page.charts reporting.page.comparison_charts reporting.page.scales run_folder.causes run_logs.attribution slurm.ids slurm.node_lists
    starter.from_sbatch sweeps.expansion sweeps.names sweeps.settings training_script
    """.split()
# These read the files that a spec names, the installed accelerate, or the user's profile.
NOT_PURE = """
    job_spec job_spec.load job_spec.profile planning.strategy.check planning.strategy.files planning.strategy.installed
    training_script.reading
    """.split()
IMPURE = {
    "os",
    "subprocess",
    "time",
    "datetime",
    "random",
    "secrets",
    "socket",
    "shutil",
    "sys",
    "tempfile",
    "io",
}


def modules() -> dict[str, Path]:
    """Return every module by its name below `clusterrun`, except the package, which imports
    nothing.
    """
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    del found[""]
    return found


MODULES = modules()


def nodes(tree: ast.AST, *, at_import: bool) -> Iterator[ast.AST]:
    """Walk a module without type-checking code; with `at_import` also without function bodies."""
    for node in ast.iter_child_nodes(tree):
        for_types = (
            isinstance(node, ast.If)
            and isinstance(node.test, ast.Name)
            and node.test.id == "TYPE_CHECKING"
        )
        later = at_import and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        if not for_types and not later:
            yield node
            yield from nodes(node, at_import=at_import)


def imports(name: str, *, at_import: bool = False) -> set[str]:
    """The full names that a module imports; with `at_import` only those at import time."""
    path, found = MODULES[name], set()
    package = ["clusterrun", *path.parent.relative_to(PACKAGE).parts]
    for node in nodes(ast.parse(path.read_text()), at_import=at_import):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def ours(name: str) -> set[str]:
    """The modules of the package that a module imports, by their names below `clusterrun`."""
    found = set()
    for target in imports(name):
        parts = target.split(".")
        if parts[0] == "clusterrun":
            inner = [".".join(parts[1:end]) for end in range(len(parts), 1, -1)]
            found.add(next(module for module in inner if module in MODULES))
    return found - {name}


def floor(name: str) -> int:
    return FLOOR_OF[name.split(".", maxsplit=1)[0]]


def test_every_module_has_a_floor():
    """A new module gets its floor explicitly, and a removed module loses it."""
    assert {name.split(".", maxsplit=1)[0] for name in MODULES} == set(FLOOR_OF)
    assert sum(map(len, FLOORS)) == len(FLOOR_OF)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_from_lower_floors_only(name):
    """To understand a module, only lower floors must be known."""
    package = name.split(".", maxsplit=1)[0]
    outside = {target for target in ours(name) if target.split(".", maxsplit=1)[0] != package}
    assert {target for target in outside if floor(target) >= floor(name)} == set()


def test_no_floor_is_higher_than_it_must_be():
    """The floors are those of the code: each is just above the highest that it uses."""
    for package, number in FLOOR_OF.items():
        members = [name for name in MODULES if name.split(".", maxsplit=1)[0] == package]
        used = {
            target
            for name in members
            for target in ours(name)
            if target.split(".", maxsplit=1)[0] != package
        }
        assert number == max((floor(target) + 1 for target in used), default=0)


def test_no_import_cycles():
    """Modules import each other without cycles, also inside a package."""
    left = {name: ours(name) for name in MODULES}
    while ready := [name for name, needs in left.items() if not needs & set(left)]:
        for name in ready:
            del left[name]
    assert left == {}


def is_pure(name: str) -> bool:
    """Return whether a module, or a folder that contains it, is listed as pure."""
    return name not in NOT_PURE and any(f"{name}.".startswith(f"{pure}.") for pure in PURE)


@pytest.mark.parametrize("name", [*filter(is_pure, MODULES)])
def test_planning_is_pure(name):
    """The code that decides the script imports no clock, environment, process or file system."""
    assert {target.split(".", maxsplit=1)[0] for target in imports(name)} & IMPURE == set()
    assert "pathlib.Path" not in imports(name)
    used = {
        node.id
        for node in nodes(ast.parse(MODULES[name].read_text()), at_import=False)
        if isinstance(node, ast.Name)
    }
    assert used & {"open", "print", "input", "exec", "eval", "globals"} == set()


def test_the_renderer_and_the_reader_look_only_at_their_files():
    """planning.script and job_spec.load read files, but start no process and read no clock."""
    for name in ("planning.script", "job_spec.load"):
        assert {target.split(".", maxsplit=1)[0] for target in imports(name)} & (
            IMPURE - {"os"}
        ) == set()
        tree = ast.parse(MODULES[name].read_text())
        assert {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & {
            "environ",
            "getenv",
        } == set()


def test_a_library_is_behind_one_module():
    """A change of a library affects one module."""
    users = {library: {name for name in MODULES if any(target.split(".", maxsplit=1)[0] == library for target in imports(name))}
             for library in ("jinja2", "submitit", "tree_sitter")}  # fmt: skip
    assert users == {
        "jinja2": {"planning.script", "reporting.page.drawing"},
        "submitit": {"slurm.submitit_seam", "local"},
        "tree_sitter": {"starter.from_sbatch.bash"},
    }


RECORDS = {"run_folder.paths", "run_folder.records", "run_folder.causes"} | {
    "run_folder.metric_values"
}
FOR_TRAINERS = {"training.trainer", "training.hf_trainer.callbacks", "training.hf_trainer.session"}


def test_the_training_library_can_be_imported_anywhere():
    """It needs only the ground floor and the standard library, as our dependencies may be missing."""
    for name in (name for name in MODULES if name.split(".", maxsplit=1)[0] == "training"):
        outside = {target for target in ours(name) if not target.startswith("training")}
        assert outside <= {"errors", "files.reading", "units", "version", *RECORDS}
        others = {target.split(".", maxsplit=1)[0] for target in imports(name, at_import=True)} - {
            "clusterrun"
        }
        # code for transformers.Trainer is imported only with it
        assert others - set(sys.stdlib_module_names) == (
            {"transformers"} if name in FOR_TRAINERS else set()
        )
    assert not any(set(ours(name)) & FOR_TRAINERS for name in MODULES if name not in FOR_TRAINERS)


def test_the_floors_are_those_of_the_page():
    """CONTRIBUTING shows the same table, the highest floor first."""
    page = (PACKAGE.parent / "CONTRIBUTING.md").read_text()
    (table,) = re.findall(r"```\n(10 .*?)\n```", page, re.DOTALL)
    assert [line.split()[1:] for line in reversed(table.splitlines())] == [*FLOORS]


def test_the_page_names_every_folder():
    """The page has a heading for each folder of the package."""
    page = (PACKAGE.parent / "docs" / "concepts" / "journey.md").read_text()
    headings = " ".join(re.findall(r"^### (.*)$", page, re.MULTILINE))
    folders = {name for name in FLOOR_OF if (PACKAGE / name).is_dir()}
    assert {name for name in folders if f"{name}/" not in headings} == set()


def test_no_module_is_called_like_a_public_function():
    """A name is a function or a module, not both; command files are named like their commands."""
    functions = {name for name in clusterrun.__all__ if name.islower()}
    parts = {
        part for name in MODULES if not name.startswith("cli.commands.") for part in name.split(".")
    }
    assert parts & functions == set()
    assert sum("." not in name for name in MODULES if not (PACKAGE / name).is_dir()) < 10


def test_no_class_name_is_defined_twice():
    """A class name means one thing."""
    found: dict[str, list[str]] = {}
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(name)
    assert {name: places for name, places in found.items() if len(places) > 1} == {}


def test_nothing_is_called_utils():
    """A module is named for its content."""
    assert {
        name
        for name in MODULES
        if set(name.split(".")) & {"utils", "util", "helpers", "common", "misc"}
    } == set()
