"""The commands that a person types: resume, stop, cancel and clean, step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.model.script import Steps, continuing
from tests.model.world import NO_ID, RESUMING, Command, Job, Rules, Run, World


def is_final(world: World) -> bool:
    """run_status: the records, and Slurm's state of the newest job."""
    run = world.run
    last = run.last()
    one = run.attempt(last)
    awaited = run.intent[1] == last
    if one.next == "end" and not awaited:
        return one.cause != "cancel" or not _newest_is_active(world, last)
    return continuing(world, last) != [RESUMING] and not _newest_is_active(world, last)


def _newest_is_active(world: World, last: int) -> bool:
    """newest_job: the one that was submitted since the last attempt, its successor, or its job."""
    jobs = continuing(world, last)
    if NO_ID in jobs:  # _find_successor, by its script
        known = {job for one in world.run.attempts if one for job in (one.job, one.successor)}
        known |= {world.run.submitted[1], *world.run.earlier}
        if any(job.active for number, job in world.numbered() if number not in known):
            return True
    return any(world.job(job).active for job in [job for job in jobs if job > NO_ID][-1:])


def start_resume(world: World, rules: Rules) -> World | None:
    """Take the lock, find the run ended, and cancel or wait for what is left of its jobs."""
    run = world.run
    if run.folder != "here" or any(one.name in ("resume", "clean") for one in world.commands):
        return None
    if world.interrupted:
        return _adopt(world, rules)
    if run.finished or not is_final(world):
        return None
    number, after = run.intent[0] + 1, run.last()
    return _begin(world, Command("resume", "wait", number, after))


def record_job(run: Run, number: int, job: int) -> Run:
    """record_job: the job, and those of earlier submissions"""
    return run._replace(submitted=(number, job), earlier=(*run.earlier, run.submitted[1]))


def _begin(world: World, command: Command) -> World:
    return world._replace(commands=(*world.commands, command))


def _adopt(world: World, rules: Rules) -> World | None:
    """find_known_job: the interrupted submission's job by its record, its attempt, its script."""
    run = world.run
    assert world.interrupted
    number, after = world.interrupted
    if run.submitted[0] == number:
        return world._replace(interrupted=None)
    started = [one.job for one in run.attempts[after:] if one]
    old = {one.job for one in run.attempts[:after] if one}
    old |= {one.successor for one in run.attempts[:after] if one}
    queued = [job for job in world.active() if job not in old]
    job = (started or queued or [0])[0]
    if job:
        run = record_job(run, number, job)
        return world._replace(run=run, interrupted=None)
    queueing = continuing(world, run.last()) == [RESUMING]
    if run.finished or not (queueing or is_final(world)):
        return None
    return _begin(world, Command("resume", "wait", number, run.last()))


Result = tuple[str, World, str, dict[str, Any]]
"""A label, the world, the command's next step (empty at its end), and changed variables."""


def wait_for_end(world: World, command: Command, rules: Rules) -> Result:
    """wait_for_end: pending jobs are cancelled, what runs is waited for"""
    world = _cancel_pending(world)
    if world.active():
        return "refused: a job is in the queue", world, "", {}
    return "waits for the end", world, "intent", {}


def write_intent(world: World, command: Command, rules: Rules) -> Result:
    """write_submission: the pending record, then the intent in the run folder"""
    intent = (command.number, command.after)
    before = {"saved": (world.run,)}
    run = world.run._replace(intent=intent)
    return (
        "writes its intent",
        world._replace(run=run, interrupted=intent, over=""),
        "clear",
        before,
    )


def clear_requests(world: World, command: Command, rules: Rules) -> Result:
    """write_submission: stop, cancelled and the crash budget"""
    run = world.run._replace(stop=False, cancelled=False, crashes=0)
    return "clears requests", world._replace(run=run), "again", {}


def look_again(world: World, command: Command, rules: Rules) -> Result:
    """refuse_started_job"""
    running = len(world.pending()) < len(world.active())
    if rules.resume_looks_again and (running or world.run.last() != command.after):
        return "refused: a job has started", _restore(world, command), "", {}
    return "looks again", world, "sbatch", {}


def queue_job(world: World, command: Command, rules: Rules) -> Result:
    """queue_job"""
    if len(world.jobs) == rules.most_jobs:
        return "refused by sbatch", _restore(world, command), "", {}
    return "queues a job", world._replace(jobs=(*world.jobs, Job())), "record", {}


def record_jobs(world: World, command: Command, rules: Rules) -> Result:
    """record_jobs"""
    run = record_job(world.run, command.number, len(world.jobs))
    return "records the job", world._replace(run=run, interrupted=None), "", {}


