"""A run as an object, for Python: what the commands do with one are its methods."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clusterrun.diagnosis import Why, why
from clusterrun.index import Index
from clusterrun.index import Run as Known
from clusterrun.inventory import SavedCheckpoint, checkpoints
from clusterrun.log_reading import logs
from clusterrun.prepare import Request
from clusterrun.recover import requeue, resume
from clusterrun.run_report import RunReport, report
from clusterrun.submitting import submit as submit_request
from clusterrun.track import cancel, status, stop, wait
from clusterrun.written import RunStatus


@dataclass(frozen=True)
class Run:
    """A run of this user's. Each method asks anew, and raises what the function of the same name raises."""

    run_id: str
    folder: Path
    job_id: str = ""
    """The job that it was handed over as; `status().job_id` is the one that goes on with it now."""

    @classmethod
    def find(cls, name: str) -> Run:
        """Find a run by its id, the beginning of one, a job id, `last`, or its folder; raises SpecError for none."""
        return _of(Index().find(name))

    def status(self) -> RunStatus:
        """Say what it does now."""
        return status(str(self.folder))

    def wait(self, timeout: float | None = None) -> RunStatus:
        """Wait, at most so many seconds, until it has ended for good. Raises TimeoutError."""
        return wait(str(self.folder), timeout)

    def logs(self, **wanted: Any) -> Iterator[str]:
        """Give what it printed, in pieces; the options are those of `clusterrun.logs`."""
        return logs(str(self.folder), **wanted)

    def why(self) -> Why:
        """Say why it waits, or stopped, and what comes next."""
        return why(str(self.folder))

    def report(self) -> RunReport:
        """Say where its time went."""
        return report(str(self.folder))

    def checkpoints(self, *, verify: bool = False) -> list[SavedCheckpoint]:
        """List what it could go on from; `verify` reads every byte."""
        return checkpoints(str(self.folder), verify=verify)

    def stop(self) -> RunStatus:
        """Let it save and leave; it does not come back by itself."""
        return stop(str(self.folder))

    def requeue(self) -> RunStatus:
        """Let it save, leave and come back."""
        return requeue(str(self.folder))

    def resume(self, overrides: Sequence[str] = ()) -> Run:
        """Let one that has stopped go on, with other values, such as `slurm.time=1-0`."""
        return _of(resume(str(self.folder), overrides=overrides))

    def cancel(self) -> RunStatus:
        """End it at once, without a checkpoint."""
        return cancel(str(self.folder))


def submit(spec: str | Path | Request, *, overrides: Sequence[str] = (), local: bool = False) -> Run:
    """Queue a run of a job spec, exactly once; `local` starts it here, without Slurm.

    `overrides` are as `--set` takes them. Raises what `clusterrun.submit.submit` raises.
    """
    request = spec if isinstance(spec, Request) else Request(source=str(spec), overrides=tuple(overrides))
    return _of(submit_request(request, local=local))


def _of(run: Known) -> Run:
    return Run(run.run_id, run.paths.folder, run.job_id)
