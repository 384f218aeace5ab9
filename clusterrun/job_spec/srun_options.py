"""Options of the srun that starts the tasks of a run: those that a spec may set, and the others.

Source: srun(1), Slurm 22.05 to 26.05; `environment`, `uenv` and `view` are options of the plugins
of CSCS's Alps.
"""

from __future__ import annotations

import difflib
from typing import Any

from clusterrun.job_spec.layers import Layers

ALLOWED = frozenset(
    """
    accel-bind acctg-freq comment cpu-bind cpu-freq cpus-per-task environment gpu-bind gpu-freq
    gres-flags hint mem-bind mpi network oom-kill-step overcommit profile propagate resv-ports
    task-epilog task-prolog threads-per-core tres-bind uenv view wckey
    """.split()
)
_TASKS = "managed by clusterrun; one task starts on each node, or with launcher: srun per process"
_SIGNALS = "managed by clusterrun; the tasks of a run end together"
_OUTPUT = "managed by clusterrun; output goes to the run folder (see clusterrun logs)"
_NODES = "managed by clusterrun; the tasks run on all nodes of the job"
_REFUSED = {
    **dict.fromkeys(("nodes", "ntasks", "ntasks-per-node", "distribution", "multi-prog"), _TASKS),
    **dict.fromkeys(("nodelist", "exclude", "relative", "nodefile", "jobid"), _NODES),
    **dict.fromkeys(("kill-on-bad-exit", "no-kill", "wait", "signal", "time"), _SIGNALS),
    **dict.fromkeys(("output", "error", "input", "unbuffered", "open-mode", "pty"), _OUTPUT),
}
_HINTS = {
    "ntasks": "use launcher: srun with nproc_per_node",
    "ntasks-per-node": "use launcher: srun with nproc_per_node",
    "nodes": "set slurm.nodes",
    "nodelist": "set slurm.nodelist",
    "exclude": "set slurm.exclude",
    "label": "write tee: 3, or accelerate: {tee: 3}",
    "export": "use environment.variables",
    "chdir": "set slurm.chdir",
    "time": "set slurm.time",
    "jobid": "delete it",
}


def check_srun_options(layers: Layers, values: dict[str, Any]) -> None:
    """Record every option that a spec may not pass to srun, and spell the others with dashes."""
    options = values.get("srun_options")
    if not isinstance(options, dict):
        return
    for key in [*options]:
        name = str(key).lstrip("-").replace("_", "-")
        what, hint = reason_refused(name)
        if what:
            layers.add_problem(("srun_options", key), what, hint)
            del options[key]
        elif name != key:
            options[name] = options.pop(key)


def reason_refused(name: str) -> tuple[str, str]:
    """Return why a spec may not set an option of srun, and what to do; both empty if it may."""
    if name in ALLOWED:
        return "", ""
    if name.startswith("container"):
        what = "not allowed: the tasks need the node's own programs"
        return what, "use command, with the container in its line"
    if name in _REFUSED or name in _HINTS:
        what = _REFUSED.get(name, "managed by clusterrun")
        return what, _HINTS.get(name, "delete it")
    near = difflib.get_close_matches(name, [*ALLOWED], n=1)
    hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(sorted(ALLOWED))}"
    return "not an option that can be passed to srun here", hint
