"""The exit code of a crash is that of the task that failed first, not what Slurm's kill of the others left."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.bash_functions import said

# (exit code, stop request, whether another node failed first, when it ended) of each node; the code
FAILED = [
    ([(2, "", "", 10), (137, "", 1, 11)], "2"),
    ([(137, "", 1, 10), (7, "", "", 10)], "7"),
    ([(1, "", "", 12), (3, "", "", 11)], "3"),
    ([(0, "", "", 10), (134, "", "", 11)], "134"),
    ([(143, "TERM", "", 10), (143, "TERM", "", 11)], ""),
    ([(0, "", "", 10)], ""),
    ([], ""),
]


@pytest.mark.parametrize(("nodes", "code"), FAILED)
def test_the_first_failed_task(tmp_path: Path, nodes: list[tuple[object, ...]], code: str) -> None:
    (tmp_path / "events").mkdir()
    for number, (exit_code, request, other, ended) in enumerate(nodes):
        (tmp_path / "events" / f"attempt-0001.node-{number}").write_text(
            f"exit_code={exit_code}\nstop_request={request}\nanother_node_failed={other}\nended={ended}\n"
        )
    text = "step_exit=137; set_failed_code; echo $step_exit"
    expected = code or "137"
    assert said(text, run_dir=tmp_path, attempt="0001").strip() == expected
