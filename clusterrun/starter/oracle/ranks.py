"""The ranks that a launcher starts on a node, from its own command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import yaml

from clusterrun.starter.from_sbatch import launchers
from clusterrun.starter.from_sbatch.facts import Started
from clusterrun.starter.from_sbatch.flags import Parsed, parse_command
from clusterrun.starter.from_sbatch.sections import RENDEZVOUS_FLAGS
from clusterrun.starter.from_sbatch.words import Word
from clusterrun.starter.oracle.steps import Cluster, Step

_BOOKKEEPING = (
    frozenset(
        """
    compute_environment distributed_type use_cpu same_network rdzv_backend machine_rank num_machines
    num_processes main_process_ip main_process_port downcast_bf16 debug tpu_env gpu_ids log_dir tee
    enable_cpu_affinity main_training_function dynamo_backend deepspeed_hostfile
    deepspeed_multinode_launcher max_restarts monitor_interval redirects local_ranks_filter
    fsdp_version r t save_pid
    """.split()
    )
    | RENDEZVOUS_FLAGS
)
_NOTHING = ("", "no", "none", "false", "null")


@dataclass(frozen=True)
class LaunchedRanks:
    """The ranks of one launcher."""

    nodes: range
    """Several, if the launcher itself reaches other nodes."""
    count: int
    """On each node."""
    program: tuple[str, ...]
    settings: Mapping[str, str]
    """What the launcher passes to the script: precision, DeepSpeed, FSDP."""


def kind_of(step: Step) -> str:
    """Return the kind of a started program, as `launchers.kind_of` does."""
    return launchers.kind_of([Word((word,), 0) for word in step.words])[0]


def ranks_of(step: Step, cluster: Cluster, contents: Mapping[str, str]) -> LaunchedRanks | None:
    """Return the ranks of a launcher or of Python; None for other programs.

    `contents` has the texts of config files, by path.
    """
    words = tuple(Word((word,), step.line) for word in step.words)
    kind, _ = launchers.kind_of(words)
    if kind not in (*launchers.LAUNCHERS, "python"):
        return None
    parsed = parse_command(Started(step.line, "", words, kind))
    if parsed.target is None:
        return None
    path = parsed.value("config_file")
    config = _read(contents.get(path, "")) if path else {}
    target = (
        str(PurePosixPath(parsed.target.text)) if parsed.what == "script" else parsed.target.text
    )
    module = ("-m",) if parsed.what == "module" else ()
    program = (*module, target, *(word.text for word in parsed.arguments))
    settings = {} if kind != "accelerate" else _settings(parsed, config, contents)
    if path and not config:
        settings["config_file"] = path
    nodes = cluster.nodes if {"hostfile", "deepspeed_hostfile"} & set(parsed.flags) else 1
    return LaunchedRanks(
        range(step.node, step.node + nodes),
        _count(kind, parsed, config, cluster),
        program,
        settings,
    )


def _read(text: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def _count(kind: str, parsed: Parsed, config: Mapping[str, Any], cluster: Cluster) -> int:
    gpus = max(cluster.gpus_a_node, 1)
    if kind == "python":
        return 1
    if kind == "accelerate":
        total = parsed.value("num_processes") or str(config.get("num_processes") or "")
        machines = parsed.value("num_machines") or str(config.get("num_machines") or "")
        if not total.isdigit() or not int(total):
            return gpus if cluster.gpus_a_node else 1
        nodes = int(machines) if machines.isdigit() and int(machines) else 1
        return max(1, int(total) // nodes)
    each = parsed.value("nproc_per_node", "num_gpus") or ""
    if each.isdigit():
        return int(each)
    return gpus if kind == "deepspeed" or each in ("gpu", "auto") else 1


def _settings(
    parsed: Parsed, config: Mapping[str, Any], contents: Mapping[str, str]
) -> dict[str, str]:
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= value if isinstance(value, dict) else {key: value}
    for name, word in parsed.flags.items():
        found[name] = True if word is None else word.text
    json = found.get("deepspeed_config_file")
    if isinstance(json, str) and json in contents:
        found["deepspeed_config_file"] = contents[json]
    texts = {name: " ".join(str(value).lower().split()) for name, value in found.items()}
    return {
        name: value
        for name, value in texts.items()
        if name not in _BOOKKEEPING and value not in _NOTHING
    }
