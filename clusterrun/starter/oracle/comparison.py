"""Comparison of what the old script and the new one start."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from clusterrun.starter.from_sbatch import launchers
from clusterrun.starter.from_sbatch.setup import BUILDS, RENDEZVOUS
from clusterrun.starter.oracle.before_training import (
    Difference,
    compare_before,
    compare_changes,
    same_text,
    shown,
    without_change,
)
from clusterrun.starter.oracle.ranks import LaunchedRanks, kind_of, ranks_of
from clusterrun.starter.oracle.steps import Cluster, Step

_TOKEN = re.compile("\x1c(\\w+):(\\d+):\\d+\x1c")
_OURS = re.compile(
    r"(SLURM|SRUN|SBATCH|ACCELERATE|CLUSTERRUN|TORCHELASTIC|PET)_\w+|WANDB_(RUN_ID|RESUME)|MLFLOW_RUN_ID"
    r"|TENSORBOARD_LOGGING_DIR|main_process_(ip|port)|num_(machines|processes)|node_dir|checkpoint"
    r"|run_(dir|id)|attempt|USER|LOGNAME|SHELL|LANG|HOME|SLURMD_NODENAME|GLOO_SOCKET_IFNAME|LINENO"
)
_IGNORED = frozenset({"scontrol", "squeue", "sacct", "sinfo", "scancel", "kill", "true", "false"})


@dataclass(frozen=True)
class Recorded:
    """The steps of a script, and the environment that it started with."""

    steps: Sequence[Step]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Setting:
    """What both scripts share: the cluster, the texts of config files, names of secrets."""

    cluster: Cluster
    contents: Mapping[str, str]
    secrets: frozenset[str]
    read: frozenset[str] = frozenset()
    """Variables that the new command reads, and that the old batch shell did not export."""
    line: int = 0
    """The line of the old script's training; 0 if it is not known."""
    inherited: tuple[str, ...] = ()
    """The activation that replaces the environment active in the submitting shell."""
    launched: bool = True
    """Whether accelerate starts the new ranks; otherwise every word must be the same."""


def compare(old: Recorded, new: Recorded, setting: Setting) -> Iterator[Difference]:
    """Yield the differences, the most important first."""
    before, training, after = _split(_number_tokens(old.steps), setting.line)
    new_before, new_training, _ = _split(_number_tokens(new.steps))
    if not training or not new_training:
        if training:
            yield Difference(
                "start", training[0].line, f"{shown(training[0].words)} is not started"
            )
        return
    yield from _compare_training(training, new_training, setting)
    yield from _compare_place(training[0], new_training[0])
    yield from _compare_variables(
        replace_steps(old, training), replace_steps(new, new_training), setting
    )
    made = without_change(new_training[0].changes, setting.inherited)
    yield from compare_changes(training[0].changes, made, training[0].line)
    new_before = [
        replace(step, changes=without_change(step.changes, setting.inherited))
        for step in new_before
    ]
    yield from compare_before(before, new_before)
    for step in after:
        yield Difference(
            "after", step.line, f"{shown(step.words)} is not started after the training"
        )


def replace_steps(recorded: Recorded, steps: Sequence[Step]) -> Recorded:
    """Return a recording with other steps."""
    return replace(recorded, steps=steps)


def _split(steps: Sequence[Step], line: int = 0) -> tuple[list[Step], list[Step], list[Step]]:
    """Split the steps at the training: the steps from `line`, or the last of the likeliest kind."""
    kept = [step for step in steps if step.words[0].rsplit("/", 1)[-1] not in _IGNORED]
    if not kept:
        return [], [], []
    best = max(launchers.RANKS[kind_of(step)] for step in kept)
    places = [place for place, step in enumerate(kept) if launchers.RANKS[kind_of(step)] == best]
    last = next((place for place in places[::-1] if kept[place].line == line), places[-1])
    line = kept[last].line
    is_training = [step.line == line and launchers.RANKS[kind_of(step)] == best for step in kept]
    first = is_training.index(True)
    others = [step for step, one in zip(kept, is_training, strict=True) if not one]
    inner = [step for step, one in zip(kept[first:], is_training[first:], strict=True) if one]
    return others[:first], sorted(inner, key=lambda step: step.node), others[first:]


def _number_tokens(steps: Sequence[Step]) -> list[Step]:
    """Replace what is new at each call by its place in the order of first uses."""
    seen: dict[str, str] = {}

    def number(text: str) -> str:
        return _TOKEN.sub(
            lambda found: seen.setdefault(
                found[0], f"<{found[1]} {len(seen) + 1} on node {found[2]}>"
            ),
            text,
        )

    return [
        replace(
            step,
            words=tuple(map(number, step.words)),
            folder=number(step.folder),
            environment={name: number(value) for name, value in step.environment.items()},
        )
        for step in steps
    ]


