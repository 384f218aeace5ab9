"""Attempts of train_tiny.py, and what they leave."""

from __future__ import annotations

import json
from pathlib import Path

TINY = Path(__file__).parents[1] / "training_scripts" / "train_tiny.py"
BASIC = [
    "--use_cpu",
    "--per_device_train_batch_size",
    "2",
    "--learning_rate",
    "1e-2",
    "--logging_steps",
    "1",
]
LOGGED = {"step", "epoch", "loss", "learning_rate", "grad_norm", "eval_loss"}


def history(folder: Path, place: str = "output") -> list[dict[str, float]]:
    logged = json.loads((folder / place / "trainer_state.json").read_text())["log_history"]
    return [
        {key: line[key] for key in LOGGED & line.keys()}
        for line in logged
        if "train_runtime" not in line
    ]


def weights(folder: Path) -> bytes:
    return (folder / "output" / "final" / "model.safetensors").read_bytes()


def checkpoints(folder: Path) -> list[str]:
    return sorted(
        (path.name for path in (folder / "output").glob("*checkpoint-*")),
        key=lambda name: (len(name), name),
    )
