"""The end of the job script, step by step: the training, the decision, its record, and what follows."""

from __future__ import annotations

from tests.model.script import Steps, ended, leave
from tests.model.world import NOT_QUEUED, Job, Rules, World


def train(world: World, me: int, rules: Rules) -> Steps:
    """The training: it finishes, crashes, or sees a stop request."""
    script = world.job(me).script
    assert script
    if world.run.stop:
        return [("stops", world.move(me, step="decide", cause="stop"))]
    mine = world.run.attempt(script.attempt)._replace(finished=True)
    steps = [
        (
            "finishes",
            world._replace(run=world.run.put(script.attempt, mine)).move(me, step="decide"),
        )
    ]
    if crashed := world.spend("crash"):
        steps.append(("crashes", crashed.move(me, step="decide", cause="crash")))
    return steps


TERM = {"cancel": "cancel", "requeue": "requeue", "hold": "requeue", "preempt": "preemption"}


def decide(world: World, me: int, rules: Rules) -> Steps:
    """find_end_cause, update_ledger, decide_next"""
    job, run = world.job(me), world.run
    script = job.script
    assert script
    crashes, cause = run.crashes, script.cause
    if run.current != script.attempt:
        return [("is fenced", leave(world, me))]
    if run.attempt(script.attempt).finished:
        cause = "finished"
    elif job.doom:
        cause = TERM[job.doom]
    crashes += cause == "crash"
    following = decide_next(cause, crashes, rules, doomed=bool(job.doom))
    world = world._replace(run=run._replace(crashes=crashes))
    return [(f"decides {cause}", world.move(me, step="record", cause=cause, next=following))]


def decide_next(cause: str, crashes: int, rules: Rules, *, doomed: bool) -> str:
    """decide_next"""
    if cause in ("finished", "stop", "cancel"):
        return "end"
    if cause in ("preemption", "requeue") and doomed:
        return "by-slurm"
    return "end" if cause == "crash" and crashes > rules.most_crashes else "continue"


def record(world: World, me: int, rules: Rules) -> Steps:
    """record_end, then what the decision asks for"""
    script = world.job(me).script
    assert script
    mine = world.run.attempt(script.attempt)._replace(cause=script.cause, next=script.next)
    world = world._replace(run=world.run.put(script.attempt, mine))
    if script.next == "end":
        world = ended(world, script.cause)
        return [("records the end", world.move(me, step="exit"))]
    return [("records the end", world.move(me, step=act(world, me, rules), after="exit"))]


def act(world: World, me: int, rules: Rules) -> str:
    """choose_continuation"""
    job = world.job(me)
    assert job.script
    cancelled = job.doom == "preempt" and rules.preempt_mode == "cancel"
    taken_back = job.script.next == "by-slurm" and job.may_requeue and not cancelled
    if taken_back:
        return "exit"
    if rules.by_successor or not job.may_requeue or cancelled:
        return "request"
    return "requeue"


def requeue(world: World, me: int, rules: Rules) -> Steps:
    """request_requeue: Slurm ends the job and takes it back"""
    job = world.job(me)
    if job.doom == "cancel":
        return cancelled(world, me)
    if job.doom == "preempt" and not job.may_requeue:
        return [("needs a successor", world.move(me, step="request", after="exit"))]
    if not job.doom:
        world = world.put(me, job._replace(doom="requeue", log="requeue"))
    return [("requests a requeue", world.move(me, step="exit"))]


def cancelled(world: World, me: int) -> Steps:
    """exit_if_cancelled"""
    script = world.job(me).script
    assert script
    mine = world.run.attempt(script.attempt)._replace(cause="cancel", next="end")
    world = ended(world._replace(run=world.run.put(script.attempt, mine)), "cancel")
    return [("is cancelled", world.move(me, step="exit", cause="cancel", next="end"))]


def exit_(world: World, me: int, rules: Rules) -> Steps:
    """exit, after the successor of a run that has ended is cancelled"""
    script = world.job(me).script
    assert script
    mine = world.run.attempt(script.attempt)
    if script.next == "end" and mine.successor != NOT_QUEUED and rules.cancels_others:
        for number in world.pending(but=me):
            world = world.put(number, Job("ended"))
    return [("exits", leave(world, me))]
