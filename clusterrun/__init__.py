"""Train with Hugging Face Accelerate on Slurm: a YAML job spec becomes a run that lasts until it is done.

Whatever the command line does is here under the same name. Nothing is imported before it is used,
because a login node should answer `clusterrun --help` as fast as `sbatch --help`.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # a type checker takes it for true; importing `typing` for it costs every start 6 ms
if TYPE_CHECKING:
    __version__: str

    from clusterrun.clean import clean
    from clusterrun.doctor import doctor
    from clusterrun.inventory import checkpoints
    from clusterrun.listing import list_runs
    from clusterrun.logs import logs
    from clusterrun.notify import notify
    from clusterrun.origins import explain
    from clusterrun.plan import make_plan
    from clusterrun.recover import requeue, resume
    from clusterrun.rehearse import rehearse
    from clusterrun.report import report
    from clusterrun.run import Run, submit
    from clusterrun.script import render
    from clusterrun.spec import load_spec
    from clusterrun.spec.schema import json_schema
    from clusterrun.starter.first_spec import new_spec
    from clusterrun.starter.sbatch import from_sbatch
    from clusterrun.track import cancel, status, stop, wait
    from clusterrun.validate import validate
    from clusterrun.why import why

__all__ = [
    "Run",
    "cancel",
    "checkpoints",
    "clean",
    "doctor",
    "explain",
    "from_sbatch",
    "json_schema",
    "list_runs",
    "load_spec",
    "logs",
    "make_plan",
    "new_spec",
    "notify",
    "rehearse",
    "render",
    "report",
    "requeue",
    "resume",
    "status",
    "stop",
    "submit",
    "validate",
    "wait",
    "why",
]

_HOME = {
    "__version__": "version",
    "checkpoints": "inventory",
    "clean": "clean",
    "doctor": "doctor",
    "explain": "origins",
    "from_sbatch": "starter.sbatch",
    "json_schema": "spec.schema",
    "list_runs": "listing",
    "load_spec": "spec",
    "logs": "logs",
    "make_plan": "plan",
    "new_spec": "starter.first_spec",
    "notify": "notify",
    "rehearse": "rehearse",
    "render": "script",
    "report": "report",
    "requeue": "recover",
    "resume": "recover",
    "Run": "run",
    "submit": "run",
    "validate": "validate",
    "why": "why",
    **dict.fromkeys(("cancel", "status", "stop", "wait"), "track"),
}


def __getattr__(name: str) -> object:
    """Import a public name's module when the name is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'clusterrun' has no attribute {name!r}")
    found: object = getattr(importlib.import_module(f"clusterrun.{_HOME[name]}"), name)
    # importing a module puts it where the function of the same name is meant to be
    for public in _HOME.keys() & globals().keys():
        globals()[public] = getattr(importlib.import_module(f"clusterrun.{_HOME[public]}"), public)
    return found
