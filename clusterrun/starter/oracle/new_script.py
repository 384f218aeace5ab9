"""The parts of a rendered job script that a user's spec decides, as a script for the recorders."""

from __future__ import annotations

import re

# It does what `main` does: the folder, the environment, and one task on each node that launches.
_DRIVER = """
clusterrun_step() {{ :; }}
clusterrun_check() {{ :; }}
warn_of_missing_secret() {{ :; }}
warn_of_idle_gpus() {{ :; }}
fail() {{ :; }}
check_launcher() {{ :; }}
check_setup_line() {{ :; }}
checkpoint=
cd "$work_dir"
apply_environment
export num_machines={nodes} num_processes=${{num_processes:-{processes}}} node_dir=/node-folder
export main_process_ip=node0 main_process_port=20000 checkpoint
export MASTER_ADDR=$'\\x1aaddress\\x1a' MASTER_PORT=$'\\x1aport\\x1a'
export NNODES={nodes} NPROC_PER_NODE=$((num_processes / {nodes}))
tasks=1
[ "$launch_kind" != srun ] || tasks=$NPROC_PER_NODE
functions=$(declare -f launch write_configs check_setup_line)
srun --ntasks-per-node="$tasks" --nodes={nodes} "${{srun_options[@]}}" bash -c "$functions
export NODE_RANK=\\$SLURM_NODEID
write_configs
launch"
"""


def driver_of(script: str, *, nodes: int, gpus_a_node: int) -> str:
    """Return the environment and the launch of a rendered script, and what runs them."""
    settings = _between(script, "# ---- settings of this run\n", "\nmain() {")
    own = _between(script, "# ---- this run\n", "\n# ---- ")
    first = re.split(r"^node_check\(\) \{", own, maxsplit=1, flags=re.MULTILINE)[0]
    configs = _between(script, "write_configs() {\n", "\n}\n")
    body = first
    if "write_configs()" not in first:
        body += f"\nwrite_configs() {{\n{configs}\n}}\n"
    # nothing is installed where the recorders run
    body = body.replace(" || exit\n", " || :\n")
    processes = max(gpus_a_node, 1) * nodes
    return settings + "\n" + body + _DRIVER.format(nodes=nodes, processes=processes)


def _between(text: str, first: str, last: str) -> str:
    return text.partition(first)[2].partition(last)[0]
