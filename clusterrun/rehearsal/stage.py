"""Act out a rehearsal: start the runs, interrupt one, follow its return and compare both."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from clusterrun.errors import ClusterError
from clusterrun.planning.preparation import Prepared
from clusterrun.rehearsal import plain_script
from clusterrun.rehearsal.comparison import compare_losses, compare_weights
from clusterrun.rehearsal.observation import FollowedRun
from clusterrun.rehearsal.phases import Times, list_phases
from clusterrun.rehearsal.plan import (
    RehearsalPlan,
    checkpoint_pattern,
    plan_runs,
    script_reports_nothing,
)
from clusterrun.rehearsal.result import NOT_SURVIVED, OUT_OF_TIME, SURVIVED, Rehearsal
from clusterrun.rehearsal.stand_in import Here, OnSlurm, StandIn
from clusterrun.rehearsal.verdict import judge_resume, judge_training
from clusterrun.rehearsal.watch import NotSurvived, Watch
from clusterrun.run_folder.causes import Cause
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.records import read_record, whole
from clusterrun.submission.submitting import submit_prepared

_SILENT_SECONDS = 30.0  # for a first sign of a script whose text shows that there will be none
_ASK_SECONDS = 1.0  # between two questions whether it is pending again


class Stage:
    """One rehearsal under way."""

    def __init__(
        self,
        prepared: Prepared,
        plan: RehearsalPlan,
        *,
        local: bool,
        timeout: float,
        tolerance: float,
        tell: Callable[[str], None],
    ) -> None:
        self._prepared, self._plan, self._local = prepared, plan, local
        self._tolerance, self._tell = tolerance, tell
        name = prepared.loaded.spec.name
        self._plain = prepared.loaded.spec.checkpoint.path is not None
        self._both = plan_runs(prepared, plan)
        self._stand_in: StandIn = Here() if local else OnSlurm()
        self._watch = Watch(Index(prepared.request.environment), time.monotonic() + timeout)
        self._times = Times()
        self._next_question = 0.0
        self._blind = False  # nothing was seen of it
        self.found = Rehearsal(name)

    def _know(self, **facts: Any) -> None:
        self.found = replace(self.found, **facts)

    def play(self) -> None:
        """Go through all of it. Raises NotSurvived and OutOfTime."""
        self._begin()
        self._interrupt()
        if not (self._plain or self._local):
            self._submit_reference()
        self._come_back()
        if self.found.reasons:
            self._know(outcome=NOT_SURVIVED)
            return
        if not self._plain:
            self._train_on()
            self._compare()
        self._know(outcome=NOT_SURVIVED if self.found.reasons else SURVIVED)

    def fail(self, reason: str) -> None:
        """Take note of why it did not survive."""
        self._know(outcome=NOT_SURVIVED)
        self.found.reasons.append(reason)
        seen = self._watch.followed and (
            self._watch.followed[0].saved or self._run.step_of(1) is not None
        )
        if script_reports_nothing(self._prepared) and not seen:
            what = (
                "nothing was ever saved: the script does not use clusterrun.training, and "
                "checkpoint.path is not given"
            )
            self.found.reasons.append(f"{what}; it begins at the start again")

    def end(self) -> None:
        """Leave nothing running; after a success, no checkpoints either."""
        if not self._watch.followed:
            return
        ended = self._watch.cancel()
        if ended:
            self._tell(f"cancelled: {', '.join(ended)}")
        self._know(
            nodes=[
                attempt.nodes for followed in self._watch.followed for attempt in followed.attempts
            ]
        )
        self._know(phases=list_phases(self._times, self._run, plain=self._plain, local=self._local))
        if self.found.outcome == SURVIVED:
            removed = self._watch.remove_checkpoints()
            self._tell(f"{removed} checkpoints removed; the run folders stay")
        elif self.found.outcome == OUT_OF_TIME and not self.found.reasons:
            self.found.reasons.append("it was interrupted")

    @property
    def _run(self) -> FollowedRun:
        return self._watch.followed[0]

    def _submitted(self, prepared: Prepared) -> RunRef:
        run = submit_prepared(prepared, local=self._local)
        self._watch.followed.append(
            FollowedRun(run, checkpoint_pattern(self._prepared, run.paths.folder))
        )
        what = "started here, process" if self._local else "queued as job"
        self._tell(f"{run.run_id}: {what} {run.job_id}; run folder: {run.paths.folder}")
        return run

    def _begin(self) -> None:
        run = self._submitted(self._both[0])
        self._know(run_id=run.run_id, folder=str(run.paths.folder))
        self._times.submitted = time.time()
        self._watch.until(lambda: bool(self._run.attempts), "it starts")
        self._tell(
            "started on "
            f"{read_record(run.paths.begin(self._run.attempts[0].name)).get('nodes', '?')}"
        )
        patience = _SILENT_SECONDS if script_reports_nothing(self._prepared) else None
        if not self._watch.until(lambda: self._trains(1), "its first step", patience=patience):
            self._blind = True
            self._tell(
                f"neither a step nor a checkpoint was seen for {_SILENT_SECONDS:g} s; it is "
                "stopped all the same"
            )
            return
        if back := self._run.attempts[0].back_at:
            what = f"its first attempt went on from a checkpoint of another run, at step {back}"
            raise NotSurvived(
                f"{what}: give each run an output_dir of its own, below CLUSTERRUN_RUN_DIR"
            )
        self._times.first = self._first_time(1)
        self._tell("its first checkpoint is there" if self._plain else "its first step is done")

    def _trains(self, number: int) -> bool:
        if self._plain:
            return self._run.newest_of(number) is not None
        return self._run.step_of(number) is not None

    def _first_time(self, number: int) -> float:
        steps = self._run.attempts[number - 1].steps
        return steps[0].time if steps else time.time()

    def _may_be_stopped(self) -> bool:
        if self._plain:
            signal = self._prepared.loaded.spec.checkpoint.signal
            return plain_script.can_be_stopped(self._run, saves_when_asked=signal is not None)
        return self._blind or (self._run.step_of(1) or 0) >= self._plan.stop_at

    def _interrupt(self) -> None:
        run, first = self._run.run, self._run.attempts[0].name
        self._watch.until(self._may_be_stopped, "steps enough to stop it")
        grace, whose = self._stand_in.grace(run)
        self._times.asked = time.time()
        self._stand_in.stop(run)
        self._know(interruption=self._stand_in.words)
        self._run.interruptions = 1
        self._tell(f"TERM to its step, as Slurm preempts; it has {grace:g} s ({whose})")
        if not self._watch.until(
            lambda: bool(read_record(run.paths.end(first))), "it leaves", patience=grace
        ):
            self._tell(
                "it has not left: it is killed and queued again, as Slurm does when that time is "
                "over"
            )
            self.found.notes.append(f"it had not left after {grace:g} s ({whose}), and was killed")
            self._requeue(run)
        self._watch.look()
        self._watch.check()
        end = self._run.attempts[0].end
        self._times.left = time.time()
        self._note_what_was_saved()
        if end.get("next") == "by-slurm" and end.get("cause") == Cause.PREEMPTION:
            self._requeue(run)
        where = (
            "" if self.found.stopped_at_step is None else f" at step {self.found.stopped_at_step}"
        )
        self._tell(f"{'it has left' if end else 'it was'}{where}; {self._saved_words()}")
        if self.found.saved_step is None and not self._run.newest_of(1):
            failed = read_record(run.paths.saves).get("failed")
            raise NotSurvived(
                "it saved nothing when it was asked to stop" + (f": {failed}" if failed else "")
            )

    def _requeue(self, run: RunRef) -> None:
        # Some versions of Slurm requeue by themselves what they preempt, and the script waits for
        # that.
        try:
            self._stand_in.requeue(run)
        except ClusterError as error:
            self._watch.look()
            if (
                self._run.attempts[0].end.get("next") != "continue"
            ):  # otherwise the script was faster
                raise NotSurvived(f"the requeue was refused: {error}") from error

    def _note_what_was_saved(self) -> None:
        first, saved = self._run.attempts[0], self._run.newest_of(1)
        self._times.saved = saved.time if saved else None
        self._know(
            stopped_at_step=whole(first.trainer.get("step"))
            or self._run.step_of(1)
            or self.found.stopped_at_step
        )
        self._know(saved_step=saved.step if saved else None)

    def _saved_words(self) -> str:
        saved = self._run.newest_of(1)
        return f"the newest checkpoint is {saved.path.name}" if saved else "there is no checkpoint"

    def _submit_reference(self) -> None:
        run = self._submitted(self._both[1])
        self._know(reference_run_id=run.run_id, reference_folder=str(run.paths.folder))

    def _come_back(self) -> None:
        self._watch.until(self._is_back, "it is started again")
        self._note_what_was_saved()  # one that had to be killed went on until then
        self._tell(f"it is started again; job {self._run.run.job_id}")
        self._watch.until(self._goes_on, "its first step after the return")
        second = self._run.attempts[1]
        self._times.first_again = self._first_time(2)
        if self._plain:
            self.found = plain_script.judge_checkpoints(self._run, self.found)
        else:
            self._know(resumed_from_step=second.back_at)
            self._know(first_step_after=second.steps[0].step if second.steps else None)
            judge_resume(self.found)
            self.found.reasons.extend(_passed_over(self._run) if self.found.reasons else [])
        self._tell(f"it is back: with the checkpoint of step {self.found.resumed_from_step}")

    def _is_back(self) -> bool:
        if self._times.pending is None and time.monotonic() >= self._next_question:
            self._next_question = time.monotonic() + _ASK_SECONDS
            try:
                reason = self._stand_in.waits(self._run.run)
            except ClusterError:
                reason = None
            if reason is not None:
                self._times.pending, self._times.reason = time.time(), reason
                self._tell(f"it is pending again ({reason})")
        return len(self._run.attempts) > 1

    def _goes_on(self) -> bool:
        if self._plain:
            return plain_script.has_continued(self._run)
        return self._run.attempts[1].back_at is not None and self._run.step_of(2) is not None

    def _train_on(self) -> None:
        goal = self._plan.goal(self.found.stopped_at_step or self.found.resumed_from_step or 0)
        self._run.goal = goal
        if self._local:  # one after the other: they would share this machine
            self._watch.until(lambda: self._run.asked, f"step {goal}")
            self._watch.until_ended()
            self._submit_reference()
        reference = self._watch.followed[1]
        reference.goal = goal
        self._tell(f"both train to step {goal}")
        self._watch.until(lambda: self._run.asked and reference.asked, f"step {goal} of both")
        self._watch.until_ended()

    def _compare(self) -> None:
        self._watch.look()
        run, reference = self._watch.followed
        before, after = run.attempts[0].steps, run.attempts[1].steps
        saved = list(run.saved.values())
        self._know(
            losses=compare_losses(before, after, reference.attempts[0].steps, self._tolerance)
        )
        first, second = ([one for one in saved if one.attempt == number] for number in (1, 2))
        self._know(weights=compare_weights(first, second, reference.saved.values()))
        judge_training(self.found)
        if not after:
            what = (
                "the clusterrun of the training environment is one that writes no losses down: "
                "install this one there"
            )
            self.found.notes.append(what)


def _passed_over(run: FollowedRun) -> list[str]:
    """What the trainers said of checkpoints that they did not take."""
    log = run.run.paths.log(run.attempts[1].name)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    return [
        line.removeprefix("clusterrun: ") for line in lines if "clusterrun: passing over " in line
    ]
