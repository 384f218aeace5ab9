"""Experiment trackers of Accelerate, whose runs continue over all attempts of a training run.

Each tracker continues in its own way: wandb accepts any id, and continues it with `resume="allow"`;
MLflow and Aim generate their ids, and need an existing one; TensorBoard continues if the folder is
the same (observed with accelerate 1.15, wandb 0.31, MLflow 3.17, Aim 3.29).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterrun.run_folder.records import read_record, write_record

if TYPE_CHECKING:
    from accelerate import Accelerator
    from accelerate.tracking import GeneralTracker

Arguments = dict[str, Any]
# MLflow refuses another value for an existing parameter; TensorBoard's writer creates another run
# for each config.
_SINGLE_CONFIG_TRACKERS = {"mlflow", "tensorboard"}
_RUN_ID_GETTERS = {
    "wandb": attrgetter("tracker.id"),
    "mlflow": attrgetter("tracker.info.run_id"),
    "aim": attrgetter("tracker.hash"),
    "tensorboard": attrgetter("run_name"),
}
_RUN_ARGUMENTS = {"id", "fork_from", "resume_from", "run_id", "run_hash"}


class Trackers:
    """The trackers of an Accelerator; the file `record` has the ids of their runs."""

    def __init__(self, accelerator: Accelerator, record: Path) -> None:
        self._accelerator, self._record = accelerator, record

    def init(
        self, project_name: str, config: Arguments | None, init_kwargs: Mapping[str, Arguments]
    ) -> None:
        """Start the trackers as `accelerator.init_trackers` does, each with its recorded run."""
        known = read_record(self._record)
        kwargs = {
            name: run_arguments(name, known, init_kwargs.get(name, {}))
            for name in {*known, *init_kwargs}
        }
        self._accelerator.init_trackers(project_name, init_kwargs=kwargs)
        for tracker in self._accelerator.trackers:
            if config is not None and not (
                tracker.name in known and tracker.name in _SINGLE_CONFIG_TRACKERS
            ):
                tracker.store_init_configuration(config)
        if self._accelerator.is_main_process:
            record_runs(
                self._record,
                {tracker.name: _run_id(tracker) for tracker in self._accelerator.trackers},
            )


def run_arguments(name: str, known: Mapping[str, str], own: Arguments) -> Arguments:
    """Return the arguments to start a tracker; the script's `own` arguments have precedence."""
    run = known.get(name)
    if not run or not _RUN_ARGUMENTS.isdisjoint(own):
        return own
    resume: dict[str, Arguments] = {
        "wandb": {"id": run, "resume": "allow"},
        "mlflow": {"run_id": run},
        # A killed process leaves its lock, which Aim on another node takes for an active one.
        "aim": {"run_hash": run, "force_resume": True},
    }
    return {**resume.get(name, {}), **own}


def record_runs(record: Path, runs: Mapping[str, str | None]) -> None:
    """Record the runs that the next attempt continues; a failing disk does not end the training."""
    updated = {**read_record(record), **{name: run for name, run in runs.items() if run}}
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        write_record(record, updated)
    except OSError as error:
        sys.stderr.write(
            f"clusterrun: warning: the next attempt cannot continue the trackers' runs: {error}\n"
        )


def _run_id(tracker: GeneralTracker) -> str | None:
    """Return the id of a tracker's run; None for an unknown tracker."""
    return str(_RUN_ID_GETTERS[tracker.name](tracker)) if tracker.name in _RUN_ID_GETTERS else None
