"""The check of a translation: both scripts are recorded on two pretended nodes and compared."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from clusterrun.errors import SpecError
from clusterrun.job_spec.writing import write_spec
from clusterrun.planning.plan import make_plan
from clusterrun.planning.preparation import Request, prepare
from clusterrun.planning.script import render
from clusterrun.starter.from_sbatch.directives import read_directives
from clusterrun.starter.from_sbatch.draft import Draft
from clusterrun.starter.from_sbatch.resource_request import ResourceRequest
from clusterrun.starter.from_sbatch.words import names_in
from clusterrun.starter.oracle.before_training import PLAIN, Difference, secret_value
from clusterrun.starter.oracle.comparison import Recorded, Setting, compare
from clusterrun.starter.oracle.events import CannotRecordError
from clusterrun.starter.oracle.new_script import driver_of
from clusterrun.starter.oracle.ranks import kind_of
from clusterrun.starter.oracle.steps import Cluster, Step, steps_of

# The mistakes of an old script that explain a difference: the translation corrects them.
_EXPLAINED = {
    "ranks": frozenset(
        "node-rank launchers num-processes machines srun idle-gpus cpu background".split()
    ),
    "order": frozenset({"module-order"}),
    "folder": frozenset({"script-folder"}),
    "before": frozenset({"conda-init"}),
    "variable": frozenset({"devices"}),
}
_IS_RANK = re.compile(r"is '\S*\d+', and was '\S*0'$")
_SERVICES = frozenset(
    "wandb huggingface-cli hf pip python python3 vllm uv mpirun mpiexec srun".split()
)


@dataclass(frozen=True)
class Proof:
    """The result of a check."""

    differences: tuple[Difference, ...] = ()
    """What the new run does differently, without what the notes and mistakes report."""
    unchecked: str = ""
    """Why it could not be checked; empty if it was."""
    programs: tuple[str, ...] = ()
    """The programs that run before the training, whose effects are not known."""


def prove(
    text: str,
    draft: Draft,
    *,
    shell: Mapping[str, str],
    read_file: Callable[[str], str | None],
    arguments: Sequence[str] = (),
) -> Proof:
    """Return whether the spec of a draft starts what a script starts. Nothing of either is run."""
    try:
        return _prove(_with_arguments(text, arguments), draft, shell, read_file)
    except CannotRecordError as error:
        return Proof(unchecked=str(error))


def _prove(
    text: str,
    draft: Draft,
    shell: Mapping[str, str],
    read_file: Callable[[str], str | None],
) -> Proof:
    found: list[Difference] = []
    steps: list[Step] = []
    for files_exist in (False, True):
        requested = ResourceRequest(read_directives(text))
        counts = requested.nodes, requested.tasks_a_node, requested.gpus_a_node
        differences, old = _compare_once(
            text, draft, shell, read_file, Cluster(*counts, files_exist=files_exist)
        )
        found += [one for one in differences if one not in found and not _is_reported(one, draft)]
        steps += old
    if not steps:
        raise CannotRecordError("it starts nothing on this machine")
    programs = tuple(dict.fromkeys(filter(None, map(_unknown_program, steps))))
    return Proof(tuple(found), "", programs)


def _compare_once(
    text: str,
    draft: Draft,
    shell: Mapping[str, str],
    read_file: Callable[[str], str | None],
    cluster: Cluster,
) -> tuple[list[Difference], list[Step]]:
    """Record and compare both scripts on one cluster."""
    requested = ResourceRequest(read_directives(text))
    folder = shell.get("PWD", "/submit")
    job = _job_variables(requested, cluster, folder)
    given = (part.partition("=") for part in requested.text("export").split(","))
    old_environment = {
        **_own(text, shell),
        **job,
        **{n: value for n, equals, value in given if equals},
    }
    start = posixpath.normpath(posixpath.join(folder, requested.text("chdir")))
    old = steps_of(text, old_environment, start, cluster)
    secrets = frozenset((draft.values.get("environment") or {}).get("secrets", ()))
    new_environment = {
        "HOME": shell.get("HOME", "/root"), "USER": shell.get("USER", "user"), **job,
        **{one: shell.get(one, secret_value(one)) for one in secrets},
    }  # fmt: skip
    script = _render(f"{folder}/job.yaml", draft)
    driver = driver_of(script, nodes=cluster.nodes, gpus_a_node=cluster.gpus_a_node)
    new = _steps_of_new_script(driver, new_environment, folder, cluster)
    contents = _contents([*old, *new], read_file)
    command = draft.values.get("command")
    found = compare(
        Recorded(old, old_environment),
        Recorded(new, new_environment),
        Setting(
            cluster,
            contents,
            secrets,
            read=frozenset(names_in(command or "")),
            line=draft.command_line,
            inherited=_inherited_activation(draft),
            launched=command is None,
        ),
    )
    return list(found), old


def _steps_of_new_script(
    text: str, environment: Mapping[str, str], folder: str, cluster: Cluster
) -> list[Step]:
    """Return the steps of the rendered script. Raises CannotRecordError without its line numbers.

    The user has not seen that script, and would look for the line in the old one.
    """
    try:
        return steps_of(text, environment, folder, cluster)
    except CannotRecordError as error:
        what = re.sub(r"^line \d+: ", "", str(error))
        raise CannotRecordError(f"the new job script cannot be recorded: {what}") from error


def _with_arguments(text: str, arguments: Sequence[str]) -> str:
    """Return a script that sets its own arguments, on its first line that is not a comment."""
    if not arguments:
        return text
    lines = text.split("\n")
    first = next(
        (number for number, line in enumerate(lines) if line.strip() and line.lstrip()[0] != "#"), 0
    )
    lines[first] = f"set -- {' '.join(map(shlex.quote, arguments))}; {lines[first]}"
    return "\n".join(lines)


def _unknown_program(step: Step) -> str:
    """Return the name of a program whose effects are not known; empty for others."""
    name = step.words[0].rsplit("/", 1)[-1]
    known = kind_of(step) != "other" or name in PLAIN or name in _SERVICES
    return "" if known else step.words[0]


def _inherited_activation(draft: Draft) -> tuple[str, ...]:
    environment = draft.values.get("environment") or {}
    if ("environment", "venv") in draft.comments:
        return ("source", f"{environment['venv']}/bin/activate")
    if ("environment", "conda") in draft.comments:
        return ("activate", "conda", "activate", str(environment["conda"]))
    return ()


def _is_reported(found: Difference, draft: Draft) -> bool:
    """Return whether a mistake or a note explains a difference."""
    kinds = _EXPLAINED.get(found.kind, frozenset())
    if any(one.key in kinds for one in draft.mistakes):
        return True
    if found.kind == "words" and "command" in draft.values and _IS_RANK.search(found.what):
        return any(one.key == "node-rank" for one in draft.mistakes)
    if found.kind == "after":
        return any(note.message.startswith("trap removed") for note in draft.notes) or any(
            note.message.startswith("not translated: a run ends")
            and note.where.endswith(f":{found.line}")
            for note in draft.notes
        )
    return found.kind in ("words", "setting") and any(
        flag and flag in found.what
        for note in draft.notes
        for flag in [note.message.partition(" ")[0].removeprefix("--")]
        if note.message.startswith("--")
    )


def _render(source: str, draft: Draft) -> str:
    """Return the job script of a draft. Raises CannotRecordError if the spec is not valid."""
    request = Request(source, profile="", own_python=False, text=write_spec(draft.values, {}))
    try:
        return render(make_plan(prepare(request)))
    except SpecError as error:
        raise CannotRecordError(f"the spec is not valid: {error.problems[0].message}") from error


def _own(text: str, shell: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the submitting shell that the script names, and a few of all."""
    names = set(re.findall(r"[A-Za-z_]\w*", text)) | {"HOME", "USER"}
    return {name: value for name, value in shell.items() if name in names and name != "PWD"}


