"""Every file of a run, spelled once; submitter, node and trainer meet only there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunPaths:
    """The files below one run folder. The job script (templates/) spells the same names in bash."""

    folder: Path

    @property
    def source(self) -> Path:
        """The job spec as the user wrote it."""
        return self.folder / "source.yaml"

    @property
    def spec(self) -> Path:
        """The resolved spec, as YAML; secrets stand in it by name only."""
        return self.folder / "spec.yaml"

    @property
    def script(self) -> Path:
        """The script as it was handed to Slurm; squeue shows this path as the job's command."""
        return self.folder / "job.sbatch"

    @property
    def events(self) -> Path:
        """One small file a writer and attempt."""
        return self.folder / "events"

    @property
    def intent(self) -> Path:
        """Written before sbatch is called: this run is about to be queued."""
        return self.events / "submit.intent"

    @property
    def settings(self) -> Path:
        """What was decided before the run began: processes, nodes, format of this folder."""
        return self.events / "submit.settings"

    @property
    def job(self) -> Path:
        """Written after sbatch answered: the job id."""
        return self.events / "submit.job"

    @property
    def cancelled(self) -> Path:
        """Written when `clusterrun cancel` was asked for: no attempt begins any more."""
        return self.folder / "cancelled"

    @property
    def requeue(self) -> Path:
        """Written when `clusterrun requeue` was requested; the next attempt's script removes it."""
        return self.folder / "requeue"

    @property
    def ledger(self) -> Path:
        """What the job script's decision needs: attempts and crashes since the last new step."""
        return self.folder / "ledger"

    @property
    def saves(self) -> Path:
        """The newest checkpoint and how long saves take, replaced by the trainer after each."""
        return self.folder / "saves"

    @property
    def trackers(self) -> Path:
        """The experiment tracker runs that the next attempt continues, by the trackers' names."""
        return self.folder / "trackers"

    @property
    def current(self) -> Path:
        """The newest attempt, written by its job script; an older one that still runs is fenced."""
        return self.folder / "current"

    @property
    def stop(self) -> Path:
        """Always there and empty; a person's request to save and leave is written into it."""
        return self.folder / "stop"

    @property
    def progress(self) -> Path:
        """Step, total, loss and rate, replaced by the trainer about once a second."""
        return self.folder / "progress"

    @property
    def nodes(self) -> Path:
        """One file for each node that crashed first, or was unfit; `until` ends its exclusion."""
        return self.folder / "nodes"

    @property
    def logs(self) -> Path:
        """One file an attempt, and Slurm's own lines."""
        return self.folder / "logs"

    @property
    def checkpoints(self) -> Path:
        """Published checkpoints, `step-<n>-<attempt>`."""
        return self.folder / "checkpoints"

    @property
    def local(self) -> Path:
        """What a run without Slurm needs beside the rest."""
        return self.folder / "local"

    def begin(self, attempt: str) -> Path:
        """Return the file that an attempt writes when it begins."""
        return self.events / f"attempt-{attempt}.begin"

    def end(self, attempt: str) -> Path:
        """Return the file that an attempt writes when it ends."""
        return self.events / f"attempt-{attempt}.end"

    def successor(self, attempt: str) -> Path:
        """Return the file in which an attempt names the job that continues the run, if another."""
        return self.events / f"attempt-{attempt}.successor"

    def smaller(self, attempt: str) -> Path:
        """Return the file in which an attempt names the job that requests fewer nodes, if any."""
        return self.events / f"attempt-{attempt}.smaller"

    def resumed(self, attempt: str) -> Path:
        """Return the file in which the trainer records the checkpoint that an attempt loads."""
        return self.events / f"attempt-{attempt}.resume"

    def trainer(self, attempt: str) -> Path:
        """Return the file that the trainer writes when it leaves."""
        return self.events / f"attempt-{attempt}.trainer"

    def losses(self, attempt: str) -> Path:
        """Return the file of every step's loss, which the trainer of a rehearsal writes."""
        return self.events / f"attempt-{attempt}.losses"

    def metrics(self, attempt: str) -> Path:
        """Return the file of loss, learning rate and speed over time: JSON lines, thinned."""
        return self.folder / "metrics" / f"attempt-{attempt}.jsonl"

    def times(self, attempt: str) -> Path:
        """Return the record of an attempt's first step, and of its time spent waiting for saves."""
        return self.folder / "metrics" / f"attempt-{attempt}.times"

    def log(self, attempt: str) -> Path:
        """Return the output of an attempt, all ranks."""
        return self.logs / f"attempt-{attempt}.log"

    def attempts(self) -> list[str]:
        """List the attempts that have begun, oldest first, as four digits each."""
        return sorted(
            path.stem.removeprefix("attempt-") for path in self.events.glob("attempt-*.begin")
        )