RESUME = {
    "wait": wait_for_end,
    "intent": write_intent,
    "clear": clear_requests,
    "again": look_again,
    "sbatch": queue_job,
    "record": record_jobs,
}


def resume(world: World, command: Command, rules: Rules) -> Result:
    """Take the next step of `resume`."""
    return RESUME[command.step](world, command, rules)


def _restore(world: World, command: Command) -> World:
    """restore_files: intent, stop, cancelled and ledger are as before."""
    before: Any = command.saved[0]
    run = world.run._replace(
        intent=before.intent,
        stop=before.stop,
        cancelled=before.cancelled,
        crashes=before.crashes,
    )
    over = world.over or ("restored" if run.attempt(run.last()).next == "end" else "")
    return world._replace(run=run, interrupted=None, over=over)


def _cancel_pending(world: World) -> World:
    for number in world.pending():
        world = world.put(number, Job("ended", log=world.job(number).log))
    return world


def stop(world: World, command: Command, rules: Rules) -> Result:
    """Write the request; take a pending job out of the queue."""
    if command.step == "write":
        pending = bool(world.pending()) and not is_final(world)
        world = world._replace(run=world.run._replace(stop=True))
        return "requests a stop", world, "cancel" if pending else "", {}
    for job in continuing(world, world.run.last())[-1:]:
        if job > NO_ID and world.job(job).state in ("pending", "held"):
            world = world.put(job, Job("ended", log=world.job(job).log))._replace(harmed=True)
    return "cancels the pending job", world, "", {}


def cancel(world: World, command: Command, rules: Rules) -> Result:
    """Write the record that no attempt starts after, then cancel the run's jobs."""
    if command.step == "write":
        return (
            "records the cancellation",
            world._replace(run=world.run._replace(cancelled=True), harmed=True),
            "cancel",
            {},
        )
    run = world.run
    known = {job for one in run.attempts[-2:] if one for job in (one.job, one.successor)}
    for number in {*known, run.submitted[1]} & set(world.active()):
        job = world.job(number)
        if job.state != "running":
            world = world.put(number, job._replace(state="ended"))
        elif not job.doom:
            world = world.put(number, job._replace(doom="cancel", log="cancel"))
    return "cancels the jobs", world, "", {}


def clean(world: World, command: Command, rules: Rules) -> Result:
    """Find the run ended, rename its folder, look again, and delete it."""
    match command.step:
        case "rename":
            run = world.run._replace(folder="aside")
            return "renames the folder", world._replace(run=run), "again", {}
        case "again":
            if rules.clean_looks_again and world.active():
                run = world.run._replace(folder="here")
                return "renames it back", world._replace(run=run), "", {}
            return "looks again", world, "delete", {}
    run = world.run
    run = run._replace(folder="gone") if run.folder == "aside" else run
    return "deletes the folder", world._replace(run=run), "", {}


def start_clean(world: World, rules: Rules) -> World | None:
    """Take the lock that `resume` takes, and find the run ended and without a job."""
    resuming = any(one.name == "resume" for one in world.commands) or bool(world.interrupted)
    gone = world.run.folder != "here" or world.active() or not is_final(world)
    if gone or (rules.clean_locks and resuming):
        return None
    return _begin(world, Command("clean", "rename"))


def start_request(name: str) -> Callable[[World, Rules], World | None]:
    """Return what begins `stop` or `cancel`, which do nothing for a run that has ended."""

    def start(world: World, rules: Rules) -> World | None:
        if world.run.folder != "here" or is_final(world):
            return None
        return _begin(world, Command(name, "write"))

    return start


START = {
    "resume": start_resume,
    "clean": start_clean,
    "stop": start_request("stop"),
    "cancel": start_request("cancel"),
}
STEP = {"resume": resume, "clean": clean, "stop": stop, "cancel": cancel}


def people_steps(world: World, rules: Rules) -> Steps:
    """Return what a person may type, and what a typed command may do next, or be killed."""
    steps: Steps = []
    for name, start in START.items():
        if (after := world.spend(name)) and (begun := start(after, rules)):
            steps.append((name, begun))
    for command in world.commands:
        rest = tuple(one for one in world.commands if one is not command)
        label, after, following, changes = STEP[command.name](world, command, rules)
        left = (*rest, command._replace(step=following, **changes)) if following else rest
        steps.append((f"{command.name} {label}", after._replace(commands=left)))
        if killed := world.spend("kill-client"):
            steps.append((f"{command.name} is killed", killed._replace(commands=rest)))
    return steps
