"""LaunchPlan: what will run, as a pure function of the prepared spec.

Nothing here reads the clock, the environment or a file, or starts a subprocess.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath

from clusterrun import units
from clusterrun.errors import Problem, SpecError
from clusterrun.job_spec import durations, grammar
from clusterrun.job_spec.checkpoint import RUN_DIR
from clusterrun.job_spec.model import JobSpec, Notification, Slurm
from clusterrun.planning.launch import Launch, requests_gpus
from clusterrun.planning.members import MemberWords, split_members
from clusterrun.planning.preparation import Prepared
from clusterrun.quoting import LONGEST_ARGUMENT, Shell, quote, quote_around, quote_for_sbatch
from clusterrun.run_folder.settings import FORMAT

_LEAD = 120
# srun passes the launch command, its config and some functions to the nodes in one argument; this
# is the size reserved for the functions.
_FUNCTIONS_SIZE = 10752
_OWN_FIELDS = {"chdir", "additional_parameters", "signal", "gpus_per_node_without_gres"}


@dataclass(frozen=True)
class Identity:
    """The run that a script belongs to, chosen at submit; without one, the job id names the run."""

    run_id: str
    folder: PurePosixPath


@dataclass(frozen=True)
class Directive:
    """One `#SBATCH` line; `value` is None for an option without a value."""

    option: str
    value: str | None

    @property
    def word(self) -> Shell:
        """The value, quoted for sbatch."""
        return Shell(quote_for_sbatch(self.value))


@dataclass(frozen=True)
class LaunchPlan:
    """Everything that the text of the job script depends on."""

    name: str
    source: str
    version: str
    directives: tuple[Directive, ...]
    identity: Identity | None
    run_root: str
    chdir: str | None
    spec: JobSpec
    launch: Launch
    nodes: int
    """The most nodes that Slurm may allocate."""
    least_nodes: int
    gpus_requested: bool
    gpus_without_gres: int | None
    """The GPUs of each node that the spec expects, if Slurm does not count GPUs."""
    requeue_on: tuple[str, ...]
    crashes: int
    shrink_to: int | None
    """The number of nodes to continue with if more are not available again in time."""
    shrink_after: int
    """In seconds."""
    exclude: str
    """Nodes that the spec itself excludes; a successor excludes them, too."""
    hang: str
    """Seconds without a step that count as a hang, `auto`, or `off`."""
    signal_lead: int
    """How many seconds before the time limit Slurm sends its signal."""
    checkpoint_path: Shell | None
    """The pattern of the checkpoints that the training script itself writes."""
    reads_stop_file: bool
    """Whether the training looks for the stop file, as far as its text shows."""
    notices: tuple[str, ...]
    """One line per notification: way, shape, target, and the ends that it is sent for."""
    templates: tuple[PurePath, ...]
    """The folders of the user's templates, in search order."""
    members: tuple[MemberWords, ...] = ()
    """What the members of a sweep differ in; empty for a single run."""

    @property
    def elastic(self) -> bool:
        """Whether attempts may run on fewer than `nodes` nodes."""
        return self.least_nodes < self.nodes or self.shrink_to is not None

    @property
    def settings(self) -> dict[str, object]:
        """Return what readers of a run folder need: nodes, processes, and the folder's format."""
        processes = None if self.elastic else self.launch.processes
        return {
            "format": FORMAT,
            "version": self.version,
            "nodes": self.nodes,
            "min_nodes": min(self.least_nodes, self.shrink_to or self.least_nodes),
            "processes_per_node": self.processes_a_node or "",
            "num_processes": processes or "",
            "max_crashes": self.crashes,
            "handles_stop": int(self.reads_stop_file or self.spec.checkpoint.signal is not None),
        }

    @property
    def may_expedite(self) -> bool:
        """Whether Slurm may restart the run without delay, if the cluster allows it."""
        return self.spec.requeue.by == "auto" and bool(self.requeue_on)

    @property
    def processes_a_node(self) -> int | None:
        """The processes of each node; None: counted from the GPUs that Slurm allocates."""
        return (
            None if self.launch.processes is None else max(self.launch.processes // self.nodes, 1)
        )


def identity_of(prepared: Prepared, run_id: str) -> Identity:
    """Return the identity of a run of this spec: its id, and its folder below the run root."""
    return Identity(run_id, PurePosixPath(prepared.run_root / run_id))


def make_plan(prepared: Prepared, identity: Identity | None = None) -> LaunchPlan:
    """Return the plan of a prepared spec.

    With an identity, the job runs in the working folder that is known here; without one, in the
    spec's folder or where sbatch is called. Raises SpecError for a command that is too long to be
    started, and for a run folder that sbatch cannot use.
    """
    loaded, source = prepared.loaded, prepared.loaded.source
    spec, launch, members = split_members(loaded.spec, prepared.launch, prepared.members)
    chdir = loaded.chdir or (str(prepared.work_dir) if identity else None)
    _refuse_length(launch, source, members)
    if identity is not None and "\\" in str(identity.folder):
        # sbatch does not replace %j in a path with a backslash, so the log's name would lack the
        # job id
        what = f"the path of the run folder contains a backslash: {identity.folder}"
        raise SpecError([Problem(source, "", what, "set another run_root in the profile")])
    return LaunchPlan(
        name=spec.name,
        source=source,
        version=prepared.version,
        directives=tuple(_make_directives(spec, launch, chdir, identity)),
        identity=identity,
        run_root=loaded.run_root,
        chdir=chdir,
        spec=spec,
        launch=launch,
        nodes=grammar.most_nodes(spec.slurm.nodes),
        least_nodes=grammar.least_nodes(spec.slurm.nodes),
        gpus_requested=requests_gpus(spec.slurm),
        gpus_without_gres=spec.slurm.gpus_per_node_without_gres,
        requeue_on=spec.requeue.on,
        crashes=spec.requeue.crashes,
        shrink_to=spec.requeue.shrink_to,
        shrink_after=durations.whole_seconds(spec.requeue.shrink_after),
        exclude=str((spec.slurm.model_extra or {}).get("exclude") or ""),
        hang=spec.hang
        if spec.hang in (durations.HANG_AUTO, durations.HANG_OFF)
        else str(durations.hang_seconds(spec.hang)),
        signal_lead=_signal_lead(spec.slurm),
        checkpoint_path=_quote_checkpoint_pattern(spec.checkpoint.path),
        reads_stop_file=prepared.reads_stop_file,
        notices=tuple(map(notification_words, spec.notify)),
        templates=prepared.templates,
        members=members,
    )


def _refuse_length(launch: Launch, source: str, members: Sequence[MemberWords]) -> None:
    longest = max((" ".join(map(quote, one.arguments)) for one in members), key=len, default="")
    words = longest + " ".join(
        quote(word) for line in (*launch.lines, launch.resume) for word in line
    )
    size, most = (
        len("".join([words, *launch.files.values()]).encode()),
        LONGEST_ARGUMENT - _FUNCTIONS_SIZE,
    )
    if size > most:
        what = f"the launch command with its config files is too long: {size} bytes, at most {most}"
        raise SpecError([Problem(source, "", what, "put long values into a file")])


def _make_directives(
    spec: JobSpec, launch: Launch, chdir: str | None, identity: Identity | None
) -> list[Directive]:
    directives = [Directive("job-name", spec.name), *_user_directives(spec.slurm)]
    if spec.command is None:
        if grammar.least_nodes(spec.slurm.nodes) == grammar.most_nodes(spec.slurm.nodes):
            # with a range, Slurm 22.05 takes it for as many tasks as the fewest nodes, and
            # allocates
            # no more than those
            directives.append(Directive("ntasks-per-node", _count_tasks(spec, launch)))
        directives.extend(_gpu_directives(spec.slurm))
    if chdir is not None:
        directives.append(Directive("chdir", chdir))
    if identity is not None:
        # `%` starts a pattern in sbatch's file names (sbatch(1), "filename pattern"); `%%` is a
        # literal %
        logs = str(identity.folder / "logs").replace("%", "%%")
        directives.append(
            Directive("output", f"{logs}/slurm-{'%A_%a' if spec.slurm.array else '%j'}.out")
        )
    directives.append(Directive("open-mode", "append"))
    directives.append(Directive("requeue" if _slurm_requeues(spec) else "no-requeue", None))
    directives.append(Directive("signal", f"USR1@{_signal_lead(spec.slurm)}"))
    directives.append(Directive("export", ",".join(spec.environment.secrets) or "NIL"))
    return directives


def _count_tasks(spec: JobSpec, launch: Launch) -> str:
    """Return the tasks of each node: the launcher, or with srun each of its processes."""
    ranks = launch.processes if spec.launch_kind == "srun" else None
    return str(ranks // grammar.most_nodes(spec.slurm.nodes) if ranks else 1)


def _gpu_directives(slurm: Slurm) -> list[Directive]:
    """Return the GPUs per node, if `gpus` requests a total for several nodes.

    Slurm may split `--gpus=4` over two nodes as 3 and 1 (observed on 22.05); accelerate needs the
    same number on each.
    """
    nodes = grammar.most_nodes(slurm.nodes)
    if slurm.gpus is None or slurm.gpus_per_node is not None or nodes == 1:
        return []
    kind, _, count = slurm.gpus.rpartition(":")
    each = str(int(count) // nodes)
    return [Directive("gpus-per-node", f"{kind}:{each}" if kind else each)]


def _user_directives(slurm: Slurm) -> list[Directive]:
    """Return the user's options in the order of the model, then those passed on as written."""
    values = {name: getattr(slurm, name) for name in Slurm.model_fields if name not in _OWN_FIELDS}
    values.update(slurm.model_extra or {})
    values.update(slurm.additional_parameters)
    return [
        Directive(name.replace("_", "-"), None if value is True else str(value))
        for name, value in values.items()
        if value is not None and value is not False
    ]


def _slurm_requeues(spec: JobSpec) -> bool:
    """Return whether Slurm may requeue the job.

    `--no-requeue` also forbids `scontrol requeue` (slurm.conf(5), JobRequeue), which every value of
    `requeue.on` needs.
    """
    return bool(spec.requeue.on)


def notification_words(notice: Notification) -> str:
    """Return one line of the job script's `notices`: words without blanks."""
    to = notice.to
    way = f"mail - {to.mail}" if to.mail is not None else f"webhook {to.shape} {to.webhook}"
    return " ".join([way, *notice.on])


def _quote_checkpoint_pattern(path: str | None) -> Shell | None:
    """Return a checkpoint pattern as shell, with special characters of the run folder escaped."""
    return (
        None
        if path is None
        else quote_around(path, RUN_DIR, """$(printf %s "$run_dir" | sed 's/[[*?]/[&]/g')""")
    )


def _signal_lead(slurm: Slurm) -> int:
    """Return how many seconds before the limit to request a save: 120, at most a quarter of it."""
    if slurm.signal is not None:
        return grammar.read_signal_lead(slurm.signal)
    limit = units.seconds_of_slurm_time(slurm.time) if slurm.time is not None else None
    return _LEAD if limit is None else max(1, min(_LEAD, limit // 4))
