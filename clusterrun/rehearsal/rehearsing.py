"""The rehearsal of a preemption: stop a job as Slurm would, and prove that it resumes correctly.

There are two ordinary runs: the rehearsal, which is stopped and resumes, and a reference from the
same spec, which is not interrupted. On a cluster the reference trains while the rehearsal waits in
the queue.
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
    """Rehearse the preemption of a job, and return the result.

    A checkpoint is saved every `steps` optimizer steps, and the run is stopped halfway to the
    second one. `timeout` is the total in seconds; `tolerance` is the largest difference of losses
    allowed, relative to the reference. `tell` is called with each line of progress. Runs that are
    still active at the end, or after an error, are cancelled.

    Raises SpecError for mistakes in the spec and for a job whose rehearsal would prove nothing,
    ClusterError if Slurm refuses.
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
        stage.rehearsal.reasons.append(f"timed out after {timeout:g} s; {error}")
    finally:
        stage.end()
    return stage.rehearsal
