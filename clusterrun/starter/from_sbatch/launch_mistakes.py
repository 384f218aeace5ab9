"""Mistakes in how an old script starts its processes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator

from clusterrun.starter.from_sbatch import launchers
from clusterrun.starter.from_sbatch.facts import Facts
from clusterrun.starter.from_sbatch.resource_request import ResourceRequest
from clusterrun.starter.from_sbatch.selected_command import SelectedCommand
from clusterrun.starter.from_sbatch.setup import BUILDS, RENDEZVOUS
from clusterrun.starter.from_sbatch.words import Word, names_in

Mistakes = Iterator[tuple[int, str, str, str]]

_PER_NODE = {"SLURM_NODEID": "machine 0", "SLURM_PROCID": "task 0", "SLURM_LOCALID": "task 0"}
_PORT = re.compile(r"^\s*(?:export\s+)?(?:\w*PORT)=[\"']?(\d{4,5})\b")
_LOOPBACK = re.compile(
    r"hostname\s+(-i|-I|--ip-address|--all-ip-addresses)\b|MASTER_ADDR=[\"']?(localhost|127\.0\.0\.1)"
)
_PORT_IN_TEXT = re.compile(
    r"--(?:main_process_port|master[-_]port|rdzv[-_]endpoint)[= ](?:\S*:)?(\d{4,5})\b"
)
_SOURCED = re.compile(r"^\s*(source|\.)\s+(?!.*(activate|bashrc|profile|conda\.sh))", re.MULTILINE)
_OF_RENDEZVOUS = re.compile(r"--(rdzv|main_process|master|hostfile|deepspeed_hostfile|job-?id)")
_PORT_FLAGS = ("main_process_port", "master_port", "rdzv_endpoint")


def _code_lines(facts: Facts) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not comments."""
    lines = enumerate(facts.text.splitlines(), 1)
    return ((number, line) for number, line in lines if not line.lstrip().startswith("#"))


def _find_node_rank(
    facts: Facts, requested: ResourceRequest, selected: SelectedCommand
) -> Mistakes:
    if requested.nodes < 2 and requested.tasks_a_node < 2:
        return
    hint = "fixed: the job script evaluates it on each node"
    reported: set[str] = set()
    for word in selected.started.words:
        for name in sorted(word.names & set(_PER_NODE) - reported):
            if not selected.started.shell:
                reported.add(name)
                what = (
                    f"${name} is evaluated by the batch script on the first node, so every node is "
                    f"{_PER_NODE[name]}"
                )
                yield word.line, "node-rank", what, hint
    for name, variable in facts.variables.items():
        for inner in sorted(variable.value.names & set(_PER_NODE) - reported):
            if not variable.on_nodes and not BUILDS.fullmatch(name):
                what = (
                    f"{name}=${inner} is evaluated by the batch script on the first node, so every "
                    f"node is {_PER_NODE[inner]}"
                )
                yield variable.line, "node-rank", what, hint
    if selected.started.shell:
        yield from _find_double_quotes(facts, selected)


def _find_double_quotes(facts: Facts, selected: SelectedCommand) -> Mistakes:
    """Yield `bash -c "... $SLURM_NODEID"`, which the batch shell expands, not bash -c."""
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
                    f"${name} in double quotes is evaluated by the batch script, so every node is "
                    f"{_PER_NODE[name]}"
                )
                yield number, "node-rank", what, "fixed: the job script evaluates it on each node"


def _outer_quote(facts: Facts, first: int) -> str:
    """Return the quote at the start of the text after `bash -c`."""
    text = "\n".join(facts.text.splitlines()[first - 1 :])
    found = re.search(r"-\w*c\s+(?:\\\n\s*)?([\"'])", text)
    return found[1] if found else ""


def _find_fixed_port(
    facts: Facts, _requested: ResourceRequest, selected: SelectedCommand
) -> Mistakes:
    hint = "fixed: the job script finds a free port, starting from the job id"
    what = "port {} is fixed, and may be in use by another job on the node or by an old socket"
    for number, line in _code_lines(facts):
        found = _PORT.match(line)
        if found and _is_used_as_port(facts, number, line):
            yield number, "port", what.format(found[1]), hint
    if not selected.parsed.flags:
        for found in _PORT_IN_TEXT.finditer(selected.command):
            yield selected.started.line_of_words, "port", what.format(found[1]), hint
    for name in _PORT_FLAGS:
        word = selected.parsed.flags.get(name)
        given = re.search(r"(?:^|:)(\d{4,5})$", word.text) if word is not None else None
        if given and word is not None and not _find_rendezvous_variable(facts, given[1]):
            yield word.line, "port", what.format(given[1]), hint


