"""The job spec as a validated, frozen model, in the words of Slurm and accelerate."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from clusterrun.job_spec import checkpoint, durations
from clusterrun.job_spec.sweep import Sweep
from clusterrun.job_spec.values import (
    Address,
    Array,
    Count,
    Every,
    Flag,
    Gpus,
    Hang,
    Memory,
    Name,
    Nodes,
    Operand,
    Pattern,
    Secret,
    ShellText,
    Signal,
    SrunOptions,
    StopSignal,
    Tee,
    Time,
    Value,
    Variable,
    Wait,
    Word,
    Words,
    check_args,
    make_list,
    read_argument,
    read_node_check,
)


class Model(BaseModel):
    """The base of all parts of a spec: frozen, and without unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True
    )


class Slurm(Model):
    """sbatch's long options. Those that are not typed here are passed on as written."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Flag] = Field(init=False)

    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    nodes: Nodes = "1"
    """Number of nodes; each runs one launcher. From a range such as 2-8, Slurm chooses a
    number at each start."""
    array: Array | None = None
    """One run per index, in sbatch's syntax; the script reads its index from
    SLURM_ARRAY_TASK_ID."""
    gpus_per_node: Gpus | None = None
    gpus: Gpus | None = None
    gpus_per_task: Gpus | None = None
    gres: Word | None = None
    gpus_per_node_without_gres: Count | None = None
    """The number of GPUs of each node, on a cluster whose Slurm does not count GPUs: sbatch is not
    asked for any, and each node uses all that it has. A profile may set it for all specs."""
    cpus_per_task: Count | None = None
    cpus_per_gpu: Count | None = None
    mem: Memory | None = None
    mem_per_cpu: Memory | None = None
    mem_per_gpu: Memory | None = None
    time: Time | None = None
    time_min: Time | None = None
    exclusive: Flag | None = None
    nice: Flag | None = None
    signal: Signal | None = None
    """How long before the time limit the training processes are requested to save:
    USR1@<seconds>."""
    chdir: Word | None = None
    """The working folder, relative to the spec's file; by default the folder where you run
    clusterrun."""
    additional_parameters: dict[Word, Flag] = {}
    """sbatch options that this version does not know yet."""

    @property
    def options(self) -> dict[str, Any]:
        """All options that are set, by their names with underscores."""
        return {**self.model_dump(exclude_none=True), **(self.model_extra or {})}


class Accelerate(Model):
    """accelerate's own keys, as in its config file; or `config_file`, to use a file unchanged."""

    config_file: Word | None = None
    num_processes: Count | None = None
    """Total number of processes over all nodes, as accelerate counts them (over the most nodes, if
    `nodes` is a range). With GPUs, leave it out: each node starts one process per GPU."""
    num_cpu_threads_per_process: Count | None = None
    tee: Tee | None = None
    """3: each line that a rank prints starts with its rank, `[rank1]:`, for `clusterrun logs
    --rank`. Lines pass through a file in the node's temporary folder; if the launcher is killed,
    the last lines are lost."""
    gradient_accumulation_steps: Count | None = None
    distributed_type: (
        Literal[
            "NO",
            "MULTI_CPU",
            "MULTI_GPU",
            "MULTI_NPU",
            "MULTI_MLU",
            "MULTI_XPU",
            "MULTI_HPU",
            "DEEPSPEED",
            "FSDP",
            "MEGATRON_LM",
        ]
        | None
    ) = None
    mixed_precision: Literal["no", "fp16", "bf16", "fp8"] | None = None
    use_cpu: bool | None = None
    debug: bool | None = None
    enable_cpu_affinity: bool | None = None
    main_training_function: Word | None = None
    downcast_bf16: Flag | None = None
    compute_environment: Literal["LOCAL_MACHINE"] | None = None
    dynamo_backend: Word | None = None
    dynamo_config: dict[Word, Any] | None = None
    deepspeed_config: dict[Word, Any] | None = None
    fsdp_config: dict[Word, Any] | None = None
    megatron_lm_config: dict[Word, Any] | None = None
    fp8_config: dict[Word, Any] | None = None
    parallelism_config: dict[Word, Any] | None = None


