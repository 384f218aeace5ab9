"""What Slurm does, and what a person types at it: starts, signals, kills, requeues and holds."""

from __future__ import annotations

from tests.model.script import Steps, leave
from tests.model.world import Job, Rules, Script, World

LOGGED = {"scancel": "cancel", "requeue": "requeue", "hold": "requeue", "preempt": "preemption"}


def slurm_steps(world: World, rules: Rules) -> Steps:
    """Return what Slurm, or a person with Slurm's commands, may do next."""
    steps: Steps = []
    for number, job in world.numbered():
        if job.state == "pending" and not (job.after and world.job(job.after).active):
            started = job._replace(state="running", script=Script(), after=0)
            steps.append((f"job {number} starts", world.put(number, started)))
        if job.state == "running":
            steps += _running(world, number, job, rules)
        elif job.state == "ended":
            steps += _ended(world, number, job)
        else:
            steps += _waiting(world, number, job)
    return steps


def _running(world: World, number: int, job: Job, rules: Rules) -> Steps:
    steps: Steps = []
    if job.doom:
        # with KillWait, 30 s by default, a script has the time to record its end
        back = job.may_requeue and job.doom != "cancel"
        gone = leave(world, number)
        return [(f"job {number} is killed", gone if back else gone._replace(harmed=True))]
    preempt = "preempt" if rules.preempt_mode == "requeue" and job.may_requeue else "cancelled"
    events = {"preempt": preempt, "scancel": "cancel", "requeue": "requeue", "hold": "hold"}
    for event, doom in events.items():
        if event in ("requeue", "hold") and not job.may_requeue:
            continue
        if after := world.spend(event):
            by_hand = job.by_hand or event in ("requeue", "hold")
            doomed = job._replace(
                doom="preempt" if event == "preempt" else doom,
                log="cancel" if "cancel" in (job.log, doom) else LOGGED[event],
                may_requeue=job.may_requeue and doom != "cancelled",
                by_hand=by_hand,
            )
            after = after._replace(harmed=after.harmed or event == "scancel")
            steps.append((f"{event} of job {number}", after.put(number, doomed)))
    if after := world.spend("kill"):
        gone = after._replace(harmed=True).put(number, job._replace(script=None, state="ended"))
        steps.append((f"the script of job {number} is killed", gone))
    if after := world.spend("node-fail"):
        state = "pending" if job.may_requeue else "ended"
        lost = job._replace(script=None, state=state)
        after = after._replace(harmed=after.harmed or not job.may_requeue)
        steps.append((f"the node of job {number} fails", after.put(number, lost)))
    return steps


def _ended(world: World, number: int, job: Job) -> Steps:
    steps: Steps = []
    known = bool(job.log or any(one and one.job == number for one in world.run.attempts))
    for event, state in (("requeue", "pending"), ("hold", "held")):
        if known and job.may_requeue and (after := world.spend(event)):
            again = job._replace(state=state, by_hand=True, doom="", after=0)
            steps.append((f"{event} of ended job {number}", after.put(number, again)))
    return steps


def _waiting(world: World, number: int, job: Job) -> Steps:
    steps: Steps = []
    if after := world.spend("scancel"):
        gone = after._replace(harmed=True).put(number, job._replace(state="ended", log=job.log))
        steps.append((f"scancel of pending job {number}", gone))
    if job.state == "held":
        steps.append((f"release of job {number}", world.put(number, job._replace(state="pending"))))
    return steps
