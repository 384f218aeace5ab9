"""sbatch's long options: known ones, those that clusterrun manages, and those that it refuses.

Source: sbatch(1) of Slurm 22.05, 24.11 and 26.05. An option newer than this list goes through
`slurm.additional_parameters`, which is submitit's name for the same.
"""

from __future__ import annotations

# Passed to sbatch as written, after the checks of a typed field of the spec if it has one.
KNOWN = frozenset(
    """
    account acctg-freq array batch bb bbf begin cluster-constraint clusters comment constraint
    container container-id container-type contiguous core-spec cores-per-socket cpu-freq
    cpus-per-gpu cpus-per-task deadline delay-boot dependency distribution exclude exclusive extra
    extra-node-info get-user-env gid gpu-bind gpu-freq gpus gpus-per-node gpus-per-socket
    gpus-per-task gres gres-flags hint hold kill-on-invalid-dep licenses mail-type mail-user
    mcs-label mem mem-bind mem-per-cpu mem-per-gpu mincpus network nice no-kill nodefile nodelist
    nodes ntasks ntasks-per-core ntasks-per-gpu ntasks-per-node ntasks-per-socket oom-kill-step
    overcommit oversubscribe partition power prefer priority profile propagate qos reboot
    reservation resv-ports segment signal sockets-per-node spread-job spread-segments stepmgr
    switches thread-spec threads-per-core time time-min tmp tres-bind tres-per-task use-min-nodes
    wait-all-nodes wckey
    """.split()
)

# The job script depends on these, so a spec may not set them.
OWNED = {
    "job-name": "managed by clusterrun; set the spec's name",
    "output": "managed by clusterrun; output goes to the run folder (see clusterrun logs)",
    "error": "managed by clusterrun; output goes to the run folder (see clusterrun logs)",
    "open-mode": "managed by clusterrun; it is append, so that a requeue keeps earlier output",
    "export": "managed by clusterrun; use environment.variables and environment.secrets",
    "export-file": "managed by clusterrun; use environment.variables and environment.secrets",
    "requeue": "managed by clusterrun; use the requeue section",
    "no-requeue": "managed by clusterrun; use the requeue section",
    "parsable": "an option of the command line: use clusterrun submit --parsable",
    "wait": "an option of the command line: use clusterrun wait",
    "test-only": "an option of the command line: use clusterrun submit --dry-run",
    "input": "managed by clusterrun; training processes read no standard input",
}

# Slurm starts one task per node: the node shell, which receives the signals and starts the
# processes.
TASKS = frozenset("ntasks ntasks-per-node ntasks-per-core ntasks-per-gpu ntasks-per-socket".split())
BY_LAUNCHER = "managed by clusterrun; the launcher starts one process per GPU"
BY_COMMAND = "managed by clusterrun; the command runs once on each node"

_ONE_CLUSTER = "not allowed; a run uses the cluster that Slurm's commands reach"
_BY_SLURM_CLUSTERS = "run `export SLURM_CLUSTERS=NAME` before every clusterrun command for the run"

REFUSED = {
    "wrap": "not allowed; use command to run a shell line as written",
    "uid": "not allowed; a job runs as the user who submits it",
    "gid": "not allowed; a job runs with the group of the user who submits it",
    "hetjob": "not allowed; accelerate launch needs equal nodes, so no heterogeneous jobs",
    "het-group": "not allowed; accelerate launch needs equal nodes, so no heterogeneous jobs",
    "quiet": "not allowed; clusterrun reads the job id from sbatch's output",
    "verbose": "not allowed; clusterrun reads the job id from sbatch's output",
    "clusters": _ONE_CLUSTER,
    "cluster-constraint": _ONE_CLUSTER,
    "ignore-pbs": "not allowed; the job script has no PBS lines",
    "get-user-env": "not allowed; use environment.setup, which does not depend on your login shell",
    "help": "an option of sbatch's command line",
    "usage": "an option of sbatch's command line",
    "version": "an option of sbatch's command line",
}

SHORT = {
    "A": "account",
    "a": "array",
    "B": "extra-node-info",
    "b": "begin",
    "C": "constraint",
    "c": "cpus-per-task",
    "D": "chdir",
    "d": "dependency",
    "e": "error",
    "F": "nodefile",
    "G": "gpus",
    "H": "hold",
    "h": "help",
    "i": "input",
    "J": "job-name",
    "k": "no-kill",
    "L": "licenses",
    "M": "clusters",
    "m": "distribution",
    "N": "nodes",
    "n": "ntasks",
    "O": "overcommit",
    "o": "output",
    "p": "partition",
    "Q": "quiet",
    "q": "qos",
    "S": "core-spec",
    "s": "oversubscribe",
    "t": "time",
    "V": "version",
    "v": "verbose",
    "W": "wait",
    "w": "nodelist",
    "x": "exclude",
}
"""sbatch's options of one letter."""


def reason_refused(option: str, *, launcher: bool) -> tuple[str, str]:
    """Return why a spec may not set an option, and what to do instead; both empty if it may.

    `launcher`: the run uses `script` or `module`, so that a launcher starts the processes.
    """
    if option in TASKS:
        hint = "start the processes in the command, and request cpus-per-task or gpus-per-node"
        return (
            (BY_LAUNCHER, "request gpus-per-node or cpus-per-task, or use launcher: srun")
            if launcher
            else (BY_COMMAND, hint)
        )
    reason = OWNED.get(option) or REFUSED.get(option) or ""
    return reason, _BY_SLURM_CLUSTERS if reason == _ONE_CLUSTER else ""


def complete_prefix(option: str) -> str:
    """Return the option that sbatch completes a prefix to (getopt_long(3)); empty if none."""
    known = [*KNOWN, "chdir", *OWNED, *REFUSED]
    return min((name for name in known if name.startswith(option)), default="")
