"""Arguments and variables that do something other than they seem to: `$NAME`, secrets, PATH."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from clusterrun.planning.preparation import Prepared, Request, prepare

LITERAL = "is passed on as written"
LEAK = "this looks like a secret"
VALUES: list[tuple[dict[str, Any], str]] = [
    ({"args": {"data": "$SCRATCH/data"}}, f"args.data: $SCRATCH {LITERAL}"),
    ({"args": {"data": ["a", "${HOME}/b"]}}, f"args.data: $HOME {LITERAL}"),
    ({"args": ["--data", "$SCRATCH"]}, f"args[1]: $SCRATCH {LITERAL}"),
    ({"environment": {"variables": {"DATA": "$HOME/data"}}}, f"variables.DATA: $HOME {LITERAL}"),
    ({"args": {"pattern": "costs 5$", "regex": "^a$"}}, ""),
    ({"args": {"hub_token": "hf_" + "a" * 30}}, f"args.hub_token: {LEAK}"),
    ({"args": {"anything": "sk-" + "a" * 30}}, f"args.anything: {LEAK}"),
    ({"args": {"password": "correcthorse"}}, f"args.password: {LEAK}"),
    ({"environment": {"variables": {"WANDB_API_KEY": "0123456789abcdef"}}}, LEAK),
    ({"environment": {"variables": {"REMOTE": "https://u:ghp_x@github.com/x"}}}, LEAK),
    ({"environment": {"variables": {"DB_URL": "postgres://user:pw@host/db"}}}, LEAK),
    ({"args": {"hook": "https://discord.com/api/webhooks/1/abcdef"}}, f"args.hook: {LEAK}"),
    ({"args": {"slack": "xoxb-1234567890-abcdef"}}, f"args.slack: {LEAK}"),
    ({"args": {"google": "AIza" + "a" * 35}}, f"args.google: {LEAK}"),
    ({"args": {"header": "Authorization: Bearer abcdefgh1234"}}, f"args.header: {LEAK}"),
    ({"environment": {"variables": {"HF_TOKEN": "abcdef123456"}}}, f"variables.HF_TOKEN: {LEAK}"),
    ({"args": {"max_new_tokens": 512, "eos_token": "</s>", "sort_key": "abcdefgh12345678"}}, ""),
    ({"environment": {"variables": {"OPENAI_API_KEY": "EMPTY", "HF_TOKEN": "{run_dir}/t"}}}, ""),
    ({"args": {"use_token": True, "pad_token": "<pad>", "tokens": 300, "token": "/a/file"}}, ""),
]  # fmt: skip
PATHS = [
    ("$HOME/bin:$PATH", "variables in it are not replaced"),
    ("${HOME}/bin:/usr/bin", "variables in it are not replaced"),
    ("/opt/bin", "contains neither /usr/bin nor /bin"),
    ("/opt/bin:/usr/bin", ""),
]


def prepared(folder: Path, values: dict[str, Any]) -> Prepared:
    (folder / "train.py").write_text("print('trains')")
    (folder / "job.yaml").write_text(yaml.safe_dump({"name": "x", "script": "train.py", **values}))
    return prepare(Request(str(folder / "job.yaml"), cwd=folder, own_python=False))


@pytest.mark.parametrize(("values", "note"), VALUES)
def test_a_note_names_the_line_and_what_the_value_does(
    tmp_path: Path, values: dict[str, Any], note: str
) -> None:
    notes = [one for one in prepared(tmp_path, values).notes if LITERAL in one or LEAK in one]
    assert len(notes) == bool(note), notes
    assert not note or (note in notes[0] and "job.yaml:" in notes[0])


@pytest.mark.parametrize(("path", "problem"), PATHS)
def test_a_path_without_the_systems_programs_is_refused(
    tmp_path: Path, path: str, problem: str
) -> None:
    """The run would be LOST: its own script finds no program."""
    found = prepared(tmp_path, {"environment": {"variables": {"PATH": path}}}).problems
    assert [problem in str(one) for one in found] == [True] * bool(problem)


@pytest.mark.parametrize("name", ["ALL", "NONE", "NIL", "all"])
def test_a_secret_cannot_have_one_of_sbatchs_words(tmp_path: Path, name: str) -> None:
    """`--export=ALL` passes on the whole environment, sbatch(1)."""
    with pytest.raises(Exception, match="is a keyword of sbatch --export"):
        prepared(tmp_path, {"environment": {"secrets": [name]}})
