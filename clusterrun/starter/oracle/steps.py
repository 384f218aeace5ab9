"""The programs that a script starts, on which node and in which environment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from clusterrun.starter.from_sbatch.srun import strip_srun
from clusterrun.starter.from_sbatch.words import Word
from clusterrun.starter.oracle.events import CannotRecordError, Event, record

_DEEPEST = 4
_MOST_TASKS = 64
_CONTAINERS = {"apptainer", "singularity"}
# apptainer(1) exec: options without a value
_BARE = frozenset(
    """--nv --rocm --cleanenv -e --contain -c --containall -C --no-home --writable-tmpfs -w
    --writable --fakeroot -f --no-privs --pid -p --ipc -i --net -n --uts --userns -u --compat
    --no-init --no-umask --no-eval --nvccli --keep-privs --allow-setuid -s --silent""".split()
)
_CHANGES = frozenset({"module", "activate", "source"})


@dataclass(frozen=True)
class Cluster:
    """The job's nodes, tasks and GPUs."""

    nodes: int
    tasks_a_node: int
    gpus_a_node: int
    files_exist: bool = False
    """Whether tests for files find them."""

    @property
    def recorded_nodes(self) -> range:
        """The nodes whose tasks are recorded: two are enough to see a difference."""
        return range(min(self.nodes, 2))


@dataclass(frozen=True)
class Step:
    """One start of a program."""

    line: int
    node: int
    words: tuple[str, ...]
    folder: str
    environment: Mapping[str, str]
    changes: tuple[tuple[str, ...], ...] = ()
    """The modules, activations and sourced files before it, in order."""
    container: tuple[str, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    """The files that its shell wrote before it, with their contents."""
    by_srun: bool = False


@dataclass(frozen=True)
class _Place:
    node: int = 0
    by_srun: bool = False
    container: tuple[str, ...] = ()
    depth: int = 0
    line: int = 0
    changes: tuple[tuple[str, ...], ...] = ()
    files: tuple[tuple[str, str], ...] = ()


def steps_of(
    text: str, environment: Mapping[str, str], folder: str, cluster: Cluster
) -> list[Step]:
    """Return everything that a batch script starts, in order.

    Raises CannotRecordError.
    """
    return list(_run_shell(text, environment, folder, cluster, _Place()))


def _run_shell(
    text: str, environment: Mapping[str, str], folder: str, cluster: Cluster, place: _Place
) -> Iterator[Step]:
    if place.depth > _DEEPEST:
        raise CannotRecordError("shells within shells")
    for event in record(
        text, environment, node=place.node, folder=folder, files_exist=cluster.files_exist
    ):
        line = place.line or event.line
        if event.kind in _CHANGES:
            if event.kind != "module" or event.words[:1] not in (("list",), ("avail",)):
                place = replace(place, changes=(*place.changes, (event.kind, *event.words)))
        elif event.kind == "file":
            place = replace(place, files=(*place.files, (event.words[0], event.words[1])))
        elif event.kind == "srun":
            yield from _run_step(event, cluster, replace(place, line=line))
        else:
            yield from _start(event.words, event, cluster, replace(place, line=line))


def _run_step(event: Event, cluster: Cluster, place: _Place) -> Iterator[Step]:
    """Start the tasks of one srun."""
    srun, rest = strip_srun([Word(("srun",), 0), *(Word((word,), 0) for word in event.words)])
    options = dict(srun.options) if srun else {}
    nodes, tasks = _count(options, cluster)
    first = re.search(r"(\d+)\]?$", options.get("nodelist", "") or options.get("relative", ""))
    start = min(int(first[1]), cluster.nodes - 1) if first and nodes < cluster.nodes else 0
    container = tuple(
        f"--{name}={value}"
        for name, value in options.items()
        if name.startswith("container-") or name == "environment"
    )
    given = dict(
        part.partition("=")[::2] for part in options.get("export", "").split(",") if "=" in part
    )
    if tasks > _MOST_TASKS:
        raise CannotRecordError(f"line {place.line}: srun starts {tasks} tasks on each node")
    for task in range(nodes * tasks):
        node = task // tasks
        if start + node not in cluster.recorded_nodes:
            continue
        variables = {
            **event.environment, **given,
            "SLURM_PROCID": str(task), "SLURM_NODEID": str(node),
            "SLURM_LOCALID": str(task % tasks), "SLURM_NTASKS": str(nodes * tasks),
            "SLURM_STEP_NUM_NODES": str(nodes),
            "SLURMD_NODENAME": f"node{start + node}",
        }  # fmt: skip
        there = replace(
            place, node=start + node, by_srun=True, container=(*place.container, *container)
        )
        words = tuple(word.text for word in rest)
        yield from _start(words, replace(event, environment=variables), cluster, there)


def _count(options: Mapping[str, str], cluster: Cluster) -> tuple[int, int]:
    """Return the nodes of a step, and its tasks on each."""
    nodes, total, each = (options.get(name, "") for name in ("nodes", "ntasks", "ntasks-per-node"))
    count = min(int(nodes), cluster.nodes) if nodes.isdigit() and int(nodes) else cluster.nodes
    if total.isdigit() and int(total) < count:
        count = max(1, int(total))
    if each.isdigit() and int(each):
        return count, int(each)
    if total.isdigit() and int(total):
        return count, max(1, int(total) // count)
    return count, cluster.tasks_a_node


def _start(words: Sequence[str], event: Event, cluster: Cluster, place: _Place) -> Iterator[Step]:
    """Start a program: a shell is entered, a container is remembered, others are steps."""
    _, rest = strip_srun([Word((word,), 0) for word in words])
    words = tuple(word.text for word in rest)
    if not words:
        return
    name = words[0].rsplit("/", 1)[-1]
    if name in _CONTAINERS and words[1:2] in (("exec",), ("run",)):
        count = _end_of_container(words)
        inner = replace(place, container=(*place.container, *words[:count]))
        yield from _start(words[count:], event, cluster, inner)
        return
    script = _script_of_shell(name, words)
    if script is not None:
        text = f"{event.functions}\n{script}" if event.functions else script
        inner = replace(place, depth=place.depth + 1)
        yield from _run_shell(text, event.environment, event.folder, cluster, inner)
        return
    yield Step(
        place.line, place.node, words, event.folder, event.environment, place.changes,
        place.container, place.files, place.by_srun,
    )  # fmt: skip


def _script_of_shell(name: str, words: Sequence[str]) -> str | None:
    if name not in ("bash", "sh"):
        return None
    for place, word in enumerate(words[1:], 1):
        if word.startswith("-") and not word.startswith("--") and "c" in word:
            arguments = " ".join(
                "'" + one.replace("'", "'\\''") + "'" for one in words[place + 3 :]
            )
            text = words[place + 1] if len(words) > place + 1 else ""
            return f"set -- {arguments}; {text}" if arguments else text
        if not word.startswith("-"):
            return None
    return None


def _end_of_container(words: Sequence[str]) -> int:
    """Return the number of words up to the image."""
    place = 2
    while place < len(words) and words[place].startswith("-"):
        place += 1 if words[place] in _BARE or "=" in words[place] else 2
    return min(place + 1, len(words))
