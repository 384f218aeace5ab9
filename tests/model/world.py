"""The state that the model explores: the records of one run, its jobs in Slurm, and who is acting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

RESUMING, NOT_QUEUED, NO_ID = -2, -1, 0
"""In place of a job id: `resume` is queueing it, it was not requested, it was requested only."""


class Attempt(NamedTuple):
    """The records of one attempt: `.begin`, `.end`, `.trainer` and `.successor`."""

    job: int
    cause: str = ""
    next: str = ""
    finished: bool = False
    successor: int = NOT_QUEUED


class Run(NamedTuple):
    """A run folder; attempts are counted from 1, and a claim that was given up is None."""

    folder: str = "here"
    intent: tuple[int, int] = (1, 0)
    """Number of the last submission, and the attempt that it follows."""
    submitted: tuple[int, int] = (1, 1)
    """Number of the last submission whose job is recorded, and that job."""
    earlier: tuple[int, ...] = ()
    """The jobs of earlier submissions."""
    attempts: tuple[Attempt | None, ...] = ()
    current: int = 0
    stop: bool = False
    cancelled: bool = False
    crashes: int = 0

    def last(self, before: int = 99) -> int:
        """Return the number of the latest attempt before another; 0 without one."""
        numbers = [number for number, one in enumerate(self.attempts, 1) if one and number < before]
        return numbers[-1] if numbers else 0

    def attempt(self, number: int) -> Attempt:
        """Return the records of an attempt; those of number 0 are empty."""
        known = 0 < number <= len(self.attempts)
        return (self.attempts[number - 1] if known else None) or Attempt(0)

    def put(self, number: int, attempt: Attempt | None) -> Run:
        """Return the run with other records of an attempt."""
        rows = [*self.attempts, *[None] * (number - len(self.attempts))]
        rows[number - 1] = attempt
        while rows and rows[-1] is None:
            rows.pop()
        return self._replace(attempts=tuple(rows))

    @property
    def finished(self) -> bool:
        """Whether training has finished, in a record of the training or of the script."""
        return any(one and (one.finished or one.cause == "finished") for one in self.attempts)


class Script(NamedTuple):
    """A running job script: its next step, and its variables."""

    step: str = "begin"
    attempt: int = 0
    last: int = 0
    cause: str = ""
    next: str = ""
    after: str = ""
    """The step after the successor has been queued."""


class Job(NamedTuple):
    """A job of the run in Slurm."""

    state: str = "pending"
    after: int = 0
    """The job of its dependency `afterany`."""
    may_requeue: bool = True
    doom: str = ""
    """Why Slurm is ending it: it has sent TERM, and sends KILL at any moment."""
    log: str = ""
    """`cancel` if slurmstepd has once logged that the job was cancelled, without a reason."""
    from_script: bool = False
    """Whether an attempt has queued it: CLUSTERRUN_FIRST_JOB is set."""
    by_hand: bool = False
    """Whether a person has requeued or held it."""
    script: Script | None = None

    @property
    def active(self) -> bool:
        """Whether squeue shows it."""
        return self.state != "ended"


class Command(NamedTuple):
    """A command that a person has typed: its name, its next step, and what it has read."""

    name: str
    step: str
    number: int = 0
    after: int = 0
    saved: tuple[object, ...] = ()


class World(NamedTuple):
    """Everything; a transition returns another one."""

    run: Run = Run()
    jobs: tuple[Job, ...] = (Job(),)
    commands: tuple[Command, ...] = ()
    budget: tuple[tuple[str, int], ...] = ()
    """How often each event may still happen."""
    interrupted: tuple[int, int] | None = None
    """The pending record of a resume: its number, and the attempt that it follows."""
    over: str = ""
    """How the run has ended for good; a resume clears it. No program reads this."""
    harmed: bool = False
    """Whether somebody has killed a job script, or a job that was to continue the run."""

    def job(self, number: int) -> Job:
        """Return a job by its id."""
        return self.jobs[number - 1]

    def put(self, number: int, job: Job) -> World:
        """Return the world with another state of a job."""
        return self._replace(jobs=(*self.jobs[: number - 1], job, *self.jobs[number:]))

    def move(self, number: int, **changes: object) -> World:
        """Return the world with other variables of a job's script."""
        script = self.job(number).script
        assert script
        return self.put(number, self.job(number)._replace(script=script._replace(**changes)))

    def numbered(self) -> Iterator[tuple[int, Job]]:
        """Yield each job with its id."""
        yield from enumerate(self.jobs, 1)

    def active(self, *, but: int = 0) -> list[int]:
        """List the jobs that squeue shows, as a search for the run's script does."""
        return [number for number, job in self.numbered() if job.active and number != but]

    def pending(self, *, but: int = 0) -> list[int]:
        """List the pending jobs, held ones included."""
        return [number for number in self.active(but=but) if self.job(number).state != "running"]

    def spend(self, event: str) -> World | None:
        """Return the world with one event less to come, or None if it may not happen again."""
        left = dict(self.budget)
        if not left.get(event):
            return None
        left[event] -= 1
        return self._replace(budget=tuple(left.items()))


class Rules(NamedTuple):
    """The rules of the protocol, each of which a test switches off, and the site's settings."""

    claims: bool = True
    """An attempt is claimed by a file that must not exist."""
    confirms: bool = True
    """The decision is repeated with the claim."""
    looks_for_running: bool = True
    """After the claim, a job gives way to the previous attempt's job if that runs."""
    keeps_ended: bool = True
    """A job of the run does not start after the run has ended."""
    knows_submitted: bool = True
    """A job that was submitted and never claimed an attempt is a job of the run, too."""
    knows_its_resume: bool = True
    """The job of a resume starts, also if it was killed between its claim and `current`."""
    trusts_log: bool = True
    """The log distinguishes a job that was cancelled from one whose recorded cause is wrong."""
    gives_way: bool = True
    """A job that does not continue the run exits while the one that does is in the queue."""
    current_decides: bool = True
    """A claim without `current` decides nothing."""
    cancels_others: bool = True
    records_successor: bool = True
    """The request for a successor is recorded before sbatch is called, and looked up."""
    checks_folder: bool = True
    """A job does not create the folder of a run that was removed."""
    clean_looks_again: bool = True
    clean_locks: bool = True
    resume_looks_again: bool = True
    by_successor: bool = False
    """The spec says `requeue.by: successor`."""
    preempt_mode: str = "requeue"
    most_jobs: int = 3
    most_crashes: int = 1
