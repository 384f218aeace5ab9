"""Mistakes that are easily missed: folders, conda, pdsh, ports and DeepSpeed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from clusterrun.starter.from_sbatch.facts import Facts
from clusterrun.starter.from_sbatch.resource_request import ResourceRequest
from clusterrun.starter.from_sbatch.selected_command import SelectedCommand

Mistakes = Iterator[tuple[int, str, str, str]]

SCRIPT_FOLDER = re.compile(r"\b(cd|pushd)\b[^;|]*(\$0\b|\$\{0\}|BASH_SOURCE)")
CONDA_INIT = re.compile(r"^\s*(conda|mamba|micromamba)\s+(shell\s+)?init\b")
_CHOSEN = re.compile(r"RANDOM|shuf|python3? -c|comm -23|mktemp")
_PORTS = ("main_process_port", "master_port", "rdzv_endpoint")


def _lines(facts: Facts) -> Iterator[tuple[int, str]]:
    lines = enumerate(facts.text.splitlines(), 1)
    return ((number, line) for number, line in lines if not line.lstrip().startswith("#"))


def _find_script_folder(
    facts: Facts, _requested: ResourceRequest, _selected: SelectedCommand
) -> Mistakes:
    for number, line in _lines(facts):
        if SCRIPT_FOLDER.search(line):
            what = "in a batch script $0 is Slurm's copy of it, in a spool folder of the node"
            hint = "fixed: the job starts in the folder of the submission; or set slurm.chdir"
            yield number, "script-folder", what, hint


def _find_conda_init(
    facts: Facts, _requested: ResourceRequest, _selected: SelectedCommand
) -> Mistakes:
    for number, line in _lines(facts):
        if CONDA_INIT.search(line):
            what = "`conda init` edits your ~/.bashrc, and does not define conda in this shell"
            yield number, "conda-init", what, "fixed: removed; the job script finds conda itself"


def _find_pdsh(_facts: Facts, requested: ResourceRequest, selected: SelectedCommand) -> Mistakes:
    flags, started = selected.parsed.flags, selected.started
    launcher = flags.get("deepspeed_multinode_launcher")
    if (
        started.srun is not None
        or requested.nodes < 2
        or (launcher is not None and launcher.text == "standard")
    ):
        return
    if {"hostfile", "deepspeed_hostfile"} & set(flags):
        what = (
            "DeepSpeed starts the other nodes over ssh with pdsh: they are outside of Slurm's "
            "step, and many sites do not allow it"
        )
        yield started.line_of_words, "pdsh", what, "fixed: srun starts one launcher on each node"


def _find_port_of_each_node(
    _facts: Facts, requested: ResourceRequest, selected: SelectedCommand
) -> Mistakes:
    if requested.nodes < 2 or not selected.started.shell:
        return
    for name in _PORTS:
        word = selected.parsed.flags.get(name)
        if word is not None and _CHOSEN.search(word.text):
            what = f"each node chooses its own port ({word.text}), so the nodes do not meet"
            yield word.line, "port-of-node", what, "fixed: the job script chooses one for all nodes"


def _find_deepspeed_flag(
    _facts: Facts, _requested: ResourceRequest, selected: SelectedCommand
) -> Mistakes:
    flags = selected.parsed.flags
    word = flags.get("deepspeed_config_file") or flags.get("zero_stage")
    if word is None or selected.parsed.kind != "accelerate":
        return
    if not {"use_deepspeed", "config_file"} & set(flags):
        what = "accelerate ignores its DeepSpeed flags without --use_deepspeed"
        hint = "not in the spec; for DeepSpeed, write accelerate: {deepspeed_config: ...}"
        yield word.line, "deepspeed-flag", what, hint


RULES: tuple[Callable[[Facts, ResourceRequest, SelectedCommand], Mistakes], ...] = (
    _find_script_folder,
    _find_conda_init,
    _find_pdsh,
    _find_port_of_each_node,
    _find_deepspeed_flag,
)
