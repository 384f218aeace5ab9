"""Stopped runs resume, active runs are requeued, and checkpoints are listed, all without Slurm."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from clusterrun.errors import ClusterError, SpecError
from clusterrun.local import supervisor_lives
from clusterrun.planning.plan import identity_of, make_plan
from clusterrun.planning.preparation import Request, prepare
from clusterrun.planning.script import render
from clusterrun.run_folder.attempts import list_attempts
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record, write_record
from clusterrun.run_status.control import cancel, run_status, status, stop, wait
from clusterrun.slurm.states import State
from clusterrun.submission.requeuing import requeue
from clusterrun.submission.saved_request import load_request, save_request
from clusterrun.upkeep.cleaning import carry_out
from clusterrun.upkeep.cleanup_plan import Criteria, plan_clean
from tests.support.counting_runs import again, count, counted, finish, reaches, stopped, typed
from tests.support.laptop import CHECKOUT, Laptop, until


def test_a_stopped_run_resumes_where_it_stopped(laptop: Laptop) -> None:
    """After `stop` and `resume` the same run has another job, and no step is repeated or lost."""
    run = stopped(laptop, "stopped", last=200)
    job = status(run.run_id, laptop.index).job_id
    resumed = again(laptop, run)
    finish(run)

    assert wait(run.run_id, 60, laptop.index).state == "COMPLETED"
    assert (resumed.run_id, resumed.paths) == (run.run_id, run.paths)
    assert resumed.job_id != job
    assert [step for _, step in counted(run)] == list(range(1, 201))
    first, second = list_attempts(run.paths)
    assert (first.summary, first.decision, second.summary) == (
        "stopped on request",
        "end",
        "finished",
    )
    assert (second.resumed_from_step, second.last_step, first.steps_lost) == (
        first.last_step,
        200,
        0,
    )


def test_a_run_that_gave_up_resumes_with_a_new_crash_budget(laptop: Laptop) -> None:
    """Its crash budget is reset, its step is kept, and its checkpoints are tried again."""
    run = count(laptop, "given-up", requeue={"crashes": 0})
    reaches(run, 1)
    write_record(run.paths.folder / "crash", {})
    assert wait(run.run_id, 60, laptop.index).state == "FAILED"
    assert read_record(run.paths.ledger)["crashes"] == "1"
    furthest = read_record(run.paths.ledger)["furthest"]
    write_record(
        run.paths.resumed("0001"),
        {"checkpoint": "step-00000001-0001", "step": 1, "state": "loading"},
    )
    again(laptop, run)

    assert read_record(run.paths.resumed("0001"))["state"] == "failed"
    until(lambda: laptop.causes(run) == ["crash", "crash"], 60, "it crashes again")
    assert wait(run.run_id, 60, laptop.index).state == "FAILED"
    assert {key: read_record(run.paths.ledger)[key] for key in ("crashes", "furthest")} == {
        "crashes": "1", "furthest": furthest
    }  # fmt: skip


def test_a_cancelled_run_can_be_resumed_with_other_values(laptop: Laptop) -> None:
    """`--set` changes the run's own spec from then on; earlier scripts and specs are kept."""
    run = count(laptop, "cancelled", checkpoint={"every": "90s"})
    reaches(run, 1)
    cancel(run.run_id, laptop.index)
    assert wait(run.run_id, 60, laptop.index).state == "CANCELLED"
    script, spec = run.paths.script.read_text(), run.paths.spec.read_text()
    again(laptop, run, "slurm.time=2:00:00", "checkpoint.keep=7")
    reaches(run, 2)
    assert run_status(run).state == "RUNNING"
    stop(run.run_id, laptop.index)
    assert wait(run.run_id, 60, laptop.index).state == "STOPPED"
    again(laptop, run, "checkpoint.keep=8")
    finish(run)

    kept = yaml.safe_load(run.paths.spec.read_text())
    assert (kept["slurm"]["time"], kept["checkpoint"]) == ("2:00:00", {"every": "90s", "keep": 8})
    assert "#SBATCH --time=2:00:00" in run.paths.script.read_text()
    assert (run.paths.folder / "job-1.sbatch").read_text() == script
    assert (run.paths.folder / "spec-1.yaml").read_text() == spec
    assert "CLUSTERRUN_CHECKPOINT_KEEP=7" in (run.paths.folder / "job-2.sbatch").read_text()
    cancel(run.run_id, laptop.index)


