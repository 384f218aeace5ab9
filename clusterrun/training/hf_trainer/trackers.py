"""Record the MLflow run of a Trainer's training, for the job script to pass to the next attempt.

wandb and TensorBoard need nothing beside what the job script sets: transformers reads it.
"""
# ruff: noqa: ARG002 - every event is called with the same arguments

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainingArguments
from transformers.trainer_callback import TrainerState

from clusterrun.training.records.trackers import record_runs


class MLflowRecord(TrainerCallback):
    """Records the training's MLflow run in `record`; runs after Trainer's MLflowCallback."""

    def __init__(self, record: Path) -> None:
        self._record = record

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """MLflowCallback has started the run."""
        mlflow = sys.modules.get("mlflow")
        run = mlflow.active_run() if mlflow and state.is_world_process_zero else None
        if run and not state.is_hyper_param_search:
            record_runs(self._record, {"mlflow": run.info.run_id})