def _is_used_as_port(facts: Facts, number: int, line: str) -> bool:
    """Return whether a port is used as it is: it is read, and is not where a search starts."""
    name = line.partition("=")[0].split()[-1]
    others = "\n".join(other for place, other in _code_lines(facts) if place != number)
    searched = re.search(rf"(while|until|for)\b[^\n]*{name}\b|{name}=\$\(\({name}", others)
    return not searched and (name in RENDEZVOUS or name in names_in(others))


def _find_rendezvous_variable(facts: Facts, port: str) -> bool:
    return any(found[1] == port for _, line in _code_lines(facts) if (found := _PORT.match(line)))


def _find_missing_srun(
    _facts: Facts, requested: ResourceRequest, selected: SelectedCommand
) -> Mistakes:
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
            f"without srun it runs only on the first of {requested.nodes} nodes; "
            "the others are idle"
        )
        yield started.line, "srun", what, "fixed: the job script starts one launcher on each node"


def _find_missing_kill(
    _facts: Facts, requested: ResourceRequest, selected: SelectedCommand
) -> Mistakes:
    srun = selected.started.srun
    several = requested.nodes * requested.tasks_a_node > 1
    if srun is not None and several and "kill-on-bad-exit" not in srun.options:
        what = (
            "srun without --kill-on-bad-exit: if one task fails, the others wait for it until a "
            "timeout"
        )
        yield (
            srun.line,
            "kill-on-bad-exit",
            what,
            "fixed: all nodes exit within seconds, and the run restarts",
        )


def _find_missing_cpus(
    facts: Facts, requested: ResourceRequest, selected: SelectedCommand
) -> Mistakes:
    srun = selected.started.srun
    is_exported = "SRUN_CPUS_PER_TASK" in facts.text
    if (
        srun is not None
        and requested.text("cpus-per-task")
        and "cpus-per-task" not in srun.options
        and not is_exported
    ):
        what = "since Slurm 22.05 srun does not inherit --cpus-per-task: its tasks may get one CPU"
        yield srun.line, "srun-cpus", what, "fixed: the step has all CPUs of the allocation"


def _find_loopback(
    facts: Facts, requested: ResourceRequest, _selected: SelectedCommand
) -> Mistakes:
    for number, line in _code_lines(facts):
        found = _LOOPBACK.search(line)
        if found and (found[1] or requested.nodes > 1):
            what = (
                f"{found[0].strip()} may be a loopback address, or one of several that other nodes "
                "cannot reach"
            )
            yield (
                number,
                "address",
                what,
                "fixed: the job script uses an address of the first node that the others can reach",
            )


def _find_first_node(
    facts: Facts, requested: ResourceRequest, selected: SelectedCommand
) -> Mistakes:
    code = "\n".join(line for _, line in _code_lines(facts))
    if requested.nodes < 2 or selected.started.kind not in launchers.LAUNCHERS:
        return
    if not re.search(
        r"scontrol +show +hostname|hostname|HOSTNAME|SLURMD_NODENAME|SLURM_LAUNCH_NODE_IPADDR", code
    ) and not _SOURCED.search(code):
        what = "no `scontrol show hostnames`: nothing finds the first allocated node"
        yield selected.started.line, "first-node", what, "fixed: the job script finds it"


def _find_accumulation(
    _facts: Facts, _requested: ResourceRequest, selected: SelectedCommand
) -> Mistakes:
    word = selected.parsed.flags.get("gradient_accumulation_steps")
    if word is not None and "use_deepspeed" not in selected.parsed.flags:
        what = "--gradient_accumulation_steps of accelerate launch does nothing without DeepSpeed"
        hint = (
            f"not in the spec; to accumulate, write accelerate: {{gradient_accumulation_steps: "
            f"{word.text}}}"
        )
        yield word.line, "accumulation", what, hint


def _find_job_id(_facts: Facts, _requested: ResourceRequest, selected: SelectedCommand) -> Mistakes:
    words = selected.started.words
    for before, word in itertools.pairwise((Word(("",), 0), *words)):
        if selected.started.shell or "$((" in word.text or "host" in word.text:
            continue
        if names_in(word.text) & {"SLURM_JOB_ID", "SLURM_JOBID"}:
            if _OF_RENDEZVOUS.match(word.text) or _OF_RENDEZVOUS.match(before.text):
                continue
            what = (
                f"{word.text}: a run that continues in another job does not find the files of this "
                "one"
            )
            hint = "use a fixed path, or one below $CLUSTERRUN_RUN_DIR, the run folder"
            yield word.line, "job-id", what, hint


RULES: tuple[Callable[[Facts, ResourceRequest, SelectedCommand], Mistakes], ...] = (
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
