"""sbatch's long options: which there are, which clusterrun sets itself, which it refuses and why.

Source: sbatch(1) of Slurm 22.05, 24.11 and 26.05. An option newer than this list goes through
`slurm.additional_parameters`, which is submitit's word for the same door.
"""

from __future__ import annotations

# Passed on as written. A typed field of the spec checks those that have one.
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

# The script depends on these, so a spec may not set them.
OWNED = {
    "job-name": "the job is called what `name` says",
    "output": "each attempt's output lies in the run folder; `clusterrun logs` shows it",
    "error": "each attempt's output lies in the run folder; `clusterrun logs` shows it",
    "open-mode": "Slurm's own lines are appended, so that a requeue keeps them",
    "export": "variables go to environment.variables, names of secrets to environment.secrets",
    "export-file": "variables go to environment.variables, names of secrets to environment.secrets",
    "requeue": "the `requeue` section says when the run continues",
    "no-requeue": "the `requeue` section says when the run continues",
    "parsable": "it belongs to the command line: `clusterrun submit --parsable`",
    "wait": "it belongs to the command line: `clusterrun wait`",
    "test-only": "it belongs to the command line: `clusterrun submit --dry-run`",
    "input": "trainers read nothing from standard input",
}

# Slurm starts one task a node: the shell that hears its signals. Processes are started below it.
TASKS = frozenset("ntasks ntasks-per-node ntasks-per-core ntasks-per-gpu ntasks-per-socket".split())
BY_LAUNCHER = "accelerate launch starts the processes of a node; Slurm must start one task a node"
BY_COMMAND = "the command is run once on each node; Slurm must start one task a node"

_ONE_CLUSTER = "a run is on the cluster that Slurm's commands reach"
_BY_SLURM_CLUSTERS = "`export SLURM_CLUSTERS=NAME` before every clusterrun command of the run"

REFUSED = {
    "wrap": "the script is made from the spec; use `command` to run a line as written",
    "uid": "a job runs as the user who submits it",
    "gid": "a job runs with the group of the user who submits it",
    "hetjob": "one accelerate launch spans equal nodes; heterogeneous jobs are not taken",
    "het-group": "one accelerate launch spans equal nodes; heterogeneous jobs are not taken",
    "quiet": "sbatch's answer is read to know the job id",
    "verbose": "sbatch's answer is read to know the job id",
    "clusters": _ONE_CLUSTER,
    "cluster-constraint": _ONE_CLUSTER,
    "ignore-pbs": "the script has no PBS lines",
    "get-user-env": "the job must not depend on the login shell; use environment.setup",
    "help": "it belongs to sbatch's command line",
    "usage": "it belongs to sbatch's command line",
    "version": "it belongs to sbatch's command line",
}


def reason_refused(option: str, *, launcher: bool) -> tuple[str, str]:
    """Return why a spec may not set an option, and what to do instead.

    Both are empty if it may, or if nothing is known about the option.

    `launcher`: the run uses `script` or `module`, so that accelerate starts the processes.
    """
    if option in TASKS:
        hint = (
            "let the command start its processes by itself, and ask for cpus-per-task or "
            "gpus-per-node"
        )
        return (BY_LAUNCHER, "") if launcher else (BY_COMMAND, hint)
    reason = OWNED.get(option) or REFUSED.get(option) or ""
    return reason, _BY_SLURM_CLUSTERS if reason == _ONE_CLUSTER else ""


def complete_prefix(option: str) -> str:
    """Return the option that sbatch completes a prefix to (getopt_long(3)); empty if none."""
    known = [*KNOWN, "chdir", *OWNED, *REFUSED]
    return min((name for name in known if name.startswith(option)), default="")
