"""Plan a rehearsal: the changes to a job spec, the steps to act at, and the jobs to refuse."""

from __future__ import annotations

import glob
from dataclasses import dataclass, replace
from pathlib import Path

from clusterrun.errors import Problem, SpecError
from clusterrun.job_spec.checkpoint import RUN_DIR
from clusterrun.job_spec.model import JobSpec
from clusterrun.planning.preparation import Prepared
from clusterrun.training.records.losses import LOSSES_VARIABLE

_LONGEST_NAME = 64  # as clusterrun.job_spec.values.NAME has it


@dataclass(frozen=True)
class RehearsalPlan:
    """The schedule of a rehearsal: a checkpoint every `every` steps, a stop between two of them."""

    every: int

    @property
    def stop_at(self) -> int:
        """The first step to stop at: the first checkpoint is saved, the second is not."""
        return self.every + self.every // 2

    def goal(self, left: int) -> int:
        """Return the step to train to after a stop at `left`: the second save from there."""
        return (left // self.every + 2) * self.every


def plan_runs(prepared: Prepared, plan: RehearsalPlan) -> tuple[Prepared, Prepared]:
    """Return the two runs of a rehearsal: the interrupted run and the uninterrupted reference.

    All else stays as the spec says it. A script that has `checkpoint.path` saves when it likes.
    """
    spec = prepared.loaded.spec
    if spec.checkpoint.path is None:
        checkpoint = spec.checkpoint.model_copy(update={"every": f"{plan.every} steps"})
        variables = {**spec.environment.variables, LOSSES_VARIABLE: "1"}
        environment = spec.environment.model_copy(update={"variables": variables})
        spec = spec.model_copy(update={"checkpoint": checkpoint, "environment": environment})
    rehearsal, reference = (
        _rename_job(prepared, spec, word) for word in ("rehearsal", "reference")
    )
    return rehearsal, reference


def _rename_job(prepared: Prepared, spec: JobSpec, word: str) -> Prepared:
    """Return what was prepared, for another spec.

    Nothing that was prepared depends on what is changed here: the launch, the files, the problems.
    """
    name = f"{spec.name[: _LONGEST_NAME - len(word) - 1]}-{word}"
    return replace(
        prepared, loaded=replace(prepared.loaded, spec=spec.model_copy(update={"name": name}))
    )


def refuse_unfit_job(prepared: Prepared) -> None:
    """Raise SpecError for a job whose rehearsal would prove nothing, or touch another run.

    All reasons are listed.
    """
    spec, line_of = prepared.loaded.spec, prepared.loaded.line_of
    problems = []
    if spec.slurm.array:
        what = "a rehearsal is of one run, and this asks for an array of them"
        problems.append(
            Problem(line_of("slurm", "array"), "slurm.array", what, "add --set slurm.array=null")
        )
    if "preemption" not in spec.requeue.on:
        what = "leaves out preemption, so a preempted run ends: there is no return to rehearse"
        hint = "add preemption to it, or --set requeue.on=[preemption]"
        problems.append(Problem(line_of("requeue", "on"), "requeue.on", what, hint))
    if spec.checkpoint.path is not None and RUN_DIR not in spec.checkpoint.path:
        what = (
            "lies outside of the run's own folder: a rehearsal would take other runs' "
            "checkpoints, and overwrite them"
        )
        hint = f"begin it with {RUN_DIR}, which is CLUSTERRUN_RUN_DIR to the script"
        problems.append(Problem(line_of("checkpoint", "path"), "checkpoint.path", what, hint))
    if problems:
        raise SpecError(problems)


def checkpoint_pattern(prepared: Prepared, folder: Path) -> str:
    """Return the absolute pattern of a plain script's checkpoints; empty if it has none."""
    path = prepared.loaded.spec.checkpoint.path
    if path is None:
        return ""
    return str(
        Path(glob.escape(str(prepared.work_dir)), path.replace(RUN_DIR, glob.escape(str(folder))))
    )


def script_reports_nothing(prepared: Prepared) -> bool:
    """Return whether a script's text neither uses clusterrun.training nor names its checkpoints."""
    spec = prepared.loaded.spec
    if spec.checkpoint.path is not None or prepared.script is None:
        return False
    return "clusterrun" not in prepared.script.text
