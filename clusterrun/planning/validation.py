"""`validate`: checks a spec without Slurm, up to a job script that bash can parse."""

from __future__ import annotations

from clusterrun.errors import Problem, SpecError
from clusterrun.planning.bash_syntax import script_fault
from clusterrun.planning.plan import Identity, LaunchPlan, make_plan
from clusterrun.planning.preparation import Prepared, Request, prepare
from clusterrun.planning.script import render
from clusterrun.results import SweepMember, ValidSpec


def validate(request: Request) -> Prepared:
    """Check a spec, the files it names and its script. Raises SpecError with every mistake."""
    prepared = prepare(request)
    plan_and_render(prepared)
    return prepared


def plan_and_render(prepared: Prepared, identity: Identity | None = None) -> tuple[LaunchPlan, str]:
    """Return the plan and the job script of a valid spec. Raises SpecError."""
    refuse_problems(prepared)
    plan = make_plan(prepared, identity)
    script = render(plan)
    _refuse_syntax_error(plan, script)
    return plan, script


def refuse_problems(prepared: Prepared) -> None:
    """Raise SpecError with every mistake in a spec, if there are any."""
    if prepared.problems:
        raise SpecError(prepared.problems)


def _refuse_syntax_error(plan: LaunchPlan, script: str) -> None:
    """Raise SpecError if bash cannot parse a script.

    The user's own lines were already checked one by one; this also finds errors in templates.
    """
    fault = script_fault(script)
    if fault:
        hint = "show the script with clusterrun render"
        if plan.templates:
            hint = f"check the templates in {', '.join(map(str, plan.templates))}; {hint}"
        raise SpecError(
            [Problem(plan.source, "", f"bash syntax error in the rendered script: {fault}", hint)]
        )


def valid_spec(prepared: Prepared, plan: LaunchPlan) -> ValidSpec:
    """Return what a valid spec requests."""
    processes = plan.launch.processes if plan.processes_a_node else None
    return ValidSpec(
        plan.name,
        plan.nodes,
        plan.least_nodes,
        processes,
        prepared.batch.samples,
        prepared.notes,
        list_members(prepared),
    )


def list_members(prepared: Prepared) -> tuple[SweepMember, ...]:
    """Return the members of a sweep; none for a single run."""
    return tuple(one.result for one in prepared.members.every) if prepared.members else ()
