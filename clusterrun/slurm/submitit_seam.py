"""submitit's executor and watcher, with every private part of them that we use.

submitit writes its own script and pickles a function into it. We submit a rendered script instead,
and use its job object and its reader of sacct.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from submitit.core.utils import FailedSubmissionError
from submitit.slurm.slurm import SlurmExecutor, SlurmInfoWatcher, SlurmJob

from clusterrun.errors import ClusterError
from clusterrun.slurm.commands import SUBMIT_SECONDS, NoAnswer, call

# A site's wrapper of sbatch may print only the id, as `sbatch --parsable` does: `N` or `N;CLUSTER`.
_BARE_JOB_ID = re.compile(r"^([1-9][0-9]*)(?:;\S*)?\s*\Z", re.MULTILINE)


class Accounting(SlurmInfoWatcher):
    """submitit's watcher of sacct, with a timeout, and silent if accounting is off."""

    def update(self) -> None:
        """Query sacct once for every registered job that has not ended."""
        command = self._make_command()
        if command is None:
            return
        self._num_calls += 1
        try:
            answer = call(command)
        except ClusterError:
            return
        if not answer.code:
            self._info_dict.update(self.read_info(answer.out))


class RunJob(SlurmJob[Any]):
    """submitit's job object for a run folder."""

    watcher = Accounting(delay_s=60)


class ScriptExecutor(SlurmExecutor):
    """submitit's executor for a rendered script."""

    job_class = RunJob

    def __init__(
        self, folder: Path, environment: Mapping[str, str], keep_open: tuple[int, ...] = ()
    ) -> None:
        if not self.affinity() > 0:
            raise ClusterError(
                "srun is not installed on this machine, but sbatch is", "run this on a login node"
            )
        super().__init__(folder)
        self._environment, self._keep_open = environment, keep_open
        self.options: tuple[str, ...] = ()

    def submit_script(self, script: Path, options: Sequence[str] = ()) -> RunJob:
        """Submit a script with extra sbatch options.

        Raises NoAnswer, or ClusterError with sbatch's message.
        """
        self.options = tuple(options)
        job = self._submit_command(str(script))
        assert isinstance(job, RunJob)  # noqa: S101 - for the type checker: job_class says so
        return job

    def _submit_command(self, command: str) -> SlurmJob[Any]:
        program, *words = self._make_submission_command(Path(command))
        argv = [program, *self.options, *words]
        answer = call(
            argv, seconds=SUBMIT_SECONDS, environment=self._environment, keep_open=self._keep_open
        )
        if answer.code:
            raise ClusterError(_sbatch_message(answer.err))
        bare = _BARE_JOB_ID.search(answer.out)
        try:
            job_id = bare[1] if bare else self._get_job_id_from_submission_command(answer.out)
        except FailedSubmissionError as error:
            hint = "submit again; clusterrun looks for the job before it queues one"
            raise NoAnswer(
                f"sbatch accepted the job, but printed no job id: {answer.out.strip()[:200]!r}",
                hint,
            ) from error
        return self.job_class(folder=self.folder, job_id=job_id, tasks=[0])


def _sbatch_message(error: str) -> str:
    lines = [line.removeprefix("sbatch: ").removeprefix("error: ") for line in error.splitlines()]
    return "sbatch: " + ("; ".join(line for line in lines if line) or "refused without a message")


def accounted_states(job_ids: list[str], folder: Path) -> dict[str, str]:
    """Return the states of jobs from one call of sacct, without the jobs that it does not know."""
    jobs = [RunJob(folder, job_id) for job_id in job_ids]
    RunJob.watcher.clear()
    infos = {job.job_id: job.get_info(mode="force" if job is jobs[-1] else "cache") for job in jobs}
    infos.update({job.job_id: job.get_info(mode="cache") for job in jobs})
    return {job_id: str(info["State"]) for job_id, info in infos.items() if info.get("State")}
