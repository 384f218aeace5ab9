"""`validate` and `render`: what a spec means, without Slurm."""

from __future__ import annotations

from clusterrun.errors import SpecError
from clusterrun.prepare import Prepared, Request, prepare
from clusterrun.results import ValidSpec


def validate(request: Request) -> Prepared:
    """Check a spec and the files it names; raises SpecError with every mistake."""
    prepared = prepare(request)
    if prepared.problems:
        raise SpecError(prepared.problems)
    prepared.script()
    return prepared


def valid_spec(prepared: Prepared) -> ValidSpec:
    """Return what a spec that was found valid asks for."""
    plan = prepared.plan()
    processes = plan.launch.processes if plan.processes_a_node else None
    return ValidSpec(plan.name, plan.nodes, plan.least_nodes, processes, prepared.batch.samples, prepared.notes)
