"""The members of a sweep: their number, order, values and names; and every mistake in the section."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clusterrun.errors import SpecError
from clusterrun.job_spec.writing import write_spec
from clusterrun.planning.preparation import Prepared, Request, prepare
from clusterrun.planning.validation import list_members


def prepared(folder: Path, text: str, **options: Any) -> Prepared:
    (folder / "train.py").write_text("print(1)\n")
    request = Request(
        "s.yaml", (), "", environment={}, cwd=folder, own_python=False, text=text, **options
    )
    return prepare(request)


def members(folder: Path, sweep: str, name: str = "run") -> list[tuple[str, dict[str, str]]]:
    text = f"name: {name}\nscript: train.py\nargs: {{lr: 1, seed: 0}}\nsweep: {sweep}\n"
    return [(one.name, one.values) for one in list_members(prepared(folder, text))]


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        prepared(folder, text)
    return [str(problem) for problem in caught.value.problems]


def test_a_grid_has_every_combination(tmp_path):
    """The last path varies first, and values stay as written."""
    found = members(
        tmp_path, "{grid: {args.lr: [1e-4, 3e-4], args.seed: [1, 2]}}", "x-{args.lr}-s{args.seed}"
    )
    assert [name for name, _ in found] == ["x-1e-4-s1", "x-1e-4-s2", "x-3e-4-s1", "x-3e-4-s2"]
    assert found[3][1] == {"args.lr": "3e-4", "args.seed": "2"}


def test_parts_are_combined(tmp_path):
    """Rows of zip and cases are combined with each value of the grid."""
    sweep = "{grid: {args.seed: [1, 2]}, zip: {args.a: [x, y], args.b: [1, 2]}, cases: [{args.c: 1}, {args.d: 2}]}"
    found = [values for _, values in members(tmp_path, sweep)]
    assert len(found) == 8
    assert found[-1] == {"args.seed": "2", "args.a": "y", "args.b": "2", "args.d": "2"}


def test_random_values_depend_on_the_seed_only(tmp_path):
    """The same seed gives the same members, within the limits, and all differ."""
    text = "{random: {count: 40, seed: %d, args.lr: {log_uniform: [1e-5, 1e-3]}, args.k: {choice: [a, b]}}}"
    first, again, other = (members(tmp_path, text % seed) for seed in (7, 7, 8))
    assert first == again != other
    assert len({tuple(values.values()) for _, values in first}) == 40
    assert all(1e-5 <= float(values["args.lr"]) <= 1e-3 for _, values in first)
    assert first[0][1] == {"args.lr": "4.44289e-05", "args.k": "a"}


def test_names_that_do_not_differ_get_numbers(tmp_path):
    """A name without a placeholder, or whose values are equal as names, ends in the number."""
    assert [name for name, _ in members(tmp_path, "{grid: {args.seed: [1, 2]}}")] == [
        "run-0",
        "run-1",
    ]
    found = members(tmp_path, "{grid: {args.m: [a/b, a b]}}", "run-{args.m}")
    assert [name for name, _ in found] == ["run-a-b-0", "run-a-b-1"]


def test_one_member_is_a_run_of_its_own(tmp_path):
    """`--member` gives the spec that `--set` of its values gives, without an array."""
    text = "name: x-{args.seed}\nscript: train.py\nsweep: {grid: {args.seed: [5, 6]}}\n"
    spec = prepared(tmp_path, text, member=1).loaded.spec
    assert (spec.name, spec.args, spec.slurm.array) == ("x-6", {"seed": "6"}, None)
    with pytest.raises(SpecError, match=r"--member: the sweep has no member 2\n  hint: use 0 to 1"):
        prepared(tmp_path, text, member=2)
    with pytest.raises(SpecError, match=r"has no sweep, so it has no member 0"):
        prepared(tmp_path, "script: train.py\n", member=0)


def test_all_mistakes_of_a_sweep_are_reported_at_once(tmp_path):
    """Each has its line, and a hint if it is clear what to write."""
    text = """name: x-{args.foo}
script: train.py
slurm: {array: 0-3}
sweep:
  grid:
    args.lr: []
    slurm.nodes: [1, 2]
    seed: [1]
    args.bad: 3
  zip: {args.a: [1, 2], args.b: [1]}
  cases: [1]
  random: {count: 0, args.z: {uniform: [3, 1]}}
  max_runing: 3
