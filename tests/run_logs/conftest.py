"""A run of four ranks on two nodes, with the logs of two attempts."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterrun.run_folder.paths import RunPaths
from tests.support.cli_desk import Desk

LOGS = Path(__file__).parents[1] / "logs"
SCRIPT = "main() {\n  num_processes=4\n  most_crashes=3 hang=auto\n  prepare_shell\n}\n"
ENDED = {"cause": "crash", "next": "end", "exit_code": "1", "reason": "", "ended": "1800000000"}


@pytest.fixture
def desk(tmp_path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def run(desk) -> RunPaths:
    """A run of four ranks on two nodes: attempt 1 crashed, attempt 2 labels each line."""
    paths = desk.run("many", job_id="", **{**ENDED, "next": "continue"})
    paths.begin("0001").write_text("nodes=n[1-2]\nbegan=1799999000\n")
    paths.begin("0002").write_text("nodes=n[1-2]\nbegan=1800000100\n")
    paths.end("0002").write_text("".join(f"{key}={value}\n" for key, value in ENDED.items()))
    paths.script.write_text(SCRIPT)
    paths.log("0001").write_text("attempt one\n")
    paths.log("0002").write_text(
        "clusterrun: n2: a word of its node\n[rank0]: zero\n[rank1]: one\n[rank2]: [rank2]: two\n[rank3]: three 10%\r three 20%\n"
        "[rank2]:[E1 02:07 ProcessGroupNCCL.cpp:607] [Rank 2] Watchdog\nnobody\n---- rank 3 on n2, process 7\n"
        '  File "train.py", line 3 in train\nclusterrun: it hangs\nsrun: error: n1: task 0: Exited with exit code 1\n'
    )
    return paths
