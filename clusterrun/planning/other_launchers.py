"""The commands of the launchers torchrun and srun.

Facts from torch 2.13 (torch/distributed/run.py) that it depends on:
- Without `--rdzv_backend` the rendezvous is static: at `--master_addr` and `--master_port`.
- `--tee` needs `--log_dir`; each line's prefix is TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE.
- PET_SIGNALS_TO_HANDLE replaces `--signals-to-handle`, as for `accelerate launch`.
"""

from __future__ import annotations

from clusterrun.job_spec import gpus, grammar
from clusterrun.job_spec.model import JobSpec
from clusterrun.quoting import Shell

Words = tuple[str, ...]


def launcher_lines(spec: JobSpec) -> list[Words]:
    """Return the first lines of the command: the launcher with its flags."""
    if spec.launch_kind == "srun":
        return [("python",)]
    lines: list[Words] = [
        ("torchrun",),
        ("--nnodes", Shell('"$num_machines"'), "--nproc_per_node", Shell('"$NPROC_PER_NODE"')),
        ("--node_rank", Shell('"$SLURM_NODEID"')),
        ("--master_addr", Shell('"$MASTER_ADDR"'), "--master_port", Shell('"$MASTER_PORT"')),
    ]
    if writes_ranks(spec):
        lines.append(("--tee", str(spec.tee), "--log_dir", Shell('"$node_dir/ranks"')))
    return lines


def writes_ranks(spec: JobSpec) -> bool:
    """Return whether each line of a rank starts with its number."""
    return spec.tee not in (None, "0")


def count_processes(spec: JobSpec, *, gpus_requested: bool) -> int | None:
    """Return the total number of processes; None: counted from the GPUs of the nodes."""
    nodes = grammar.most_nodes(spec.slurm.nodes)
    each = spec.nproc_per_node
    if each is None and spec.launch_kind == "srun":
        each = gpus.count_per_node(spec.slurm.options, nodes) or 1
    if each is None:
        return None if gpus_requested else nodes
    return each * nodes
