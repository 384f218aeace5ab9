"""`doctor` asks squeue what `status` asks, so that a site's own squeue is found before the first run."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterrun.site_checks.software import check_status_query

WRAPPERS = {
    "unknown option": "echo 'rc-squeue: error: unrecognized arguments: --states=all' >&2; exit 2",
    "not executable": "exit 126",
    "no word": "exit 1",
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_squeue_that_refuses_is_a_problem(tmp_path: Path, monkeypatch, name: str) -> None:
    """With the wrapper's own words, and how to find Slurm's squeue."""
    (tmp_path / "squeue").write_text(f"#!/bin/sh\n{WRAPPERS[name]}\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (found,) = check_status_query()
    assert (found.verdict, "type -a squeue" in found.fix) == ("problem", True)
    if name == "unknown option":
        assert "unrecognized arguments: --states=all" in found.message


def test_a_squeue_that_answers_is_no_finding(tmp_path: Path, monkeypatch) -> None:
    """An empty queue is an answer, and so are a wrapper's own lines before it."""
    (tmp_path / "squeue").write_text("#!/bin/sh\necho 'maintenance on Monday'\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert check_status_query() == []
