"""Mistakes in how an old script starts its processes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from clusterrun.starter.from_sbatch import launchers
from clusterrun.starter.from_sbatch.facts import Facts
from clusterrun.starter.from_sbatch.resource_request import ResourceRequest
from clusterrun.starter.from_sbatch.selected_command import SelectedCommand
from clusterrun.starter.from_sbatch.words import names_in

Found = Iterator[tuple[int, str, str, str]]

_PER_NODE = {"SLURM_NODEID": "machine 0", "SLURM_PROCID": "task 0", "SLURM_LOCALID": "task 0"}
_PORT = re.compile(r"^\s*(?:export\s+)?(?:\w*PORT)=[\"']?(\d{4,5})\b")
_LOOPBACK = re.compile(
    r"hostname\s+(-i|-I|--ip-address|--all-ip-addresses)\b|MASTER_ADDR=[\"']?(localhost|127\.0\.0\.1)"
)
_PORT_FLAGS = ("main_process_port", "master_port", "rdzv_endpoint")


def _code_lines(facts: Facts) -> Iterator[tuple[int, str]]:
    """Yield the lines that are no comments."""
    lines = enumerate(facts.text.splitlines(), 1)
    return ((number, line) for number, line in lines if not line.lstrip().startswith("#"))


def _find_node_rank(facts: Facts, requested: ResourceRequest, selected: SelectedCommand) -> Found:
    if requested.nodes < 2 and requested.tasks_a_node < 2:
        return
    hint = "the job script now evaluates it on each node"
    for word in selected.started.words:
        for name in sorted(word.names & set(_PER_NODE)):
            if not selected.started.shell:
                what = (
                    f"${name} is evaluated by the batch script, on the first node: every node is "
                    f"{_PER_NODE[name]}"
                )
                yield word.line, "node-rank", what, hint
    for name, variable in facts.variables.items():
        for inner in sorted(variable.value.names & set(_PER_NODE)):
            if not variable.on_nodes:
                what = (
                    f"{name}=${inner} is evaluated by the batch script, on the first node: "
                    f"{_PER_NODE[inner]} on all"
                )
                yield variable.line, "node-rank", what, hint
    if selected.started.shell:
        yield from _find_double_quotes(facts, selected)


def _find_double_quotes(facts: Facts, selected: SelectedCommand) -> Found:
    """Note `bash -c "... $SLURM_NODEID"`: the batch shell expands it before bash sees the text."""
    last = max((word.line for word in selected.started.words), default=selected.started.line)
    first = min(
        selected.started.line,
        *(number for number, line in _code_lines(facts) if "-c" in line and "bash" in line),
        10**6,
    )
    for number, line in _code_lines(facts):
        if first <= number <= last + 1 and _outer_quote(facts, first) == '"':
            for name in re.findall(r"(?<!\\)\$\{?(SLURM_NODEID|SLURM_PROCID|SLURM_LOCALID)", line):
                what = (
                    f"${name} in double quotes is evaluated by the batch script: every node is "
                    f"{_PER_NODE[name]}"
                )
                yield number, "node-rank", what, "the job script now evaluates it on each node"


def _outer_quote(facts: Facts, first: int) -> str:
    """Return the quote with which the text after `bash -c` begins."""
    text = "\n".join(facts.text.splitlines()[first - 1 :])
    found = re.search(r"-\w*c\s+(?:\\\n\s*)?([\"'])", text)
    return found[1] if found else ""


def _find_fixed_port(facts: Facts, _asked: ResourceRequest, selected: SelectedCommand) -> Found:
    hint = "the job script now takes a free port, from the job's id"
    what = "port {} is fixed: a second job on the node, or the last one's socket, has it"
    for number, line in _code_lines(facts):
        found = _PORT.match(line)
        if found:
            yield number, "port", what.format(found[1]), hint
    for name in _PORT_FLAGS:
        word = selected.parsed.flags.get(name)
        given = re.search(r"(?:^|:)(\d{4,5})$", word.text) if word is not None else None
        if given and word is not None and not _find_rendezvous_variable(facts, given[1]):
            yield word.line, "port", what.format(given[1]), hint


def _find_rendezvous_variable(facts: Facts, port: str) -> bool:
    return any(found[1] == port for _, line in _code_lines(facts) if (found := _PORT.match(line)))


def _find_missing_srun(
    _facts: Facts, requested: ResourceRequest, selected: SelectedCommand
) -> Found:
    started = selected.started
    remote = {"deepspeed_hostfile", "hostfile"} & set(
        selected.parsed.flags
    ) or "ssh" in started.inside
    if (
        requested.nodes > 1
        and started.srun is None
        and not remote
        and started.kind in (*launchers.LAUNCHERS, "python")
    ):
        what = (
            f"without srun it runs on the first of {requested.nodes} nodes alone; "
            "the others wait, or idle"
        )
        yield started.line, "srun", what, "the job script starts one launcher on each node"


def _find_missing_kill(
    _facts: Facts, requested: ResourceRequest, selected: SelectedCommand
) -> Found:
    srun = selected.started.srun
    several = requested.nodes * requested.tasks_a_node > 1
    if srun is not None and several and "kill-on-bad-exit" not in srun.options:
        what = (
            "srun without --kill-on-bad-exit: when one task fails, the others wait for it until a "
            "time-out"
        )
        yield (
            srun.line,
            "kill-on-bad-exit",
            what,
            "all nodes now end within seconds, and the run comes back",
        )


def _find_missing_cpus(
    facts: Facts, requested: ResourceRequest, selected: SelectedCommand
) -> Found:
    srun = selected.started.srun
    told = "SRUN_CPUS_PER_TASK" in facts.text
    if (
        srun is not None
        and requested.text("cpus-per-task")
        and "cpus-per-task" not in srun.options
        and not told
    ):
        what = "since Slurm 22.05 srun does not inherit --cpus-per-task: its tasks may get one CPU"
        yield srun.line, "srun-cpus", what, "the step now has all CPUs of the allocation"


def _find_loopback(facts: Facts, requested: ResourceRequest, _chosen: SelectedCommand) -> Found:
    for number, line in _code_lines(facts):
        found = _LOOPBACK.search(line)
        if found and (found[1] or requested.nodes > 1):
            what = (
                f"{found[0].strip()} can be a loopback address, or one of several, which other "
                "nodes do not reach"
            )
            yield (
                number,
                "address",
                what,
                "the job script takes an address of the first node that the others reach",
            )


def _find_first_node(facts: Facts, requested: ResourceRequest, selected: SelectedCommand) -> Found:
    code = "\n".join(line for _, line in _code_lines(facts))
    if requested.nodes < 2 or selected.started.kind not in launchers.LAUNCHERS:
        return
    if not re.search(
        r"scontrol +show +hostname|hostname|SLURMD_NODENAME|SLURM_LAUNCH_NODE_IPADDR", code
    ):
        what = "no `scontrol show hostnames`: nothing finds the first of the nodes that Slurm gave"
        yield selected.started.line, "first-node", what, "the job script finds it"


def _find_accumulation(_facts: Facts, _asked: ResourceRequest, selected: SelectedCommand) -> Found:
    word = selected.parsed.flags.get("gradient_accumulation_steps")
    if word is not None and "use_deepspeed" not in selected.parsed.flags:
        what = "--gradient_accumulation_steps of accelerate launch does nothing without DeepSpeed"
        hint = (
            f"it is not in the spec; accelerate: {{gradient_accumulation_steps: {word.text}}} does "
            "it everywhere"
        )
        yield word.line, "accumulation", what, hint


def _find_job_id(_facts: Facts, _asked: ResourceRequest, selected: SelectedCommand) -> Found:
    for word in selected.started.words:
        if names_in(word.text) & {"SLURM_JOB_ID", "SLURM_JOBID"} and not selected.started.shell:
            if word.text.startswith("--rdzv") or word == selected.parsed.flags.get("rdzv_id"):
                continue
            what = (
                f"{word.text}: another job, as a successor is, does not find what this one has "
                "left there"
            )
            yield (
                word.line,
                "job-id",
                what,
                "a fixed path, or below $CLUSTERRUN_RUN_DIR, the folder of the run",
            )


RULES: tuple[Callable[[Facts, ResourceRequest, SelectedCommand], Found], ...] = (
    _find_node_rank,
    _find_fixed_port,
    _find_missing_srun,
    _find_missing_kill,
    _find_missing_cpus,
    _find_loopback,
    _find_first_node,
    _find_accumulation,
    _find_job_id,
)
