"""Experiment trackers of Accelerate, whose runs go on over the attempts of a training.

Each goes on in its own way: wandb takes any id, and goes on with it under `resume="allow"`; MLflow
and Aim make their ids, and want one that exists; TensorBoard goes on where the folder is the same
(seen with accelerate 1.15, wandb 0.31, MLflow 3.17, Aim 3.29).
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
# MLflow refuses another value for a parameter that it has; TensorBoard's writer makes one more run
# of each config.
_SINGLE_CONFIG_TRACKERS = {"mlflow", "tensorboard"}
_RUN_ID_GETTERS = {
    "wandb": attrgetter("tracker.id"),
    "mlflow": attrgetter("tracker.info.run_id"),
    "aim": attrgetter("tracker.hash"),
    "tensorboard": attrgetter("run_name"),
}
_RUN_ARGUMENTS = {"id", "fork_from", "resume_from", "run_id", "run_hash"}


class Trackers:
    """The trackers of an Accelerator; the ids of their runs are kept in the file `record`."""

    def __init__(self, accelerator: Accelerator, record: Path) -> None:
        self._accelerator, self._record = accelerator, record

    def init(
        self, project_name: str, config: Arguments | None, init_kwargs: Mapping[str, Arguments]
    ) -> None:
        """Start them as `accelerator.init_trackers` does, each with its recorded run."""
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


def run_arguments(name: str, known: Mapping[str, str], given: Arguments) -> Arguments:
    """Return the extra arguments of a tracker's start; what the script has `given` wins."""
    run = known.get(name)
    if not run or not _RUN_ARGUMENTS.isdisjoint(given):
        return given
    words: dict[str, Arguments] = {
        "wandb": {"id": run, "resume": "allow"},
        "mlflow": {"run_id": run},
        # A process that was killed has left its lock, which Aim takes for a living one's on another
        # machine.
        "aim": {"run_hash": run, "force_resume": True},
    }
    return {**words.get(name, {}), **given}


def record_runs(record: Path, runs: Mapping[str, str | None]) -> None:
    """Record the runs that the next attempt continues; a failing disk does not end the training."""
    found = {**read_record(record), **{name: run for name, run in runs.items() if run}}
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        write_record(record, found)
    except OSError as error:
        sys.stderr.write(
            f"clusterrun: warning: the next attempt will not know the trackers' runs: {error}\n"
        )


def _run_id(tracker: GeneralTracker) -> str | None:
    """Return the id of a tracker's run; None for a tracker whose runs cannot be named."""
    return str(_RUN_ID_GETTERS[tracker.name](tracker)) if tracker.name in _RUN_ID_GETTERS else None
