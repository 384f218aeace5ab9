"""`requeue.shrink_to`: a second job requests fewer nodes; whichever starts first continues, and
cancels the other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from clusterrun.errors import SpecError
from clusterrun.job_spec import load_spec
from clusterrun.planning.plan import LaunchPlan
from clusterrun.planning.script import render
from tests.support.bash_functions import bash, said
from tests.support.planned import plan_of

SLURM = """
array_job=${array_job:-}
scontrol() { echo "scontrol $*" >> "$run_dir/asked"; [ "$*" != --version ] || echo "slurm $version"; }
squeue() { printf %s "$queue"; }
scancel() { echo "scancel $*" >> "$run_dir/asked"; }
sbatch() { echo "sbatch $*" >> "$run_dir/asked"; echo "$answer"; [ -z "$refused" ]; }
"""
GIVEN = {
    "attempt": "0002",
    "SLURM_JOB_ID": 7,
    "answer": "12",
    "shrink_to": 2,
    "shrink_after": 3600,
    "run_id": "r",
}


def run_line(folder: Path, text: str, **variables: object) -> tuple[str, list[str]]:
    """Run a line of the script; return its output and the requests to Slurm."""
    (folder / "events").mkdir(exist_ok=True)
    (folder / "asked").write_text("")
    (folder / "job.sbatch").touch()
    done = bash(SLURM + text, run_dir=folder, SLURM_SUBMIT_DIR=folder, **{**GIVEN, **variables})
    return done.stderr + done.stdout, (folder / "asked").read_text().splitlines()


def event(folder: Path, name: str, text: str) -> None:
    (folder / "events").mkdir(exist_ok=True)
    (folder / "events" / f"attempt-{name}").write_text(text)


def test_the_smaller_job_is_submitted_once(tmp_path: Path) -> None:
    """It may start after the delay, knows that it is the smaller one, and does not wait for the
    other job.
    """
    printed, requests = run_line(tmp_path, "queue_smaller_job; queue_smaller_job", secrets="TOKEN")
    (call,) = [line for line in requests if line.startswith("sbatch")]
    assert call == (
        "sbatch --parsable --begin=now+3600 --nodes=2 --export=TOKEN,CLUSTERRUN_SMALLER=1,CLUSTERRUN_FIRST_JOB=7 "
        f"{tmp_path}/job.sbatch"
    )
    assert (tmp_path / "events" / "attempt-0002.smaller").read_text().startswith("job_id=12\n")
    assert "job 12 requests 2 nodes; it starts unless the run continues within 3600 s" in printed


@pytest.mark.parametrize("variables", [{"shrink_to": ""}, {"array_job": "7_3"}], ids=str)
def test_no_smaller_job_without_shrink_to(tmp_path: Path, variables: dict[str, object]) -> None:
    """Nor for a task of an array."""
    assert run_line(tmp_path, "queue_smaller_job", **variables)[1] == []


def test_a_refused_smaller_job_changes_nothing(tmp_path: Path) -> None:
    """Without the smaller job the run continues anyway."""
    printed, _ = run_line(
        tmp_path, "queue_smaller_job && echo on", refused="1", answer="sbatch: error: not allowed"
    )
    assert "smaller job refused: sbatch: error: not allowed" in printed
    assert printed.endswith("on\n")


@pytest.mark.parametrize(("next_", "code"), [("continue", 0), ("by-slurm", 1)])
def test_before_a_kill_the_requeue_goes_first(tmp_path: Path, next_: str, code: int) -> None:
    """When Slurm's kill is imminent, the requeue is requested before anything else, and its result
    counts.
    """
    text = f'continue_run_at_term crash {next_}; echo "code $?"'
    printed, requests = run_line(
        tmp_path, text, requeue_by="auto", work_dir=tmp_path, step_exit=143
    )
    calls = [
        line.split()[0:2] for line in requests if line.startswith(("scontrol requeue", "sbatch"))
    ]
    assert calls == [*([["scontrol", "requeue"]] if code == 0 else []), ["sbatch", "--parsable"]]
    assert f"code {code}\n" in printed


@pytest.mark.parametrize(
    ("own", "others"), [(7, ["12", "13"]), (12, ["7", "13"]), (13, ["7", "12"])]
)
def test_the_job_that_starts_cancels_the_others(
    tmp_path: Path, own: int, others: list[str]
) -> None:
    """Those that wait for the same run: the requeued job, its successor, or the smaller one;
    dependents keep waiting.
    """
    event(tmp_path, "0001.begin", "job_id=7\n")
    event(tmp_path, "0001.smaller", "job_id=12\n")
    event(tmp_path, "0001.successor", "job_id=13\n")
    queue = f"90|afterok:{others[0]}(unfulfilled)\n"
    _, requests = run_line(tmp_path, "cancel_other_jobs 0001", SLURM_JOB_ID=own, queue=queue)
    assert [line for line in requests if "scancel" in line] == [
        f"scancel --state=PENDING {job}" for job in sorted(others, key=["7", "13", "12"].index)
    ]
    assert f"scontrol update JobId=90 Dependency=afterok:{own}" in requests


@pytest.mark.parametrize(("own", "other"), [(7, 13), (13, 7)])
def test_a_successor_and_its_predecessor_never_both_continue(
    tmp_path: Path, own: int, other: int
) -> None:
    """A user can requeue and hold the predecessor; whichever starts first cancels the other."""
    event(tmp_path, "0001.begin", "job_id=7\n")
    event(tmp_path, "0001.successor", "job_id=13\n")
    _, requests = run_line(tmp_path, "cancel_other_jobs 0001", SLURM_JOB_ID=own)
    assert [line for line in requests if "scancel" in line] == [f"scancel --state=PENDING {other}"]


def test_nothing_is_cancelled_if_only_one_job_continues(tmp_path: Path) -> None:
    """A run without successor and smaller job has no other job."""
    event(tmp_path, "0001.begin", "job_id=7\n")
    assert run_line(tmp_path, "cancel_other_jobs 0001", SLURM_JOB_ID=13)[1] == []


REFUSALS = [
    # the job is the smaller one, it made a step; whether the run continues
    ("1", False, "continue"),
    ("1", True, "end"),  # the script forbids a restart for another reason
    ("", False, "end"),
]


@pytest.mark.parametrize(("smaller", "stepped", "next_"), REFUSALS)
def test_a_training_that_refuses_fewer_nodes_waits_for_all(
    tmp_path: Path, smaller: str, stepped: bool, next_: str
) -> None:
    """The smaller job is replaced by one of full size, and no other smaller job is queued."""
    event(tmp_path, "0002.trainer", "outcome=no-restart\nreason=an epoch has 30 steps\n")
    if stepped:
        (tmp_path / "metrics").mkdir()
        (tmp_path / "metrics" / "attempt-0002.times").touch()
    text = """
    cause=no-restart term_seen= continuation_requested= step_exit=1 requeue_by=auto
    set_next; record_end "$cause" "$next" "$reason"
    [ "$next" = end ] || (continue_run "$cause" "$next")
    """
    _, requests = run_line(tmp_path, text, CLUSTERRUN_SMALLER=smaller, work_dir=tmp_path)
    end = (tmp_path / "events" / "attempt-0002.end").read_text().splitlines()
    assert end[:2] == ["cause=no-restart", f"next={next_}"]
    submitted = [line for line in requests if line.startswith("sbatch")]
    assert len(submitted) == (next_ == "continue")
    assert all("--dependency=afterany:7" in line and "--nodes" not in line for line in submitted)
    consequence = "; the run waits for all its nodes" if next_ == "continue" else ""
    assert f"reason=an epoch has 30 steps{consequence}" in end


@pytest.mark.parametrize(("smaller", "way"), [("1", "successor"), ("", "requeue")])
def test_after_the_smaller_job_all_nodes_are_requested_again(smaller: str, way: str) -> None:
    """A requeue would request the smaller number once more."""
    text = "scontrol() { :; }; choose_continuation crash continue"
    assert (
        said(text, array_job="", requeue_by="auto", CLUSTERRUN_SMALLER=smaller, SLURM_JOB_ID=7)
        == f"{way}\n"
    )


def planned(
    folder: Path, requeue: dict[str, Any], slurm: dict[str, Any], **accelerate: Any
) -> LaunchPlan:
    path = folder / "job.yaml"
    spec = {
        "name": "x",
        "script": "train.py",
        "slurm": slurm,
        "requeue": requeue,
        "accelerate": accelerate,
    }
    path.write_text(yaml.safe_dump(spec))
    return plan_of(load_spec(path, folder=folder).spec)


def test_the_script_of_a_run_that_can_shrink(tmp_path: Path) -> None:
    """The job requests all nodes; on fewer each has as many processes, and the batches are shared."""
    script = render(
        planned(tmp_path, {"shrink_to": 2, "shrink_after": "2h"}, {"nodes": 8}, num_processes=16)
    )
    assert "#SBATCH --nodes=8\n" in script
    assert (
        "\nexport CLUSTERRUN_MOST_NODES=8  # at least 2\n"
        "processes_per_node=2\nnum_processes=  # processes_per_node times the nodes\n" in script
    )
    assert "\nshrink_to=2\nshrink_after=7200  # seconds\n" in script


@pytest.mark.parametrize(
    ("requeue", "slurm", "what"),
    [
        ({}, {"nodes": 2}, "must be less than slurm.nodes, 2; got 2"),
        ({}, {"nodes": "2-4"}, "must be less than slurm.nodes, 2-4; got 2"),
        ({}, {}, "must be less than slurm.nodes, 1; got 2"),
        ({}, {"nodes": 5}, "the 5 batches of a step are not divisible by 2 nodes"),
        ({}, {"nodes": 4, "array": "0-3"}, "cannot be combined with slurm.array"),
        ({}, {"nodes": 4, "gpus": 8}, "cannot be combined with slurm.gpus"),
        ({}, {"nodes": 4, "nodelist": "n[1-4]"}, "cannot be combined with slurm.nodelist"),
        (
            {},
            {"nodes": 4, "dependency": "singleton"},
            "cannot be combined with slurm.dependency: singleton",
        ),
        (
            {"by": "requeue"},
            {"nodes": 4},
            "cannot be combined with requeue.by: requeue",
        ),
        ({"shrink_after": "soon"}, {"nodes": 4}, "'soon' is not a duration"),
        ({"shrink_after": "0:0"}, {"nodes": 4}, "must be longer than zero"),
    ],
)
def test_a_spec_that_cannot_shrink_is_refused(
    tmp_path: Path, requeue: dict[str, Any], slurm: dict[str, Any], what: str
) -> None:
    """Errors are reported before submission."""
    with pytest.raises(SpecError) as refused:
        planned(tmp_path, {"shrink_to": 2, **requeue}, slurm)
    assert what in str(refused.value)