def _job_variables(requested: ResourceRequest, cluster: Cluster, folder: str) -> dict[str, str]:
    """Return what Slurm sets in a job (sbatch(1), OUTPUT ENVIRONMENT VARIABLES)."""
    last = cluster.nodes - 1
    found = {
        **requested.variables(),
        "SLURM_JOB_ID": "4242", "SLURM_JOBID": "4242", "SLURM_SUBMIT_DIR": folder,
        "SLURM_JOB_NUM_NODES": str(cluster.nodes), "SLURM_NNODES": str(cluster.nodes),
        "SLURM_JOB_NODELIST": f"node[0-{last}]" if last else "node0", "SLURM_NODEID": "0",
        "SLURM_NODELIST": f"node[0-{last}]" if last else "node0", "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0", "SLURMD_NODENAME": "node0", "SLURM_JOB_NAME": "job",
        "SLURM_TASKS_PER_NODE": f"{cluster.tasks_a_node}(x{cluster.nodes})",
        "SLURM_JOB_PARTITION": "main", "SLURM_SUBMIT_HOST": "login", "PATH": "/usr/bin:/bin",
        "SLURM_CPUS_ON_NODE": "8", "SLURM_LAUNCH_NODE_IPADDR": "10.0.0.1", "HOSTNAME": "node0",
        "SLURM_JOB_USER": "user",
    }  # fmt: skip
    if cluster.gpus_a_node:
        gpus = ",".join(map(str, range(cluster.gpus_a_node)))
        found |= {"SLURM_GPUS_ON_NODE": str(cluster.gpus_a_node), "SLURM_JOB_GPUS": gpus}
    if requested.text("array"):
        found |= {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_JOB_ID": "4242"}
        found |= {"SLURM_ARRAY_TASK_COUNT": "8", "SLURM_ARRAY_TASK_MAX": "7"}
    return found


def _contents(steps: list[Step], read_file: Callable[[str], str | None]) -> dict[str, str]:
    """Return the texts of the config files that launchers name."""
    found = {}
    for step in steps:
        for word in step.words:
            path = word.partition("=")[2] if word.startswith("--") else word
            if path.endswith((".yaml", ".yml", ".json")) and path not in found:
                text = read_file(path)
                if text is not None:
                    found[path] = text
    return found
