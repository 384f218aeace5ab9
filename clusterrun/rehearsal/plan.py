"""The plan of a rehearsal: changes to the job spec, the step to stop at, and jobs to refuse."""

from __future__ import annotations

import glob
from dataclasses import dataclass, replace
from pathlib import Path

from clusterrun.errors import Problem, SpecError
from clusterrun.job_spec.checkpoint import RUN_DIR
from clusterrun.job_spec.model import JobSpec
from clusterrun.planning.preparation import Prepared
from clusterrun.training.records.losses import LOSSES_VARIABLE

_MAX_NAME_LENGTH = 64  # as in clusterrun.job_spec.values.NAME


@dataclass(frozen=True)
class RehearsalPlan:
    """The schedule of a rehearsal: a checkpoint each `every` steps, and a stop between two."""

    every: int

    @property
    def stop_at(self) -> int:
        """The first step to stop at: after the first checkpoint, before the second."""
        return self.every + self.every // 2

    def goal(self, left: int) -> int:
        """Return the step to train to after a stop at `left`: the second save from there."""
        return (left // self.every + 2) * self.every


def plan_runs(prepared: Prepared, plan: RehearsalPlan) -> tuple[Prepared, Prepared]:
    """Return the two runs of a rehearsal: the interrupted run and the uninterrupted reference.

    The rest of the spec is unchanged. A script with `checkpoint.path` decides itself when to save.
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
    """Return the prepared job with another spec and name.

    The launch, the files and the problems do not depend on what changes here.
    """
    name = f"{spec.name[: _MAX_NAME_LENGTH - len(word) - 1]}-{word}"
    return replace(
        prepared, loaded=replace(prepared.loaded, spec=spec.model_copy(update={"name": name}))
    )


def refuse_unfit_job(prepared: Prepared) -> None:
    """Raise SpecError, with all reasons, if a rehearsal would prove nothing or touch other runs."""
    spec, line_of = prepared.loaded.spec, prepared.loaded.line_of
    problems = []
    if prepared.members:
        what = "not allowed: a rehearsal runs one job, not a sweep"
        problems.append(Problem(line_of("sweep"), "sweep", what, "add --member 0"))
    elif spec.slurm.array:
        what = "not allowed: a rehearsal runs one job, not an array"
        problems.append(
            Problem(line_of("slurm", "array"), "slurm.array", what, "add --set slurm.array=null")
        )
    if "preemption" not in spec.requeue.on:
        what = "must include preemption; without it, a preempted run ends and does not resume"
        hint = "add preemption, or use --set requeue.on=[preemption]"
        problems.append(Problem(line_of("requeue", "on"), "requeue.on", what, hint))
    if spec.checkpoint.path is not None and RUN_DIR not in spec.checkpoint.path:
        what = (
            "is outside the run folder: a rehearsal would load and overwrite the checkpoints of "
            "other runs"
        )
        hint = f"start it with {RUN_DIR}, which is CLUSTERRUN_RUN_DIR in the script"
        problems.append(Problem(line_of("checkpoint", "path"), "checkpoint.path", what, hint))
    if problems:
        raise SpecError(problems)


def checkpoint_pattern(prepared: Prepared, folder: Path) -> str:
    """Return the absolute pattern of the script's own checkpoints; empty without one."""
    path = prepared.loaded.spec.checkpoint.path
    if path is None:
        return ""
    return str(
        Path(glob.escape(str(prepared.work_dir)), path.replace(RUN_DIR, glob.escape(str(folder))))
    )


def script_reports_nothing(prepared: Prepared) -> bool:
    """Return whether the script neither uses clusterrun.training nor has a `checkpoint.path`."""
    spec = prepared.loaded.spec
    if spec.checkpoint.path is not None or prepared.script is None:
        return False
    return "clusterrun" not in prepared.script.text
