"""Two submissions never share a run folder, even if their ids are equal."""

from __future__ import annotations

import pytest

from clusterrun.errors import ClusterError
from clusterrun.planning.preparation import Request
from clusterrun.run_folder.records import read_record
from clusterrun.submission import submitting
from clusterrun.submission.submitting import submit
from tests.support.cli_desk import Desk


def submit_command(desk: Desk, command: str, name: str) -> submitting.RunRef:
    """Submit a spec to an sbatch that accepts every job."""
    desk.write(f"name: same\ncommand: {command}\n", name)
    request = Request(str(desk.folder / name), environment=desk.environment, cwd=desk.folder)
    return submit(request)


def test_an_id_that_exists_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second spec must not be taken for the first, or the first command would run again."""
    desk.command("sbatch", "echo 'Submitted batch job 12'")
    monkeypatch.setenv("PATH", f"{desk.programs}:/usr/bin:/bin")
    monkeypatch.setattr(submitting, "_new_id", lambda _: "same-20261130-120000-deadbeef")
    first = submit_command(desk, "echo first", "first.yaml")
    with pytest.raises(ClusterError, match=r"already exists\n  hint: submit again"):
        submit_command(desk, "echo second", "second.yaml")
    assert "echo first" in first.paths.source.read_text()
    assert read_record(first.paths.job)["job_id"] == "12"
    assert not list(submitting.Index(desk.environment).pending.glob("[!.]*[!k]"))


def test_ids_of_one_second_differ() -> None:
    """A sweep submits hundreds of runs of one name in a second."""
    ids = {submitting._new_id("same") for _ in range(2000)}
    assert len(ids) == 2000
