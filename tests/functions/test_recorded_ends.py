"""The cause of an end, from the recorded output of slurmstepd and srun of three generations
(tests/slurm_ends).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.bash_functions import said

RECORDED = {
    path.stem: json.loads(path.read_text())
    for path in (Path(__file__).parents[1] / "slurm_ends").glob("*.json")
}
# The end: the cause, and each node's record (exit code, why it was requested, whether it followed another).
CAUSES: dict[str, tuple[str, list[tuple[int, str, str]]]] = {
    "crash": ("crash", [(137, "", "1"), (137, "", "")]),
    "preempted": ("preemption", []),
    "preempted-cancel": ("preemption", []),
    "setup-cancel": ("preemption", []),
    "setup-requeue": ("preemption", []),
    "array": ("preemption", []),
    "scancel": ("cancel", []),
    "scancel-setup": ("cancel", []),
    "requeue": ("requeue", []),
    "limit": ("time-limit", []),
}
CELLS = [(generation, end) for generation in sorted(RECORDED) for end in RECORDED[generation]]


def recorded_cause(
    folder: Path,
    recorded: dict[str, Any],
    nodes: list[tuple[int, str, str]],
    log: str,
    **more: object,
) -> str:
    """Make a run folder as the end left it, and run the functions."""
    for name in ("events", "logs"):
        (folder / name).mkdir()
    (folder / "current").write_text("attempt=0001\n")
    (folder / "slurm.out").write_text("".join(f"{line}\n" for line in recorded["out"]))
    (folder / "logs" / "attempt-0001.log").write_text(log)
    for number, (code, stop_request, followed) in enumerate(nodes):
        record = f"exit_code={code}\nstop_request={stop_request}\nanother_node_failed={followed}\n"
        (folder / "events" / f"attempt-0001.node-{number}").write_text(record)
    variables = {"run_dir": folder, "attempt": "0001", "slurm_log": folder / "slurm.out", "slurm_log_start": 0, "step_exit": 137,
             "SLURM_JOB_ID": recorded["job_id"], "SLURM_JOB_NUM_NODES": max(1, len(nodes)), **more}  # fmt: skip
    return said("find_end_cause", **variables).strip()


def test_each_generation_is_recorded() -> None:
    assert sorted(RECORDED) == ["22.05", "24.11", "26.05"]
    assert {end for ends in RECORDED.values() for end in ends} == set(CAUSES)


@pytest.mark.parametrize(("generation", "end"), CELLS)
def test_a_recorded_end_has_its_cause(tmp_path: Path, generation: str, end: str) -> None:
    """What the batch shell receives is explained by Slurm's line on the job; what it does not
    receive, by the nodes' records.
    """
    recorded = RECORDED[generation][end]
    expected, nodes = CAUSES[end]
    log = "".join(f"{line}\n" for line in recorded["log"])
    assert (
        recorded_cause(tmp_path, recorded, nodes, log, term_seen="" if end == "crash" else "TERM")
        == expected
    )


@pytest.mark.parametrize("generation", sorted(RECORDED))
@pytest.mark.parametrize("end", ["scancel", "preempted", "requeue"])
def test_a_script_that_prints_slurms_lines_has_only_crashed(
    tmp_path: Path, generation: str, end: str
) -> None:
    """A line inside another line, of another job, or about the job in the script's log does not
    count: the rank failed by itself.
    """
    recorded = RECORDED[generation][end]
    lines = [line for line in (*recorded["out"], *recorded["log"]) if " error: ***" in line]
    other = [line.replace(f" {recorded['job_id']}", " 77") for line in lines]
    log = "".join(
        f"{line}\n" for line in (*recorded["out"], *(f"[rank0]: {line}" for line in lines), *other)
    )
    assert (
        recorded_cause(tmp_path, {**recorded, "out": []}, [(1, "", "")], log, term_seen="")
        == "crash"
    )


@pytest.mark.parametrize("generation", sorted(RECORDED))
def test_an_unknown_reason_is_not_a_cancellation(tmp_path: Path, generation: str) -> None:
    """The next generation of Slurm may have other reasons: they are unknown, and never the user's."""
    recorded = RECORDED[generation]["setup-cancel"]
    out = [line.replace("DUE TO PREEMPTION", "DUE TO SOLAR FLARE") for line in recorded["out"]]
    assert out != recorded["out"]
    assert recorded_cause(tmp_path, {**recorded, "out": out}, [], "", term_seen="TERM") == "unknown"