class Environment(Model):
    """What a node's shell needs before the script starts.

    No variable of the shell that you submit from is passed to the job.
    """

    setup_first: Annotated[tuple[ShellText, ...], BeforeValidator(make_list)] = ()
    """Shell lines, run as written on the first node before all else of this section; each must
    succeed."""
    module_purge: bool = False
    module_use: Annotated[tuple[Word, ...], BeforeValidator(make_list)] = ()
    """Folders of module files, for `module use`."""
    modules: tuple[Word, ...] = ()
    venv: Operand | None = None
    conda: Operand | None = None
    """The name or folder of an environment of conda, mamba or micromamba."""
    conda_base: Operand | None = None
    """The folder in which conda is installed, or the path of micromamba; by default that of the
    shell that you submit from, else the usual places on the node."""
    uv: Operand | None = None
    """The folder of a uv project: `submit` runs `uv sync --frozen` there, and the job uses its
    `.venv`."""
    variables: dict[Variable, Value] = {}
    setup: Annotated[tuple[ShellText, ...], BeforeValidator(make_list)] = ()
    """Shell lines, run as written on the first node after all else of this section; each must
    succeed. Exported variables reach all nodes, functions do not."""
    setup_each_node: Annotated[tuple[ShellText, ...], BeforeValidator(make_list)] = ()
    """Shell lines, run as written on each node in the shell that starts the launcher, with
    `launcher: srun` in that of each task; each must succeed."""
    secrets: tuple[Secret, ...] = ()
    """Names of variables passed with sbatch's --export; their values are never written to a
    file."""


class Checkpoint(Model):
    """How often to save checkpoints, and how a script without `clusterrun.training` resumes."""

    every: Every = "10min"
    """Time or optimizer steps between two checkpoints; auto: computed from how long a save takes
    and how often runs are interrupted. Scripts without `clusterrun.training` decide by
    themselves."""
    keep: Count = 3
    async_save: bool = False
    """Training waits only until the state is copied to the node's memory, and continues while it is
    written and verified. For scripts with `clusterrun.training`, under DDP and FSDP2; other
    strategies save synchronously and log that."""
    path: Pattern | None = None
    """Where a script without `clusterrun.training` writes its checkpoints: a shell pattern of files
    or folders, relative to the working folder; {run_dir} is the run folder, which the script reads
    from CLUSTERRUN_RUN_DIR."""
    resume: Words = checkpoint.RESUME
    """Appended to the script's arguments once `path` has a match; {checkpoint} is the newest match.
    A script that finds its own needs only a flag: `resume: --init_from=resume`. false: nothing is
    appended. A `command` reads CLUSTERRUN_CHECKPOINT instead, which is empty before the first
    checkpoint."""
    signal: StopSignal | None = None
    """The signal that requests the training processes to save and exit; without it they only find
    the stop file."""


class Requeue(Model):
    """When a run that has ended continues by itself, and how."""

    on: tuple[Literal["preemption", "time-limit", "node-failure", "crash", "hang"], ...] = (
        "preemption",
        "time-limit",
        "node-failure",
        "crash",
        "hang",
    )
    crashes: Annotated[int, Field(ge=0, le=1000, strict=True)] = 3
    """The crash budget: how many crashes and hangs in a row, without a new checkpoint between them,
    the run survives."""
    by: Literal["auto", "requeue", "successor"] = "auto"
    """requeue: in the same job, which Slurm delays by 120 s by default; successor: in a new job,
    which may start at once and can exclude bad nodes; auto: by requeue, expedited if the cluster
    allows it (Slurm 25.11 and newer), and by successor if Slurm does not requeue or a node is
    bad."""
    shrink_to: Count | None = None
    """The number of nodes to continue with if not all requested nodes are available again within
    `shrink_after`. A second, smaller job waits for them; the attempt after it requests all nodes
    again."""
    shrink_after: Wait = "1h"
    """How long a restarting run waits for all its nodes, if `shrink_to` is set."""