def test_an_active_or_finished_run_is_not_resumed(laptop: Laptop) -> None:
    """A run without a folder of `submit` is not resumed either; each error has a hint."""
    run = count(laptop, "lives", last=100)
    reaches(run, 1)
    with pytest.raises(
        ClusterError,
        match=r"is still RUNNING \(job \d+\)\n  hint: use `clusterrun requeue ",
    ):
        again(laptop, run)
    finish(run)
    assert wait(run.run_id, 60, laptop.index).state == "COMPLETED"
    with pytest.raises(
        ClusterError, match=f"{run.run_id} has already finished\n  hint: submit its spec again"
    ):
        again(laptop, run)
    until(lambda: not supervisor_lives(run.paths), 30, "its process is gone")
    run.paths.intent.unlink()
    for path in (*run.paths.events.glob("*.trainer"), *run.paths.events.glob("*.end")):
        path.unlink()
    with pytest.raises(ClusterError, match="was not created by `clusterrun submit`"):
        again(laptop, run)
    assert run.paths.attempts() == ["0001"]


def test_two_at_once_make_one_job(laptop: Laptop) -> None:
    """Of two concurrent `resume` calls one starts an attempt; the other reports the active run."""
    run = stopped(laptop, "twice")
    words = [sys.executable, "-m", "clusterrun", "resume", run.run_id, "--parsable"]
    environment = {**laptop.environment, "PYTHONPATH": str(CHECKOUT)}
    both = [subprocess.Popen(words, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for _ in range(2)]  # fmt: skip
    answers = [(process.communicate(), process.returncode) for process in both]
    reaches(run, 2)

    assert sorted(code for _, code in answers) == [0, 1], answers
    assert "is still " in next(err for (_, err), code in answers if code)
    assert run.paths.attempts() == ["0001", "0002"]
    cancel(run.run_id, laptop.index)


def test_a_refusal_changes_nothing(laptop: Laptop) -> None:
    """If values are wrong or unavailable here, the run is unchanged and can still be resumed."""
    run = stopped(laptop, "refused", last=100)
    files = [
        path for path in run.paths.folder.rglob("*") if path.is_file() and "local" not in path.parts
    ]
    before = {path: path.read_bytes() for path in files}
    with pytest.raises(SpecError, match=r"--set slurm\.tme: slurm\.tme: unknown key"):
        again(laptop, run, "slurm.tme=5")
    with pytest.raises(ClusterError, match=r"slurm\.nodes is 2, but a local run has one node"):
        again(laptop, run, "slurm.nodes=2")
    assert {path: path.read_bytes() for path in files} == before
    assert status(run.run_id, laptop.index).state == "STOPPED"
    again(laptop, run)
    finish(run)
    assert wait(run.run_id, 60, laptop.index).state == "COMPLETED"


def test_an_interrupted_resume_is_completed_by_the_next(
    laptop: Laptop,
) -> None:
    """`status` reports a `resume` that was interrupted; the next one takes up its job."""
    run = stopped(laptop, "killed")
    resumed = again(laptop, run)
    reaches(run, 2)
    pending = {
        "number": 2,
        "after": "0001",
        "job_name": "killed",
        "local": 1,
        "overrides": "of another resume",
    }
    newest = max(
        laptop.index.pending.glob("resume-*.lock"), key=lambda path: path.stat().st_mtime_ns
    )
    write_record(newest.with_suffix(""), pending)
    write_record(run.paths.job, {"job_id": run.job_id, "local": 1, "number": 1})

    with pytest.raises(ClusterError, match="is still "):
        again(laptop, run)
    assert read_record(run.paths.job)["job_id"] == resumed.job_id
    assert run.paths.attempts() == ["0001", "0002"]
    cancel(run.run_id, laptop.index)


def test_a_requeued_run_saves_and_restarts_at_once(laptop: Laptop) -> None:
    """`requeue` loses no step, whatever requeue.on is, and leaves no request behind."""
    run = count(laptop, "requeued", requeue={"on": ["crash"]})
    reaches(run, 1)
    status = requeue(run.run_id, laptop.index)
    reaches(run, 2)

    assert status.reason == "requeue requested: it saves a checkpoint and restarts"
    assert laptop.causes(run)[0] == "requeue"
    steps = [step for _, step in counted(run)]
    assert steps == list(range(1, len(steps) + 1))
    assert not run.paths.requeue.exists()
    stop(run.run_id, laptop.index)
    assert wait(run.run_id, 60, laptop.index).state == "STOPPED"
    with pytest.raises(
        ClusterError, match=r"has ended: STOPPED .*\n  hint: use `clusterrun resume"
    ):
        requeue(run.run_id, laptop.index)


def test_status_describes_the_attempts(laptop: Laptop) -> None:
    """Below the run's state is a line per attempt: how it ended, its steps, and its cost."""
    run = count(laptop, "told", last=100, requeue={"crashes": 3})
    reaches(run, 1)
    requeue(run.run_id, laptop.index)
    reaches(run, 2)
    write_record(run.paths.folder / "crash", {})
    until(lambda: len(run.paths.attempts()) > 2, 60, "a third attempt")
    (run.paths.folder / "crash").unlink()
    finish(run)
    assert wait(run.run_id, 100, laptop.index).state == "COMPLETED"

    shown = typed(laptop, "status", run.run_id).stdout
    answer = json.loads(typed(laptop, "status", run.run_id, "--json").stdout)["attempts"]
    assert [one["cause"] for one in answer][:2] == ["requeue", "crash"]
    assert answer[-1]["summary"] == "finished"
    assert answer[0]["steps_lost"] == 0
    assert answer[1]["steps_lost"] == answer[1]["last_step"] - answer[1]["resumed_from_step"]
    lost, steps = (
        answer[1]["steps_lost"],
        f"{answer[1]['resumed_from_step']} to {answer[1]['last_step']}",
    )
    assert re.search(
        rf"^2 +\S+ \S+ +crashed with exit code 7 +{steps} +{lost} +\d+:\d\d:\d\d +\d+ ",
        shown,
        re.MULTILINE,
    )


def test_a_resumed_run_is_rendered_as_it_was_submitted(laptop: Laptop, tmp_path: Path) -> None:
    """The stored spec gives the submitted script, with numbers as written, profile included."""
    (tmp_path / "train.py").touch()
    (tmp_path / "site.yaml").write_text(f"run_root: {tmp_path}/runs\nslurm: {{partition: low}}\n")
    (tmp_path / "job.yaml").write_text(r"""
script: train.py
args: {learning_rate: 3e-4, text: "3e-4", octal: 0o17, dash: "-1", nothing: null, flag: true, many: [1e5, "no", .5]}
slurm: {time: 12:00:00, nodes: 2, gpus-per-node: 1, comment: "a #b: 'c'"}
accelerate: {deepspeed_config: {zero_stage: 2, text: "1e3", number: 1e3}}
environment: {variables: {A: "null", B: 1.50}, setup: ["export C='x\ty'"]}
checkpoint: {every: 2h}
""")
    environment = {**laptop.environment, "VIRTUAL_ENV": sys.prefix}
    first = prepare(Request(str(tmp_path / "job.yaml"), ["name=other"],
                            str(tmp_path / "site.yaml"), (), environment, tmp_path))  # fmt: skip
    run = RunRef("r", RunPaths(tmp_path / "runs" / "r"))
    run.paths.events.mkdir(parents=True)
    save_request(run, first, {})
    second = prepare(
        load_request(run, run.paths.spec, [], {"HOME": str(tmp_path), "PATH": os.defpath})
    )
    one, two = (
        render(make_plan(prepared, identity_of(first, "r"))) for prepared in (first, second)
    )
    assert without_source(one) == without_source(two)
    assert "--learning_rate 3e-4 \\" in two


def without_source(script: str) -> list[str]:
    return [line for line in script.splitlines() if not line.startswith("# Generated by ")]


def test_a_run_that_is_resumed_while_clean_works_is_kept(laptop: Laptop) -> None:
    """`clean` checks each run again right before its removal, under the lock that `resume` takes."""
    first, second = (stopped(laptop, name) for name in ("cleaned", "back"))
    names = {first.run_id, second.run_id}
    until(
        lambda: not supervisor_lives(first.paths) and not supervisor_lives(second.paths),
        30,
        "both have exited",
    )
    plan = plan_clean(Criteria(older_than=0, states=frozenset({State.STOPPED})), laptop.index)
    plan = replace(plan, removals=tuple(one for one in plan.removals if one.run.run_id in names))
    notes: list[str] = []
    gone = carry_out(
        plan, laptop.index, report_progress=lambda *_: again(laptop, second), note=notes.append
    )

    assert [one.run.run_id for one in gone] == [first.run_id]
    assert not first.paths.folder.exists()
    assert notes[0].startswith(f"{second.run_id} stays: it is ")
    reaches(second, 2)
    cancel(second.run_id, laptop.index)
