"""Rehearse a preemption: stop a job as Slurm would, and prove that it resumes as if uninterrupted.

Two runs: the rehearsal, which is stopped and comes back, and a reference of the same spec, which
nobody interrupts. Both are ordinary runs. On a cluster the reference trains while the rehearsal
waits for its return.
"""

from __future__ import annotations

from collections.abc import Callable

from clusterrun.errors import Problem, SpecError
from clusterrun.planning.preparation import Request, prepare
from clusterrun.planning.validation import refuse_problems
from clusterrun.rehearsal.plan import (
    RehearsalPlan,
    refuse_unfit_job,
)
from clusterrun.rehearsal.result import Rehearsal
from clusterrun.rehearsal.stage import Stage
from clusterrun.rehearsal.watch import NotSurvived, OutOfTime


def rehearse(
    request: Request,
    *,
    steps: int = 10,
    local: bool = False,
    timeout: float = 3600.0,
    tolerance: float = 1e-3,
    tell: Callable[[str], None] = lambda _: None,
) -> Rehearsal:
    """Rehearse the preemption of a job, and return what was found.

    A checkpoint is saved every `steps` optimizer steps, and the run is stopped halfway to the
    second. `timeout` is in seconds, for all of it; `tolerance` is how far losses may differ,
    relative to the reference's. `tell` gets what happens, a line at a time. What still runs at the
    end, or at an error, is cancelled.

    Raises SpecError for mistakes in the spec and for a job whose rehearsal would prove nothing,
    ClusterError where Slurm refuses.
    """
    if steps < 1:
        raise SpecError([Problem("--steps", "", f"must be at least 1, got {steps}")])
    prepared = prepare(request)
    refuse_problems(prepared)
    refuse_unfit_job(prepared)
    stage = Stage(
        prepared, RehearsalPlan(steps), local=local, timeout=timeout, tolerance=tolerance, tell=tell
    )
    try:
        stage.play()
    except NotSurvived as error:
        stage.fail(str(error))
    except OutOfTime as error:
        stage.found.reasons.append(f"{timeout:g} s are over; {error}")
    finally:
        stage.end()
    return stage.found
