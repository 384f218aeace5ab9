"""The course of a rehearsal: start the runs, interrupt one, follow its resume, and compare both."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from clusterrun.errors import ClusterError
from clusterrun.planning.preparation import Prepared
from clusterrun.rehearsal import plain_script
from clusterrun.rehearsal.comparison import compare_losses, compare_weights
from clusterrun.rehearsal.interruption import deferred_interrupt
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

_SILENT_SECONDS = 30.0  # to wait for a step of a script that reports none, by its text
_QUERY_SECONDS = 1.0  # between two queries whether the run is pending again


class Stage:
    """A rehearsal in progress."""

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
        self._next_query = 0.0
        self._reports_nothing = False  # no step or checkpoint was observed
        self.rehearsal = Rehearsal(name)

    def _record(self, **facts: Any) -> None:
        self.rehearsal = replace(self.rehearsal, **facts)

    def play(self) -> None:
        """Run the whole rehearsal. Raises NotSurvived and OutOfTime."""
        self._start()
        self._interrupt()
        if not (self._plain or self._local):
            self._submit_reference()
        self._follow_resume()
        if self.rehearsal.reasons:
            self._record(outcome=NOT_SURVIVED)
            return
        if not self._plain:
            self._continue_training()
            self._compare()
        self._record(outcome=NOT_SURVIVED if self.rehearsal.reasons else SURVIVED)

    def fail(self, reason: str) -> None:
        """Record why the run did not survive."""
        self._record(outcome=NOT_SURVIVED)
        self.rehearsal.reasons.append(reason)
        has_progress = self._watch.followed and (
            self._watch.followed[0].saved or self._run.step_of(1) is not None
        )
        if script_reports_nothing(self._prepared) and not has_progress:
            self.rehearsal.reasons.append(
                "no checkpoint was saved, so the run restarts from the beginning: the script does "
                "not use clusterrun.training, and checkpoint.path is not set"
            )

    def end(self) -> None:
        """Cancel active runs; after a success, remove the checkpoints as well."""
        if not self._watch.followed:
            return
        cancelled = self._watch.cancel()
        if cancelled:
            self._tell(f"cancelled: {', '.join(cancelled)}")
        self._record(
            nodes=[
                attempt.nodes for followed in self._watch.followed for attempt in followed.attempts
            ]
        )
        self._record(
            phases=list_phases(self._times, self._run, plain=self._plain, local=self._local)
        )
        if self.rehearsal.outcome == SURVIVED:
            count = self._watch.remove_checkpoints()
            self._tell(f"removed {count} checkpoints; the run folders stay")
        elif self.rehearsal.outcome == OUT_OF_TIME and not self.rehearsal.reasons:
            self.rehearsal.reasons.append("the rehearsal was interrupted")

    @property
    def _run(self) -> FollowedRun:
        return self._watch.followed[0]

    def _submit(self, prepared: Prepared) -> RunRef:
        with deferred_interrupt():
            run = submit_prepared(prepared, local=self._local)
            self._watch.followed.append(
                FollowedRun(run, checkpoint_pattern(self._prepared, run.paths.folder))
            )
        what = "started on this machine as process" if self._local else "submitted as job"
        self._tell(f"{run.run_id}: {what} {run.job_id}; run folder: {run.paths.folder}")
        return run

    def _start(self) -> None:
        run = self._submit(self._both[0])
        self._record(run_id=run.run_id, folder=str(run.paths.folder))
        self._times.submitted = time.time()
        self._watch.until(lambda: bool(self._run.attempts), "the run to start")
        self._tell(
            "started on "
            f"{read_record(run.paths.begin(self._run.attempts[0].name)).get('nodes', '?')}"
        )
        patience = _SILENT_SECONDS if script_reports_nothing(self._prepared) else None
        if not self._watch.until(lambda: self._trains(1), "the first step", patience=patience):
            self._reports_nothing = True
            self._tell(
                f"no step and no checkpoint was reported for {_SILENT_SECONDS:g} s; stopping the "
                "run anyway"
            )
            return
        if back := self._run.attempts[0].back_at:
            raise NotSurvived(
                f"the first attempt resumed from a checkpoint of another run, at step {back}: give "
                "each run its own output_dir, below CLUSTERRUN_RUN_DIR"
            )
        self._times.first = self._first_time(1)
        self._tell("saved its first checkpoint" if self._plain else "completed its first step")

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
        return self._reports_nothing or (self._run.step_of(1) or 0) >= self._plan.stop_at

    def _interrupt(self) -> None:
        run, first = self._run.run, self._run.attempts[0].name
        self._watch.until(self._may_be_stopped, "enough steps to stop the run")
        grace, source = self._stand_in.grace(run)
        self._times.term_sent = time.time()
        self._stand_in.stop(run)
        self._record(interruption=self._stand_in.words)
        self._run.interruptions = 1
        self._tell(
            f"sent TERM to its step, as a preemption does; it has {grace:g} s to exit ({source})"
        )
        if not self._watch.until(
            lambda: bool(read_record(run.paths.end(first))), "the run to exit", patience=grace
        ):
            self._tell("the run did not exit in time; killing and requeueing it, as Slurm does")
            self.rehearsal.notes.append(
                f"the run did not exit within {grace:g} s ({source}), and was killed"
            )
            self._requeue(run)
        self._watch.look()
        self._watch.check()
        end = self._run.attempts[0].end
        self._times.left = time.time()
        self._record_saved()
        if end.get("next") == "by-slurm" and end.get("cause") == Cause.PREEMPTION:
            self._requeue(run)
        where = (
            ""
            if self.rehearsal.stopped_at_step is None
            else f" at step {self.rehearsal.stopped_at_step}"
        )
        self._tell(f"{'exited' if end else 'killed'}{where}; {self._describe_newest()}")
        if self.rehearsal.saved_step is None and not self._run.newest_of(1):
            failure = read_record(run.paths.saves).get("failed")
            raise NotSurvived(
                "it saved no checkpoint when it was asked to stop"
                + (f": {failure}" if failure else "")
            )

    def _requeue(self, run: RunRef) -> None:
        # Some versions of Slurm requeue a preempted job by themselves, and the script waits for it.
        try:
            self._stand_in.requeue(run)
        except ClusterError as error:
            self._watch.look()
            # unless the script itself has requested the requeue already
            if self._run.attempts[0].end.get("next") != "continue":
                raise NotSurvived(f"the requeue was refused: {error}") from error

    def _record_saved(self) -> None:
        first, saved = self._run.attempts[0], self._run.newest_of(1)
        self._times.saved = saved.time if saved else None
        self._record(
            stopped_at_step=whole(first.trainer.get("step"))
            or self._run.step_of(1)
            or self.rehearsal.stopped_at_step
        )
        self._record(saved_step=saved.step if saved else None)

    def _describe_newest(self) -> str:
        saved = self._run.newest_of(1)
        return f"newest checkpoint: {saved.path.name}" if saved else "no checkpoint"

    def _submit_reference(self) -> None:
        run = self._submit(self._both[1])
        self._record(reference_run_id=run.run_id, reference_folder=str(run.paths.folder))

    def _follow_resume(self) -> None:
        self._watch.until(self._has_restarted, "the run to restart")
        self._record_saved()  # if the run had to be killed, it trained until then
        self._tell(f"restarted; job {self._run.run.job_id}")
        self._watch.until(self._has_resumed, "the first step after the restart")
        second = self._run.attempts[1]
        self._times.first_again = self._first_time(2)
        if self._plain:
            self.rehearsal = plain_script.judge_checkpoints(self._run, self.rehearsal)
        else:
            self._record(resumed_from_step=second.back_at)
            self._record(first_step_after=second.steps[0].step if second.steps else None)
            judge_resume(self.rehearsal)
            self.rehearsal.reasons.extend(self._run.skipped() if self.rehearsal.reasons else [])
        self._tell(f"resumed from the checkpoint of step {self.rehearsal.resumed_from_step}")

    def _has_restarted(self) -> bool:
        if self._times.pending is None and time.monotonic() >= self._next_query:
            self._next_query = time.monotonic() + _QUERY_SECONDS
            try:
                reason = self._stand_in.find_pending_reason(self._run.run)
            except ClusterError:
                reason = None
            if reason is not None:
                self._times.pending, self._times.reason = time.time(), reason
                self._tell(f"pending again ({reason})")
        return len(self._run.attempts) > 1

    def _has_resumed(self) -> bool:
        if self._plain:
            return plain_script.has_continued(self._run)
        return self._run.attempts[1].back_at is not None and self._run.step_of(2) is not None

    def _continue_training(self) -> None:
        goal = self._plan.goal(
            self.rehearsal.stopped_at_step or self.rehearsal.resumed_from_step or 0
        )
        self._run.goal = goal
        if self._local:  # one after the other, because they would share this machine
            self._watch.until(lambda: self._run.stop_requested, f"step {goal}")
            self._watch.until_ended()
            self._submit_reference()
        reference = self._watch.followed[1]
        reference.goal = goal
        self._tell(f"training both runs to step {goal}")
        self._watch.until(
            lambda: self._run.stop_requested and reference.stop_requested,
            f"step {goal} of both runs",
        )
        self._watch.until_ended()

    def _compare(self) -> None:
        self._watch.look()
        run, reference = self._watch.followed
        before, after = run.attempts[0].steps, run.attempts[1].steps
        saved = list(run.saved.values())
        self._record(
            losses=compare_losses(before, after, reference.attempts[0].steps, self._tolerance)
        )
        first, second = ([one for one in saved if one.attempt == number] for number in (1, 2))
        self._record(weights=compare_weights(first, second, reference.saved.values()))
        judge_training(self.rehearsal)
        if not after:
            self.rehearsal.notes.append(
                "the clusterrun in the training environment is too old to record losses; install "
                "this version there"
            )
