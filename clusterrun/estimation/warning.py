"""The warning of `submit`: a run that cannot fit, said before it waits in a queue."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from clusterrun.errors import SpecError
from clusterrun.estimation.asked import asked_of
from clusterrun.estimation.needs import needs_of
from clusterrun.estimation.question import model_of, question_of
from clusterrun.estimation.verdict import smallest_change
from clusterrun.job_spec import Loaded


def cannot_fit(loaded: Loaded, work_dir: Path, environment: Mapping[str, str]) -> str:
    """Return a warning if the states of a spec's model alone exceed its GPUs' memory, else "".

    A model, a strategy or a GPU memory that is not known is no reason for a word here.
    """
    if loaded.gpu_memory is None:
        return ""
    asked = asked_of(loaded, work_dir)
    if asked.model is None or asked.strategy is None or not asked.gpus_per_node:
        return ""
    try:
        question = question_of(asked, model_of(asked, loaded, work_dir, environment))
    except (SpecError, OSError):
        return ""
    states = needs_of(question, asked.strategy).states.total
    if states <= loaded.gpu_memory:
        return ""
    needed = f"{states / 1e9:.1f} GB on each GPU for weights, gradients and optimizer alone"
    change = smallest_change(question, asked.strategy, asked.gpus_per_node)
    memory = f"of {loaded.gpu_memory / 1e9:.1f} GB"
    return (
        f"it cannot fit: {asked.strategy.name} needs {needed}, {memory}\n  hint: would fit: "
        f"{change}"
    )
