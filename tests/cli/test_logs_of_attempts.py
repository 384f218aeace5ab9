"""`clusterrun logs` says which attempt it shows."""

from __future__ import annotations

import pytest

from clusterrun.run_folder.paths import RunPaths
from tests.support.cli_desk import Desk


@pytest.mark.parametrize(("attempts", "options", "words"), [
    (1, (), ""),
    (2, (), "showing attempt 2; for earlier ones use --attempt 1, or --attempt all\n"),
    (3, (), "showing attempt 3; for earlier ones use --attempt 1 to 2, or --attempt all\n"),
    (3, ("--grep", "of"), "showing attempt 3; for earlier ones use --attempt 1 to 2, or --attempt all\n"),
    (3, ("--attempt", "2"), ""),
    (3, ("--attempt", "all"), ""),
    (3, ("--json",), ""),
])  # fmt: skip
def test_a_run_that_restarted_shows_its_last_attempt(
    desk: Desk, attempts: int, options: tuple[str, ...], words: str
) -> None:
    """The note is on stderr, so the output of the run can be piped."""
    desk.run("tiny", cause="finished", next="end")
    paths = RunPaths(desk.folder / "runs" / "tiny")
    for number in range(1, attempts + 1):
        paths.log(f"{number:04d}").write_text(f"line of {number}\n")
    done = desk.type("logs", "tiny", *options)
    assert (done.returncode, done.stderr) == (0, words)
    assert "attempt" not in done.stdout or "--json" in options
