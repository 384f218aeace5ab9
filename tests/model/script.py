"""The start of the job script, step by step: each step is one read or write that others can come between.

The names are those of `templates/functions`; `test_conformance` runs these functions.
"""

from __future__ import annotations

from clusterrun.run_folder.causes import Cause
from tests.model.world import NOT_QUEUED, RESUMING, Attempt, Job, Rules, Run, Script, World

Steps = list[tuple[str, World]]


def ended(world: World, cause: str) -> World:
    """Note that the run has ended, unless a person is resuming it already."""
    return world if world.interrupted else world._replace(over=cause)


def leave(world: World, me: int) -> World:
    """End a job whose script exits; what Slurm is doing with it decides what follows."""
    job = world.job(me)._replace(script=None)
    if job.doom in ("requeue", "hold", "preempt") and job.may_requeue:
        state = "held" if job.doom == "hold" else "pending"
        return world.put(me, job._replace(state=state, doom="", after=0))
    return world.put(me, job._replace(state="ended", doom=""))


def begin(world: World, me: int, rules: Rules) -> Steps:
    """make_run_folder, exit_if_run_is_over"""
    run = world.run
    if run.folder != "here":
        if rules.checks_folder:
            return [("the folder was removed", leave(world, me))]
        world = world._replace(run=type(run)(intent=(0, 0)))
        return [("creates the folder", world.move(me, step="last"))]
    if run.finished or run.cancelled:
        return [("the run is over", leave(world, me))]
    return [("begins", world.move(me, step="last"))]


def last(world: World, me: int, rules: Rules) -> Steps:
    """find_deciding_attempt, exit_if_run_has_ended"""
    run = world.run
    number = deciding(run, rules)
    if has_ended(world, me, number, rules):
        return [("the run has ended", leave(world, me))]
    return [("may begin", world.move(me, step="other", last=number))]


def deciding(run: Run, rules: Rules, before: int = 99) -> int:
    """find_deciding_attempt"""
    number = run.last(before)
    unconfirmed = run.current and run.current < number and not run.attempt(number).next
    return run.current if rules.current_decides and unconfirmed else number


def has_ended(world: World, me: int, number: int, rules: Rules) -> bool:
    """exit_if_run_has_ended"""
    run, job = world.run, world.job(me)
    if not rules.keeps_ended:
        return False
    mine = job.script.attempt if job.script else 0
    trained = any(one and one.job == me for no, one in enumerate(run.attempts, 1) if no != mine)
    trained = trained or (rules.knows_submitted and me in (run.submitted[1], *run.earlier))
    if run.attempt(number).next != "end" or not (job.from_script or trained):
        return False
    if run.intent[1] >= number and rules.knows_its_resume:
        submitted = run.submitted[1] if run.submitted[0] == run.intent[0] else RESUMING
        if me == submitted or (submitted == RESUMING and not is_known(world, me, number)):
            return False
    if run.attempt(number).job != me or run.attempt(number).cause != Cause.CANCEL:
        return True
    return rules.trusts_log and job.log == "cancel"


def other(world: World, me: int, rules: Rules) -> Steps:
    """exit_if_another_job_continues"""
    if rules.gives_way and continues_elsewhere(world, me):
        return [("another job continues", leave(world, me))]
    return [("continues the run", world.move(me, step="claim"))]


def continuing(world: World, number: int) -> list[int]:
    """list_continuing_jobs: a job whose id is not recorded is 0"""
    run = world.run
    if run.intent[0] and run.intent[1] >= number:
        return [run.submitted[1] if run.submitted[0] == run.intent[0] else RESUMING]
    one = run.attempt(number)
    return [job for job in (one.job, one.successor) if job != NOT_QUEUED] if number else []


def continues_elsewhere(world: World, me: int) -> bool:
    """exit_if_another_job_continues"""
    script = world.job(me).script
    assert script
    jobs = continuing(world, script.last)
    if me in jobs:
        later = jobs[jobs.index(me) + 1 :]
        return any(is_running(world, job, but=me) for job in later)
    if jobs and min(jobs) < 1 and not is_known(world, me, script.last):
        return False
    if RESUMING in jobs:
        return True
    return any(world.job(job).active if job else bool(world.active(but=me)) for job in jobs)


