"""The paths of all files of a run, by which the submitter, the nodes and training communicate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunPaths:
    """The files below one run folder. The job script (templates/) uses the same names in bash."""

    folder: Path

    @property
    def source(self) -> Path:
        """The job spec as the user wrote it."""
        return self.folder / "source.yaml"

    @property
    def spec(self) -> Path:
        """The resolved spec as YAML; secrets only by name."""
        return self.folder / "spec.yaml"

    @property
    def script(self) -> Path:
        """The script as submitted to Slurm; squeue shows this path as the job's command."""
        return self.folder / "job.sbatch"

    @property
    def members(self) -> Path:
        """The names and values of the members of a sweep, as JSON."""
        return self.folder / "members.json"

    @property
    def code(self) -> Path:
        """The commit that the run was submitted with, and what was not committed, as JSON."""
        return self.folder / "code.json"

    @property
    def code_patch(self) -> Path:
        """The changes to that commit, as a patch for git apply."""
        return self.folder / "code.patch"

    @property
    def events(self) -> Path:
        """The folder of records: one small file per writer and attempt."""
        return self.folder / "events"

    @property
    def intent(self) -> Path:
        """The record that is written before sbatch is called: the run is about to be queued."""
        return self.events / "submit.intent"

    @property
    def settings(self) -> Path:
        """The record of the run's settings: processes, nodes, format of this folder."""
        return self.events / "submit.settings"

    @property
    def job(self) -> Path:
        """The record of the job id, written after sbatch returned."""
        return self.events / "submit.job"

    @property
    def cancelled(self) -> Path:
        """The file that `clusterrun cancel` writes: no further attempt starts."""
        return self.folder / "cancelled"

    @property
    def requeue(self) -> Path:
        """The file that `clusterrun requeue` writes; the script of the next attempt removes it."""
        return self.folder / "requeue"

    @property
    def ledger(self) -> Path:
        """The counts for the job script's decision: idle attempts, and crashes in a row."""
        return self.folder / "ledger"

    @property
    def saves(self) -> Path:
        """The newest checkpoint and the duration of saves, replaced after each save."""
        return self.folder / "saves"

    @property
    def trackers(self) -> Path:
        """The experiment tracker runs that the next attempt continues, by tracker name."""
        return self.folder / "trackers"

    @property
    def current(self) -> Path:
        """The current attempt, as its job script recorded; an older one that runs is fenced."""
        return self.folder / "current"

    @property
    def stop(self) -> Path:
        """The stop file: empty, until a person requests the run to save a checkpoint and exit."""
        return self.folder / "stop"

    @property
    def progress(self) -> Path:
        """Step, total, loss and rate, replaced by training about once a second."""
        return self.folder / "progress"

    @property
    def nodes(self) -> Path:
        """Records of nodes that crashed first or failed the check; `until` ends an exclusion."""
        return self.folder / "nodes"

    @property
    def logs(self) -> Path:
        """One log file per attempt, and Slurm's own output."""
        return self.folder / "logs"

    @property
    def checkpoints(self) -> Path:
        """Published checkpoints, `step-<n>-<attempt>`."""
        return self.folder / "checkpoints"

    @property
    def local(self) -> Path:
        """Additional files of a run without Slurm."""
        return self.folder / "local"

    def begin(self, attempt: str) -> Path:
        """Return the record that an attempt writes when it starts."""
        return self.events / f"attempt-{attempt}.begin"

    def end(self, attempt: str) -> Path:
        """Return the record that an attempt writes when it ends."""
        return self.events / f"attempt-{attempt}.end"

    def successor(self, attempt: str) -> Path:
        """Return the record of the successor job that continues the run after an attempt."""
        return self.events / f"attempt-{attempt}.successor"

    def smaller(self, attempt: str) -> Path:
        """Return the record of the job that requests fewer nodes after an attempt."""
        return self.events / f"attempt-{attempt}.smaller"

    def resumed(self, attempt: str) -> Path:
        """Return the record of the checkpoint that an attempt loads."""
        return self.events / f"attempt-{attempt}.resume"

    def trainer(self, attempt: str) -> Path:
        """Return the record that the training process writes when it exits."""
        return self.events / f"attempt-{attempt}.trainer"

    def losses(self, attempt: str) -> Path:
        """Return the file with the loss of each step, written only in a rehearsal."""
        return self.events / f"attempt-{attempt}.losses"

    def metrics(self, attempt: str) -> Path:
        """Return the file of loss, learning rate and speed over time: JSON lines, thinned."""
        return self.folder / "metrics" / f"attempt-{attempt}.jsonl"

    def times(self, attempt: str) -> Path:
        """Return the record of an attempt's first step and of the time spent on saves."""
        return self.folder / "metrics" / f"attempt-{attempt}.times"

    def log(self, attempt: str) -> Path:
        """Return the log of an attempt, with the output of all ranks."""
        return self.logs / f"attempt-{attempt}.log"

    def attempts(self) -> list[str]:
        """List the attempts that have started, oldest first, as four digits each."""
        return sorted(
            path.stem.removeprefix("attempt-") for path in self.events.glob("attempt-*.begin")
        )