"""
    assert problems(tmp_path, text) == [
        "s.yaml:3: slurm.array: cannot be combined with sweep\n"
        "  hint: delete it: a sweep is a job array; to repeat its members, add a seed to the grid",
        "s.yaml:6: sweep.grid.args.lr: empty list\n  hint: add values, or delete the key",
        "s.yaml:7: sweep.grid.slurm.nodes: cannot be swept: only args.NAME and environment.variables.NAME can\n"
        "  hint: submit one sweep per value, with --set slurm.nodes=VALUE",
        "s.yaml:8: sweep.grid.seed: cannot be swept: only args.NAME and environment.variables.NAME can\n"
        "  hint: did you mean args.seed?",
        "s.yaml:9: sweep.grid.args.bad: must be a list of values, got a number\n  hint: write [3]",
        "s.yaml:10: sweep.zip: the lists must have the same length: args.a has 2, args.b has 1",
        "s.yaml:11: sweep.cases[0]: must be a mapping of paths to values, got a number",
        "s.yaml:12: sweep.random.args.z.uniform: must be two numbers, the smaller one first",
        "s.yaml:12: sweep.random.count: must be a whole number from 1 to 1000",
        "s.yaml:13: sweep.max_runing: unknown key\n  hint: did you mean max_running?",
    ]


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ("{grid: {args.a: [1, 1.0]}}", "s.yaml:2: sweep: members 0 and 1 are equal: args.a=1.0\n"
         "  hint: delete one of them"),
        ("{}", "s.yaml:2: sweep: has no members\n  hint: add grid: {args.seed: [1, 2, 3]}"),
        ("{grid: {args.a: [1]}, cases: [{args.a: 2}]}", "s.yaml:2: sweep: args.a is already set at s.yaml:2\n"
         "  hint: delete one of the two"),
        ("{random: {count: 3, args.a: {choice: [1, 2]}}}", "s.yaml:2: sweep.random.count: only 2 different members "
         "were drawn, not 3\n  hint: reduce count, or use grid"),
        ("{grid: {args.a: [1, [2, [3]], {}]}}", "s.yaml:2: args.a: must be one line of text, got a list "
         "(member 1: args.a=[2, [3]])"),
        ("{grid: {environment.variables.a: [1, [2]], args.b: [1, 2]}}", "s.yaml:2: environment.variables.a: must be "
         "one line of text, got a list (member 2 and 1 more: environment.variables.a=[2], args.b=1)"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_sweep(tmp_path, sweep, message):
    """A value that a single run refuses is reported once, with the values of the first member."""
    assert message in problems(tmp_path, f"script: train.py\nsweep: {sweep}\n")


def test_a_million_members_are_counted_not_made(tmp_path):
    """The number is in the message."""
    grid = {f"args.{name}": [*range(100)] for name in "abc"}
    text = write_spec({"script": "train.py", "sweep": {"grid": grid}})
    (found,) = problems(tmp_path, text)
    assert "sweep.grid: 1000000 members, at most 1000 are allowed" in found


def test_the_rules_of_arrays_hold_for_sweeps(tmp_path):
    """Members cannot continue in a job outside the array, nor share checkpoints."""
    text = "script: train.py\nrequeue: {by: successor}\ncheckpoint: {path: out/*}\nsweep: {grid: {args.a: [1, 2]}}\n"
    found = "\n".join(problems(tmp_path, text))
    assert "requeue.by: cannot be combined with sweep" in found
    assert "checkpoint.path: the tasks of sweep would resume from each other's checkpoints" in found


def test_a_swept_value_cannot_be_overridden(tmp_path):
    """`--set` of a path of the sweep is a mistake, as the sweep would override it."""
    text = "script: train.py\nsweep: {grid: {args.a: [1, 2]}}\n"
    request = Request(
        "s.yaml", ("args.a=3",), "", environment={}, cwd=tmp_path, own_python=False, text=text
    )
    with pytest.raises(SpecError, match=r"--set args\.a: args\.a: is set by the sweep"):
        prepare(request)
