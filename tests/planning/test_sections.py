"""The sections of a script: those that its run needs, all that they call, and their version."""

from __future__ import annotations

import itertools
import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from clusterrun.job_spec import load_spec
from clusterrun.planning.plan import LaunchPlan
from clusterrun.planning.script import render
from clusterrun.planning.sections import SECTIONS, VERSION, WITHOUT, digest
from tests.support.bash_functions import FUNCTIONS, run_script
from tests.support.bash_sets import assigned
from tests.support.bash_text import BashText, exported_functions, read_bash
from tests.support.planned import plan_of

RECORDED = Path(__file__).parents[1] / "golden" / "functions.txt"
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "nodes": [{}, {"slurm": {"nodes": 4}}],
    "array": [{}, {"slurm": {"array": "0-3"}}],
    "notify": [{}, {"notify": [{"on": ["finished"], "to": {"mail": "me@example.org"}}]}],
    "shrink_to": [{}, {"requeue": {"shrink_to": 2}}],
    "by": [{}, {"requeue": {"by": "requeue"}}],
    "node_check": [{}, {"node_check": False}],
    "hang": [{}, {"hang": "off"}],
    "checkpoint": [{}, {"checkpoint": {"path": "{run_dir}/step-*"}}],
    "signal": [{}, {"checkpoint": {"signal": "SIGTERM"}}],
    "environment": [{}, {"environment": {"modules": ["cuda"], "conda": "base"}}],
    "gpus": [{}, {"slurm": {"gpus-per-node": 2}}],
}
ALL = [
    choice
    for choice in itertools.product(*(range(len(values)) for values in OPTIONS.values()))
    # a run that shrinks has several nodes, has no array, and may continue as another job
    if not choice[3] or (choice[0] and not choice[1] and not choice[4])
]
# A sample is rendered; 35 is coprime to the numbers of values, so every pair of options occurs.
RENDERED = ALL[::35]


def plan(choice: tuple[int, ...], folder: Path) -> LaunchPlan:
    """Plan a spec with these options."""
    spec: dict[str, Any] = {"script": "train.py"}
    for number, values in zip(choice, OPTIONS.values(), strict=True):
        for key, value in values[number].items():
            spec[key] = {**spec.get(key, {}), **value} if isinstance(value, dict) else value
    (folder / "job.json").write_text(json.dumps(spec))
    return plan_of(load_spec(folder / "job.json").spec)


@cache
def section(name: str) -> BashText:
    """What a function file defines and calls."""
    file = FUNCTIONS / f"{name}.sh"
    return read_bash(file.read_text()) if file.is_file() else BashText({"": set()}, {})


KNOWN = set().union(
    *(section(name).defined for name in SECTIONS),
    {"apply_environment", "launch", "write_configs", "node_check", "main"},
)
SETTINGS = set(
    re.findall(r"^(\w+)=", (FUNCTIONS.parent / "_settings.j2").read_text(), re.MULTILINE)
)


def undefined(parts: list[BashText]) -> set[str]:
    """Return functions that are called but not defined; `declare -F` guards are ignored."""
    defined = set[str]().union(*(part.defined for part in parts))
    called = set[str]().union(*(words for part in parts for words in part.calls.values()))
    return (called & KNOWN) - defined - {"node_check"}


def test_every_file_is_a_section() -> None:
    """The table has every function file in order; a section that others call has a stub."""
    assert list(SECTIONS) == [file.stem for file in sorted(FUNCTIONS.glob("*.sh"))]
    for file in (FUNCTIONS / WITHOUT).iterdir():
        assert file.stem in SECTIONS
        assert read_bash(file.read_text()).defined <= section(file.stem).defined


