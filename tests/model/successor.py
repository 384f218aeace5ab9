"""queue_successor, step by step, and what a script does when Slurm ends its job."""

from __future__ import annotations

from collections.abc import Callable

from tests.model import ending
from tests.model import script as beginning
from tests.model.ending import act, decide_next
from tests.model.script import Steps
from tests.model.world import NO_ID, Job, Rules, World


def request(world: World, me: int, rules: Rules) -> Steps:
    """The request is recorded; a job that an earlier try has queued is looked up."""
    script = world.job(me).script
    assert script
    mine = world.run.attempt(script.attempt)
    if world.job(me).doom == "cancel" and script.after == "exit":
        return ending.cancelled(world, me)
    if world.run.cancelled or mine.successor > NO_ID:
        return [("has a successor", world.move(me, step=script.after))]
    queued = world.pending(but=me) if mine.successor == NO_ID else []
    if rules.records_successor:
        world = world._replace(run=world.run.put(script.attempt, mine._replace(successor=NO_ID)))
    if queued and rules.records_successor:
        return [("finds its successor", world.move(me, step="note", last=queued[0]))]
    return [("requests a successor", world.move(me, step="sbatch"))]


def sbatch(world: World, me: int, rules: Rules) -> Steps:
    """sbatch --dependency=afterany: slurmctld has the job, and nobody has its id."""
    if len(world.jobs) == rules.most_jobs:
        return []
    world = world._replace(jobs=(*world.jobs, Job(after=me, from_script=True)))
    return [("queues a successor", world.move(me, step="note", last=len(world.jobs)))]


def note(world: World, me: int, rules: Rules) -> Steps:
    """The id is recorded."""
    script = world.job(me).script
    assert script
    mine = world.run.attempt(script.attempt)._replace(successor=script.last)
    world = world._replace(run=world.run.put(script.attempt, mine))
    return [("records its successor", world.move(me, step="requeue-0"))]


def forbid_requeue(world: World, me: int, rules: Rules) -> Steps:
    """scontrol update Requeue=0: too late if Slurm is requeueing the job."""
    job = world.job(me)
    assert job.script
    if not (job.doom and job.may_requeue and job.doom != "cancel"):
        world = world.put(me, job._replace(may_requeue=False))
    return [("forbids its requeue", world.move(me, step=job.script.after))]


def at_term(world: World, me: int, rules: Rules) -> Steps:
    """record_end_at_term, while the training ends; end_before_step before it."""
    job, run = world.job(me), world.run
    script = job.script
    assert script
    cause = ending.TERM[job.doom]
    if run.current != script.attempt:
        return [("is fenced", beginning.leave(world, me))]
    if run.attempt(script.attempt).finished:
        cause = "finished"
    following = decide_next(cause, 0, rules, doomed=True)
    mine = run.attempt(script.attempt)._replace(cause=cause, next=following)
    world = world._replace(run=run.put(script.attempt, mine))
    world = beginning.ended(world, cause) if following == "end" else world
    world = world.move(me, cause=cause, next=following, step="decide", after="decide")
    way = "exit" if following == "end" else act(world, me, rules)
    return [("records its end at TERM", world.move(me, step="decide" if way == "exit" else way))]


STEPS: dict[str, Callable[[World, int, Rules], Steps]] = {
    "begin": beginning.begin,
    "last": beginning.last,
    "other": beginning.other,
    "claim": beginning.claim,
    "read": beginning.read_number,
    "write": beginning.write_number,
    "look": beginning.look,
    "confirm": beginning.confirm,
    "retry": beginning.retry,
    "give-up": beginning.give_up,
    "current": beginning.current,
    "settle": beginning.settle,
    "cancel-others": beginning.cancel_others,
    "stop": beginning.stop,
    "train": ending.train,
    "decide": ending.decide,
    "record": ending.record,
    "requeue": ending.requeue,
    "exit": ending.exit_,
    "request": request,
    "sbatch": sbatch,
    "note": note,
    "requeue-0": forbid_requeue,
}
_IN_ATTEMPT = ("settle", "cancel-others", "stop", "train")


def script_steps(world: World, me: int, rules: Rules) -> Steps:
    """Return what the script of a job may do next."""
    job = world.job(me)
    assert job.script
    if job.doom and job.script.step in _IN_ATTEMPT:
        return at_term(world, me, rules)
    step = job.script.step
    if step == "claim" and not rules.claims:
        step = "read"
    return STEPS[step](world, me, rules)
