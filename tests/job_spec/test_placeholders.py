"""Placeholders in arguments and variables, for values that only the job knows."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from clusterrun import render
from clusterrun.errors import SpecError
from clusterrun.job_spec.load import load_spec
from clusterrun.job_spec.placeholders import SHELL, fill
from clusterrun.planning.value_notes import note_values
from clusterrun.quoting import quote

VALUES = {
    "run_dir": "/scratch/it's $HOME/a  b",
    "run_id": "run-1",
    "attempt": "0002",
    "SLURM_JOB_ID": "17",
    "SLURM_ARRAY_TASK_ID": "3",
    "checkpoint": "*",
}


def word_in_bash(text: str) -> str:
    """Return what a program receives for a text, as the job script writes it."""
    line = f"printf '%s|' {quote(fill(text))}"
    return subprocess.run(
        ["bash", "-c", line], env=VALUES, check=True, capture_output=True, text=True
    ).stdout


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{run_dir}", VALUES["run_dir"]),
        ("--out={run_dir}/a b", f"--out={VALUES['run_dir']}/a b"),
        ("{run_id}-{attempt}-{job_id}", "run-1-0002-17"),
        ("seed {array_task} 'quoted' $(touch x)", "seed 3 'quoted' $(touch x)"),
        ("{checkpoint}", "*"),
        ("{{run_dir}}", "{run_dir}"),
        ("${run_dir}", "${run_dir}"),
        ('{"a": {"run_id": 1}}', '{"a": {"run_id": 1}}'),
        ("{other} {} {RUN_DIR} { run_dir }", "{other} {} {RUN_DIR} { run_dir }"),
        ("$run_dir `id` \\{attempt}", "$run_dir `id` \\0002"),
    ],
)
def test_a_program_receives_one_word(text: str, word: str) -> None:
    assert word_in_bash(text) == f"{word}|"


def test_each_placeholder_has_a_value() -> None:
    for name, variable in SHELL.items():
        assert word_in_bash(f"{{{name}}}") == f"{VALUES[variable.removeprefix('$')]}|"


def write_spec(folder: Path, text: str) -> Path:
    (folder / "train.py").write_text("print('hello')\n")
    spec = folder / "job.yaml"
    spec.write_text(f"name: j\nscript: train.py\nslurm: {{nodes: 1, time: 1:00:00}}\n{text}")
    return spec


def test_the_script_quotes_what_surrounds_them(tmp_path: Path) -> None:
    spec = write_spec(
        tmp_path,
        "args: {out: '{run_dir}/my out', words: ['{job_id}', b]}\n"
        "environment: {variables: {OUT: '{run_dir}/x y'}}\n",
    )
    script = render(spec)
    assert """--out "$run_dir"'/my out'""" in script
    assert '--words "$SLURM_JOB_ID" b' in script
    assert """export OUT="$run_dir"'/x y'""" in script


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("args: {a: '{array_task}'}", "args.a: {array_task} has no value without slurm.array"),
        ("args: {a: [b, '{array_task}']}", "args.a: {array_task} has no value without slurm.array"),
        ("args: ['{array_task}']", "args[0]: {array_task} has no value without slurm.array"),
        (
            "args: {a: '{checkpoint}'}",
            "args.a: {checkpoint} requires checkpoint.path, the place of the checkpoints",
        ),
        (
            "environment: {variables: {A: '{checkpoint}'}}",
            "environment.variables.A: {checkpoint} is found after the environment is set up",
        ),
        ("args: {a: {run_dir}}", "args.a: a mapping in YAML"),
    ],
)
def test_a_placeholder_without_a_value_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(write_spec(tmp_path, text + "\n"))
    (problem,) = caught.value.problems
    assert f"{problem.key}: {problem.message}" == message
    assert problem.where.endswith("job.yaml:4")
    assert problem.hint


@pytest.mark.parametrize(
    ("value", "use"),
    [
        ("$SLURM_ARRAY_TASK_ID", "write {array_task}"),
        ("x-${SLURM_JOB_ID}", "write {job_id}"),
        ("$CLUSTERRUN_RUN_DIR/out", "write {run_dir}"),
        ("$HOME/data", "read it in the script"),
    ],
)
def test_a_variable_of_a_shell_gets_a_note(tmp_path: Path, value: str, use: str) -> None:
    loaded = load_spec(write_spec(tmp_path, f"args:\n  a: '{value}'\n"))
    (note,) = note_values(loaded)
    assert note.endswith(f"not expanded by a shell; {use}")
    assert "job.yaml:5: args.a: " in note


@pytest.mark.parametrize("value", ["costs $5", "a$", "{run_dir}", "^x$"])
def test_a_dollar_without_a_name_gets_none(tmp_path: Path, value: str) -> None:
    loaded = load_spec(write_spec(tmp_path, f"args: {{a: '{value}'}}\n"))
    assert not [*note_values(loaded)]


@pytest.mark.parametrize("part", ["args: 1.5", "args: x", "environment: 1", "checkpoint: 2"])
def test_sections_of_another_kind_are_refused(tmp_path: Path, part: str) -> None:
    with pytest.raises(SpecError):
        load_spec(write_spec(tmp_path, f"{part}\n"))