def test_no_function_is_misspelled() -> None:
    """Every call that looks like a function, with an underscore, is one."""
    files = [read_bash(file.read_text()) for file in FUNCTIONS.glob("**/*.sh")]
    called = set[str]().union(*(words for file in files for words in file.calls.values()))
    text = "".join(file.read_text() for file in FUNCTIONS.glob("**/*.sh"))
    variables = set(re.findall(r"\b(\w+)=", text)) | set(
        re.findall(r"\w+", " ".join(re.findall(r"^ *(?:local|export) (.*)$", text, re.MULTILINE)))
    )
    known = KNOWN | {"select_member", "clusterrun_own_part"}  # of a sweep; of the user's shell
    assert {word for word in called - known - variables if "_" in word.strip("_")} <= SETTINGS


@pytest.mark.parametrize("file", sorted(FUNCTIONS.glob("**/*.sh")), ids=lambda file: file.stem)
def test_a_function_declares_the_variables_of_its_caller_that_it_sets(file: Path) -> None:
    """bash has dynamic scopes: `# sets: a, b` names what a function assigns without `local`."""
    text = file.read_text()
    declared = re.findall(r"^# sets: (.*)\n(\w+)\(\) ", text, re.MULTILINE)
    expected = {name: names for name, names in assigned(text).items() if names}
    assert {name: set(names.split(", ")) for names, name in declared} == expected
    assert text.count("# sets: ") == len(declared)


def test_every_combination_of_options_defines_the_functions_it_calls(tmp_path: Path) -> None:
    """For every spec, sections call only functions that the script has."""
    sets = set[tuple[str, ...]]()
    for choice in ALL:
        launch_plan = plan(choice, tmp_path)
        sets.add(tuple(name for name, needs in SECTIONS.items() if needs(launch_plan)))
    assert len(sets) > 150
    for needed in sets:
        absent = [f"{WITHOUT}/{name}" for name in SECTIONS if name not in needed]
        own = BashText(
            {"": set()}, dict.fromkeys(("apply_environment", "launch", "write_configs"), "")
        )
        assert undefined([own, *map(section, [*needed, *absent])]) == set(), needed


@pytest.mark.parametrize("choice", RENDERED)
def test_a_rendered_script_defines_the_functions_it_calls(
    choice: tuple[int, ...], tmp_path: Path
) -> None:
    """bash parses the whole script; each node gets the functions that its task may call."""
    text = render(plan(choice, tmp_path))
    read = read_bash(text)
    assert undefined([read]) == set()
    exported = set(exported_functions(text))
    assert read.reached_from("run_node_task") <= exported <= KNOWN
    done = run_script(text, "-n")
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_section_is_omitted_if_the_run_does_not_need_it(tmp_path: Path) -> None:
    """The simplest run has no code for other nodes, people, smaller jobs or own checkpoints."""
    text = render(plan((0,) * len(OPTIONS), tmp_path))
    found = "modules, conda, checkpoint, several-nodes, torch-check, stop-signal, notify, smaller"
    assert f"\n# not needed by this run: {found}\n" in text
    for gone in (
        "find_modules",
        "find_newest_match",
        "is_connected_to_head_node",
        "send_mail",
        "submit_smaller_job",
    ):
        assert f"{gone}() " not in text
    assert "queue_successor() {\n" in text
    assert "# not needed" not in render(plan((1, 0, 1, 1, 0, 0, 0, 1, 1, 1, 1), tmp_path))


def test_the_version_changes_with_the_functions() -> None:
    """Each version of the functions from 2 on has one text: a change after a release is a new
    version.

    `make golden` records the digest of the version under development.
    """
    lines = (
        [line for line in RECORDED.read_text().splitlines() if line] if RECORDED.is_file() else []
    )
    now = f"{VERSION} {digest(FUNCTIONS)}"
    if os.environ.get("CLUSTERRUN_GOLDEN") == "write":
        lines = [line for line in lines if line.split()[0] != str(VERSION)] + [now]
        RECORDED.write_text("\n".join(lines) + "\n")
    assert [line.split()[0] for line in lines] == [str(2 + number) for number in range(VERSION - 1)]
    assert lines[-1] == now, (
        "a function has changed: `make golden`, with a new VERSION after a release"
    )
