"""`--json` output matches `clusterrun schema COMMAND`, for results and errors, without Slurm.

tests/slurm/test_every_command.py checks the same schemas on a real cluster.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import jsonschema
import pytest

from clusterrun import cli
from clusterrun.cli.output.printed_json import print_json
from clusterrun.json_output.answer_schema import answer_schema
from clusterrun.json_output.output_types import OUTPUTS
from clusterrun.rehearsal.comparison import LossComparison, WeightComparison
from clusterrun.rehearsal.result import Phase, Rehearsal
from tests.support.answers import fits
from tests.support.cli_desk import Desk
from tests.support.pages import written_by

ROOT = Path(__file__).resolve().parents[2]
# Their output is not for programs: a shell script, and a schema, which is JSON already.
WITHOUT_JSON = {"completion", "schema"}


def options_of(command: str) -> set[str]:
    parser = cli._build_parser([command])
    (commands,) = [
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    ]
    return {word for action in commands.choices[command]._actions for word in action.option_strings}


def reference() -> str:
    return written_by("answers")


def test_every_command_has_json_output():
    """Every command has `--json`, and every command with `--json` has a schema."""
    assert (
        {name for name in cli.COMMANDS if "--json" in options_of(name)}
        == {*OUTPUTS}
        == {*cli.COMMANDS} - WITHOUT_JSON
    )


@pytest.mark.parametrize("command", OUTPUTS)
def test_the_schema_is_printed(desk, command):
    """`clusterrun schema COMMAND` prints a schema of its declared dialect that explains every key."""
    answer = json.loads(desk.type("schema", command).stdout)
    assert answer == answer_schema(command)
    jsonschema.Draft202012Validator.check_schema(answer)


def test_an_unknown_command_is_refused(desk):
    done = desk.type("schema", "sbumit")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "schema: 'sbumit' is not a command with --json\n  hint: use one of best, cancel, checkpoints, clean, compare"
    )


def test_the_reference_matches_the_schemas():
    """docs/reference/json.md is what tools/docs/answers.py writes, and every key has a description."""
    page = reference()
    assert (ROOT / "docs" / "reference" / "json.md").read_text() == page
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) > 150
    assert [row for row in rows if re.search(r"\|\s*\|$", row)] == []


@pytest.fixture
def desk_with_runs(desk) -> Desk:
    """A user with one finished run, one failed run, and one whose loss became NaN."""
    desk.run(
        "good", job_id="local", cause="finished", next="end", exit_code="0", ended="1800000000"
    )
    desk.run("bad", job_id="local", cause="crash", next="end", exit_code="1", ended="1800000000")
    lost = desk.run(
        "lost", job_id="local", cause="crash", next="end", exit_code="1", ended="1800000000"
    )
    lost.progress.write_text("step=3\ntotal=9\nloss=nan\nrate=nan\nlearning_rate=inf\n")
    return desk


@pytest.mark.parametrize("words", [
    "status", "status good", "status bad", "status lost", "list", "why good", "why bad", "report good", "report bad",
    "checkpoints good", "wait good", "wait bad", "stop good", "cancel bad", "clean --keep 0 --dry-run",
    "validate job.yaml", "render job.yaml --explain", "submit job.yaml --dry-run", "doctor",
    "estimate --parameters 7B --gpus 8 --gpu-memory 80GB", "init --script train.py -o new.yaml",
])  # fmt: skip
def test_answers(desk_with_runs, words):
    """stdout is one value of strict JSON."""
    command, *rest = words.split()
    done = desk_with_runs.type(command, *rest, "--json")
    assert done.returncode in (0, 1)
    answer = fits(command, done.stdout)
    assert not (isinstance(answer, dict) and set(answer) == {"problems"})


def test_a_line_of_a_log(desk_with_runs):
    """`logs` prints one object per line."""
    lines = desk_with_runs.type("logs", "good", "--json").stdout.splitlines()
    assert [fits("logs", line)["text"] for line in lines] == ["first line", "last line"]


@pytest.mark.parametrize(("words", "code"), [
    ("status nobody", 2), ("why nobody", 2), ("logs nobody", 2), ("report nobody", 2), ("wait nobody", 2),
    ("checkpoints nobody", 2), ("stop nobody", 2), ("cancel nobody", 2), ("resume nobody", 2), ("requeue nobody", 2),
    ("requeue good", 1), ("validate wrong.yaml", 2), ("render wrong.yaml --explain", 2), ("submit wrong.yaml", 2),
    ("submit job.yaml", 1), ("rehearse wrong.yaml", 2), ("notify --test wrong.yaml", 2), ("estimate", 2),
    ("list --since yesterday", 2), ("clean", 2), ("init --from-sbatch nowhere.sh", 2),
])  # fmt: skip
def test_failures(desk_with_runs, words, code):
    """A failed command prints an object with all errors, which stderr lists as well."""
    desk_with_runs.write("script: train.py\nslurm: {nodes: no, time: never}\n", "wrong.yaml")
    command, *rest = words.split()
    done = desk_with_runs.type(command, *rest, "--json")
    assert done.returncode == code
    problems = fits(command, done.stdout)["problems"]
    assert problems
    assert all(problem["message"] in done.stderr for problem in problems)
    if "wrong.yaml" in rest:
        assert {problem["key"] for problem in problems} == {"slurm.nodes", "slurm.time"}


def test_a_rehearsal(capsys):
    """The fullest possible result matches; tests/slurm/test_rehearse.py checks a real rehearsal."""
    full = Rehearsal("tiny", reasons=["none"], stopped_at_step=3, saved_step=3, resumed_from_step=3, first_step_after=4, nodes=["n1"],
                     losses=LossComparison(3, 4, 6, float("inf"), 4, None, 3, 0.0, 1e-3),
                     weights=WeightComparison(6, ("model.safetensors",), (), (), None),
                     phases=[Phase("queue", 1.0), Phase("save", None)])  # fmt: skip

    print_json(full)
    assert fits("rehearse", capsys.readouterr().out)["losses"]["largest_difference"] is None