class NotificationTarget(Model):
    """Where a notification goes: an e-mail address, or a webhook, whose URL is a secret."""

    mail: Address | None = None
    webhook: Variable | None = None
    """The name of a variable that holds the URL; list it in `environment.secrets`, too."""
    shape: Literal["json", "slack", "discord"] = "json"
    """What the webhook receives: all facts as JSON, or a message in Slack's or Discord's format."""


class Notification(Model):
    """Who is notified of which ends; `requeued`: an end after which the run continues by itself."""

    on: Annotated[tuple[Literal["finished", "gave-up", "requeued"], ...], Field(min_length=1)]
    to: NotificationTarget


class JobSpec(Model):
    """One run: what to launch, what it needs from Slurm, and how it is launched."""

    name: Name
    script: Operand | None = None
    """A training script, started by the launcher."""
    module: Operand | None = None
    """A Python module, started by the launcher as with `python -m`."""
    command: ShellText | None = None
    """A shell line, run on each node as written, without a launcher."""
    launcher: Literal["accelerate", "torchrun", "srun"] | None = None
    """What starts the processes of a script or module: `accelerate launch` (the default) or
    `torchrun`, once on each node, or srun itself, with one task per process, see
    [launchers](../guides/launchers.md)."""
    nproc_per_node: Count | None = None
    """Number of processes of each node, for the launchers torchrun and srun; by default one per
    GPU, and one without GPUs."""
    tee: Tee | None = None
    """As `accelerate.tee`, for the launchers torchrun and srun: with 3, each line that a rank
    prints starts with its rank, `[rank1]:`."""
    parameters: dict[Word, Annotated[Any, AfterValidator(read_argument)]] = {}
    """Names for values, used as {name} in other values of the spec, with defaults; null: each
    submission must set it. See [parameters](#parameters)."""
    args: Annotated[Any, AfterValidator(check_args)] = {}
    """true: a bare flag; false and null: omitted; a list: repeated values. Or a list of words,
    passed on as written."""
    slurm: Slurm = Field(default_factory=Slurm)
    srun_options: SrunOptions = {}
    """Options of the srun that starts the tasks, such as {mpi: pmix, cpu-bind: cores}."""
    accelerate: Accelerate = Field(default_factory=Accelerate)
    environment: Environment = Field(default_factory=Environment)
    checkpoint: Checkpoint = Field(default_factory=Checkpoint)
    requeue: Requeue = Field(default_factory=Requeue)
    sweep: Sweep | None = None
    """One run per combination of values, see [sweep](#sweep)."""
    node_check: Annotated[bool | str, BeforeValidator(read_node_check)] = True
    """Shell lines that each node runs before the launch, after a check of its GPUs, disk and clock;
    a node where they fail is excluded for a day. false: no check at all."""
    hang: Hang = durations.HANG_AUTO
    """How long a run may take without a step before it counts as hung and is terminated: auto, a
    time (30min), or false: never."""
    on_nan: Literal["warn", "stop"] = "warn"
    """What a script with `clusterrun.training` does if the loss is NaN or infinite for ten steps:
    only warn, or end the run for good. `resume` then continues from the last checkpoint before."""
    notify: tuple[Notification, ...] = ()
    """Who is notified when the run's attempts end, see [notify](#notify)."""
    share: Literal["group"] | None = None
    """The run folder's group may read its logs and stop the run; nothing else is shared."""

    @property
    def launch_kind(self) -> Literal["accelerate", "torchrun", "srun", "command"]:
        """What starts the processes on the nodes."""
        return (self.launcher or "accelerate") if self.command is None else "command"
