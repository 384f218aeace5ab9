"""The metrics in what Trainer logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What the progress has already, and measures of time and size (transformers' speed_metrics).
_OTHERS = {"loss", "learning_rate", "epoch", "total_flos", "num_input_tokens_seen"}
_SPEEDS = ("_runtime", "_per_second", "_per_step", "_time")


def select_metrics(logs: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics of the model in one log, such as `eval_loss` and `grad_norm`."""
    return {
        name: float(value)
        for name, value in logs.items()
        if isinstance(value, (int, float))
        and not isinstance(value, bool)
        and name not in _OTHERS
        and not name.endswith(_SPEEDS)
    }
