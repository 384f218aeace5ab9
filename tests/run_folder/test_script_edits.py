"""A training script that is edited between two attempts is reported: each attempt runs the present
text.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from clusterrun.run_folder.attempts import describe_script_edits, list_attempts
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record
from tests.support.bash_functions import bash

EDITS = [
    # the text of the script in each attempt, None: not recorded; what is reported
    (["a"], ""),
    (["a", "a", "a"], ""),
    (["a", "b"], "between attempts 1 and 2"),
    (["a", "b", "b", "a"], "between attempts 1 and 2, 3 and 4"),
    ([None, "b"], ""),  # an attempt of an earlier version
    (["a", None, "b"], "between attempts 2 and 3"),
]


@pytest.mark.parametrize(("texts", "edits"), EDITS)
def test_between_which_attempts_a_script_was_edited(
    tmp_path: Path, texts: list[str | None], edits: str
) -> None:
    """The digest is that of the text; the job script's log names the edit, too."""
    paths = RunPaths(tmp_path / "run")
    paths.events.mkdir(parents=True)
    script = tmp_path / "my train.py"
    logged = []
    for number, text in enumerate(texts, 1):
        name = f"{number:04d}"
        paths.begin(name).write_text("job_id=7\n")
        if text is None:
            continue
        script.write_text(text)
        done = bash("record_script", run_dir=paths.folder, attempt=name, script_file=script)
        digest = hashlib.sha256(text.encode()).hexdigest()
        assert read_record(paths.script_digest(name)) == {"file": str(script), "sha256": digest}
        logged.append(done.stderr)
    attempts = list_attempts(paths)
    assert describe_script_edits(attempts) == (
        f"the training script was edited {edits}" if edits else ""
    )
    if None not in texts:
        line = (
            f"clusterrun: {script} was edited since the previous attempt; this attempt runs the new "
            "text\n"
        )
        assert logged == [line if one.script_edited else "" for one in attempts]


@pytest.mark.parametrize("script", ["", "gone.py", "/dev/null", "/"])
def test_what_is_no_file_is_not_recorded(tmp_path: Path, script: str) -> None:
    """A `command` or `module`, a missing file, a device, a folder."""
    (tmp_path / "events").mkdir()
    done = bash("record_script", run_dir=tmp_path, attempt="0001", script_file=script)
    assert (done.returncode, done.stderr, list((tmp_path / "events").iterdir())) == (0, "", [])
