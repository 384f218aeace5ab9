"""Train with Hugging Face Accelerate on Slurm: a YAML job spec becomes a run that lasts until it is done.

Whatever the command line does is here under the same name. Nothing is imported before it is used,
because a login node should answer `clusterrun --help` as fast as `sbatch --help`.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "cancel": "clusterrun.track",
    "list_runs": "clusterrun.track",
    "load_spec": "clusterrun.spec",
    "logs": "clusterrun.logs",
    "make_plan": "clusterrun.plan",
    "render": "clusterrun.script",
    "status": "clusterrun.track",
    "stop": "clusterrun.track",
    "submit": "clusterrun.submit",
    "validate": "clusterrun.validate",
    "wait": "clusterrun.track",
}

__all__ = sorted(_HOME)  # noqa: PLE0605 - the table above is the one place that names them


def __getattr__(name: str) -> Any:
    """Import a public name's module when the name is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'clusterrun' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