def _compare_training(
    old: Sequence[Step], new: Sequence[Step], setting: Setting
) -> Iterator[Difference]:
    line = old[0].line
    if old[0].container != new[0].container and old[0].container[:1] != new[0].container[:1]:
        yield Difference("container", line, f"the container {shown(old[0].container)} is lost")
    ours, theirs = _ranks(old, setting), _ranks(new, setting)
    exact = not setting.launched and kind_of(old[0]) == kind_of(new[0])
    if exact or None in ours or None in theirs or kind_of(new[0]) == kind_of(old[0]) == "other":
        yield from _compare_words(old, new, line)
        return
    known, made = [one for one in ours if one], [one for one in theirs if one]
    yield from _compare_programs(known[0].program, made[0].program, line)
    for name, value in known[0].settings.items():
        if made[0].settings.get(name) != value:
            what = f"{name} is {made[0].settings.get(name, 'not set')}, and was {value}"
            yield Difference("setting", line, what)
    if _on_cpus(new[0]) and "--cpu" not in old[0].words and _wants_gpus(old[0], setting):
        yield Difference("device", line, "it trains on CPUs, and did on GPUs")
    counts, new_counts = _by_node(known), _by_node(made)
    for node in setting.cluster.recorded_nodes:
        if counts.get(node, 0) != new_counts.get(node, 0):
            what = f"node {node} has {new_counts.get(node, 0)} ranks, and had {counts.get(node, 0)}"
            yield Difference("ranks", line, what)
            break


def _on_cpus(step: Step) -> bool:
    return step.environment.get("ACCELERATE_USE_CPU", "").lower() == "true"


def _wants_gpus(step: Step, setting: Setting) -> bool:
    return setting.cluster.gpus_a_node > 0 or "--multi_gpu" in step.words


def _ranks(steps: Sequence[Step], setting: Setting) -> list[LaunchedRanks | None]:
    return [
        ranks_of(step, setting.cluster, {**setting.contents, **dict(step.files)}) for step in steps
    ]


def _by_node(ranks: Sequence[LaunchedRanks]) -> dict[int, int]:
    found: dict[int, int] = {}
    for one in ranks:
        for node in one.nodes:
            found[node] = found.get(node, 0) + one.count
    return found


def _compare_words(old: Sequence[Step], new: Sequence[Step], line: int) -> Iterator[Difference]:
    for one, other in zip(old, new, strict=False):
        for found in _compare_programs(one.words, other.words, line):
            yield found
            return
    nodes, new_nodes = [step.node for step in old], [step.node for step in new]
    if nodes != new_nodes:
        yield Difference("ranks", line, f"it starts on nodes {new_nodes}, and did on {nodes}")


def _compare_programs(old: Sequence[str], new: Sequence[str], line: int) -> Iterator[Difference]:
    for place, (one, other) in enumerate(zip(old, new, strict=False)):
        if not same_text(one, other):
            yield Difference("words", line, f"word {place + 1} is {other!r}, and was {one!r}")
            return
    if len(old) != len(new):
        rest = shown(old[len(new) :] or new[len(old) :])
        yield Difference("words", line, f"{rest} is {'missing' if len(old) > len(new) else 'new'}")


def _compare_place(old: Step, new: Step) -> Iterator[Difference]:
    if old.folder != new.folder:
        what = f"the working folder is {new.folder}, and was {old.folder}"
        yield Difference("folder", old.line, what)


def _compare_variables(old: Recorded, new: Recorded, setting: Setting) -> Iterator[Difference]:
    first, second = old.steps[0], new.steps[0]
    changed = {
        name for name, value in first.environment.items() if old.environment.get(name) != value
    }
    for name in sorted({*changed, *second.environment}):
        if _OURS.fullmatch(name) or name in RENDEZVOUS or BUILDS.fullmatch(name):
            continue
        value, other = first.environment.get(name), second.environment.get(name)
        if name in setting.secrets or value == other or same_text(value or "", other or ""):
            continue
        if value is None and (name in setting.read or name == "OMP_NUM_THREADS"):
            continue  # with launcher: srun the job script sets a default
        if name not in changed and other == new.environment.get(name):
            continue
        what = f"{name} is {_value(other)}, and was {_value(value)}"
        yield Difference("variable", first.line, what)


def _value(value: str | None) -> str:
    return "not set" if value is None else repr(value)
