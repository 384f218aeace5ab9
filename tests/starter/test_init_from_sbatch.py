"""`init --from-sbatch`: the spec of an old script, and what is reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clusterrun.errors import SpecError
from clusterrun.job_spec import load_spec
from clusterrun.starter.files import SCHEMA_FILE
from clusterrun.starter.sbatch import from_sbatch
from tests.starter.conftest import OLD


def test_from_sbatch_reports_its_mistakes(desk):
    """Each mistake has its line and a hint; the spec is written, and missing values are named."""
    done = desk.type("init", "--from-sbatch", "old.sh")
    assert (done.returncode, done.stdout) == (0, "old-run.yaml\n")
    assert "old.sh:3: secret: the value of WANDB_API_KEY is in the script" in done.stderr
    assert "old.sh:4: kill-on-bad-exit: " in done.stderr
    assert "wrote old-run.yaml" in done.stderr
    text = (desk.folder / "old-run.yaml").read_text()
    assert "secrets: [WANDB_API_KEY]" in text
    assert "abcdefghij" not in text + done.stderr
    assert desk.type("validate", "old-run.yaml").returncode == 0


def test_a_spec_in_another_folder(desk):
    """`cd` is relative to the submission folder in the script, to the spec's folder in the spec."""
    for folder in ("specs", "code"):
        (desk.folder / folder).mkdir()
    desk.write(OLD.replace("srun", "cd code\nsrun"), "old.sh")
    assert desk.type("init", "--from-sbatch", "old.sh", "-o", "specs/job.yaml").returncode == 0
    assert load_spec(desk.folder / "specs" / "job.yaml").chdir == str(desk.folder / "code")
    assert (desk.folder / "specs" / SCHEMA_FILE).exists()


def test_from_sbatch_as_json(desk):
    """--json prints the same as one object, and stdout has nothing else."""
    done = desk.type("init", "--from-sbatch", "old.sh", "--json")
    answer = json.loads(done.stdout)
    assert (done.stderr, answer["file"], [*answer]) == (
        "",
        "old-run.yaml",
        ["file", "text", "mistakes", "notes", "problems", "check"],
    )
    assert {"where": "old.sh:3", "key": "secret"}.items() <= next(
        one for one in answer["mistakes"] if one["key"] == "secret"
    ).items()


def test_from_sbatch_is_a_function_too(desk):
    draft = from_sbatch(desk.folder / "old.sh", environment={}, cwd=desk.folder)
    assert (draft.values["script"], draft.values["args"]) == ("train.py", {"x": 1})
    with pytest.raises(SpecError, match="cannot be read"):
        from_sbatch(desk.folder / "gone.sh")


@pytest.mark.parametrize(("text", "message"), [
    ("#!/bin/bash\nif true; then\n", "odd.sh:3: bash syntax error: "),
    ("#!/usr/bin/env python\nprint(1)\n", "odd.sh:1: starts with '#!/usr/bin/env python'"),
    ("#!/bin/bash\r\npython t.py\r\n", "odd.sh: has DOS line breaks, which sbatch refuses"),
    ("#!/bin/bash\necho hello\n", "odd.sh: no training command found"),
])  # fmt: skip
def test_a_script_that_bash_cannot_run(desk, text, message):
    """A script that sbatch could not run is refused, with the line."""
    desk.write(text, "odd.sh")
    done = desk.type("init", "--from-sbatch", "odd.sh")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(message)


def test_without_the_parser_a_hint_is_printed(desk):
    """If tree-sitter is missing, the message says what to install, and other modes work."""
    (desk.folder / "tree_sitter_bash.py").write_text(
        "raise ImportError('no module of that name')\n"
    )
    done = desk.type("init", "--from-sbatch", "old.sh")
    assert (done.returncode, done.stdout) == (1, "")
    assert "hint: run pip install 'clusterrun[sbatch]'" in done.stderr
    assert desk.type("init").returncode == 0


def test_the_page_is_current(desk):
    """The script, the messages and the spec on docs/start/from-sbatch.md are current."""
    page = (Path(__file__).parents[2] / "docs" / "start" / "from-sbatch.md").read_text()
    script = page.split("```bash\n")[1].split("```")[0]
    expected = page.split("$ clusterrun init --from-sbatch train.sh\n")[1].split("```")[0]
    spec = page.split("```yaml\n")[1].split("```")[0]
    desk.write(script, "train.sh")
    done = desk.type("init", "--from-sbatch", "train.sh")
    assert done.stderr + done.stdout == expected
    assert (desk.folder / "sft-llama.yaml").read_text() == spec