def is_known(world: World, me: int, last: int) -> bool:
    """job_may_not_be_resumed, while `resume` is queueing a job; else whether it had an attempt"""
    run = world.run
    known = me in (run.submitted[1], *run.earlier)
    if run.intent[1] >= last and run.submitted[0] != run.intent[0]:
        known, last = known or world.job(me).from_script, run.intent[1]
    return known or any(one and one.job == me for one in run.attempts[:last])


def is_running(world: World, job: int, *, but: int) -> bool:
    """Whether a job has nodes; one without an id is found by its script."""
    jobs = [job] if job else world.active(but=but)
    return any(world.job(one).state == "running" for one in jobs)


def claim(world: World, me: int, rules: Rules) -> Steps:
    """claim_attempt: the number is created if no file of its name exists"""
    number = world.run.last() + 1
    world = world._replace(run=world.run.put(number, Attempt(me)))
    return [(f"claims {number}", world.move(me, step="look", attempt=number))]


def read_number(world: World, me: int, rules: Rules) -> Steps:
    """Without O_EXCL: the number is read in one step, and written in another."""
    return [("reads", world.move(me, step="write", attempt=world.run.last() + 1))]


def write_number(world: World, me: int, rules: Rules) -> Steps:
    """Without O_EXCL: an existing record is replaced."""
    script = world.job(me).script
    assert script
    run = world.run.put(script.attempt, Attempt(me))
    return [("writes", world._replace(run=run).move(me, step="look"))]


def look(world: World, me: int, rules: Rules) -> Steps:
    """claim_attempt: is the previous attempt's job running?"""
    script = world.job(me).script
    assert script
    if not rules.looks_for_running:
        return [("looks at nothing", world.move(me, step="current"))]
    for number in range(script.attempt - 1, max(script.last, 1) - 1, -1):
        one = world.run.attempt(number)
        if one.job in (0, me) or world.job(one.job).state != "running":
            continue
        if world.job(one.job).doom:
            return []  # its processes are ending: wait for them
        if not one.next:
            return [(f"job {one.job} trains", world.move(me, step="give-up"))]
    return [("is alone", world.move(me, step="confirm"))]


def confirm(world: World, me: int, rules: Rules) -> Steps:
    """begin_attempt: with the claim, and nobody else training, has the run ended meanwhile?"""
    script = world.job(me).script
    assert script
    run = world.run
    over = run.finished or run.cancelled or has_ended(world, me, script.last, rules)
    if rules.confirms and over:
        return [("the run has ended meanwhile", world.move(me, step="give-up"))]
    if rules.confirms and deciding(run, rules, script.attempt) != script.last:
        return [("another attempt came between", world.move(me, step="retry"))]
    return [("confirms its claim", world.move(me, step="current"))]


def give_up(world: World, me: int, rules: Rules) -> Steps:
    """claim_attempt: the claim is removed"""
    script = world.job(me).script
    assert script
    run = world.run.put(script.attempt, None)
    return [("gives way", leave(world._replace(run=run), me))]


def retry(world: World, me: int, rules: Rules) -> Steps:
    """begin_attempt: the claim is removed, and the decision begins again"""
    script = world.job(me).script
    assert script
    world = world._replace(run=world.run.put(script.attempt, None))
    return [("begins again", world.put(me, world.job(me)._replace(script=Script())))]


def current(world: World, me: int, rules: Rules) -> Steps:
    """`current`: from here on, an older attempt is fenced"""
    script = world.job(me).script
    assert script
    world = world._replace(run=world.run._replace(current=script.attempt))
    return [("is current", world.move(me, step="settle"))]


def settle(world: World, me: int, rules: Rules) -> Steps:
    """record_end_of_previous_attempt"""
    script = world.job(me).script
    assert script
    previous = world.run.attempt(script.last)
    if script.last and not previous.next:
        previous = previous._replace(cause=Cause.NODE_FAILURE.value, next="continue")
        world = world._replace(run=world.run.put(script.last, previous))
    return [("settles", world.move(me, step="cancel-others"))]


def cancel_others(world: World, me: int, rules: Rules) -> Steps:
    """cancel_other_jobs"""
    script = world.job(me).script
    assert script
    if rules.cancels_others and script.last:
        for number in world.pending(but=me):
            world = world.put(number, Job("ended"))
    return [("cancels others", world.move(me, step="stop"))]


def stop(world: World, me: int, rules: Rules) -> Steps:
    """a stop that was requested before the attempt"""
    if world.run.stop:
        return [("stop requested", world.move(me, step="record", cause="stop", next="end"))]
    return [("trains", world.move(me, step="train"))]
