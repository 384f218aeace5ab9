"""Launchers in a local run, which has one task."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterrun.errors import ClusterError
from clusterrun.run_status.control import wait
from tests.support.laptop import Laptop

SCRIPT = """import os
print("rank", os.environ["RANK"], "of", os.environ["WORLD_SIZE"], os.environ["SLURM_PROCID"])
"""


def test_srun_has_one_task_in_a_local_run(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path)
    (tmp_path / "t.py").write_text(SCRIPT)
    values = {"script": str(tmp_path / "t.py"), "launcher": "srun"}
    with pytest.raises(ClusterError, match=r"starts 2 tasks.*\n  hint: add --set nproc_per_node=1"):
        laptop.submit("two", nproc_per_node=2, **values)
    run = laptop.submit("one", nproc_per_node=1, **values)
    assert wait(run.run_id, 60, laptop.index).state == "COMPLETED"
    assert "rank 0 of 1 0" in (run.paths.logs / "attempt-0001.log").read_text()
