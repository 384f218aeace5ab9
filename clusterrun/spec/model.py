"""JobSpec: what the user wants, as a validated, frozen model. The words are Slurm's and accelerate's own."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from clusterrun.shell import LONGEST_ARGUMENT, control_character
from clusterrun.spec import checkpoint, grammar, hang

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NAME_FORM = "a name: letters, digits, '.', '_' and '-', at most 64"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST = LONGEST_ARGUMENT // 2
# Set before the environment is, and used after it (templates/_run.j2, templates/functions).
_SCRIPTS_OWN = frozenset(
    """
    work_dir run_id run_dir share num_processes requeue_on most_crashes signal_lead attempt slurm_log slurm_log_start
    array_job job_ends count_gpus checkpoint_path checkpoint stop_signal resume heard batch_heard asked_at_once node_dir
    requeue_by exclude secrets newly_excluded reached unchecked hang num_machines processes_a_node head_clock
    """.split()
)


Argument: TypeAlias = bool | str | tuple[str, ...] | None
"""What follows one flag: true, false or null, a line, or a list of lines."""


def _text(value: Any) -> Any:
    """Numbers as they were written; what is no scalar is left for the type check to refuse."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    return getattr(value, "text", None) or str(value)


def _truth(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _line(text: str) -> str:
    fault = control_character(text)
    if fault:
        raise ValueError(f"{fault} in the value; a value is one line of visible characters")
    if len(text.encode()) > _LONGEST:
        raise ValueError(f"{len(text.encode())} bytes; at most {_LONGEST}, so that the command line fits: use a file")
    return text


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("empty; leave the key out or give it a value")
    return text


def _no_option(text: str) -> str:
    if text.startswith("-"):
        raise ValueError(f"{text[:80]!r} would be read as an option: a path may begin with ./")
    return text


def _not_the_scripts(name: str) -> str:
    if name in _SCRIPTS_OWN:
        raise ValueError(f"{name} is a variable of the job script itself; use another name")
    return name


def _as_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _shell_text(text: str) -> str:
    for number, part in enumerate(text.split("\n"), 1):
        fault = control_character(part.replace("\t", " "))
        if fault:
            raise ValueError(f"{fault} in line {number}")
    if (len(text) - len(text.rstrip("\\"))) % 2:
        raise ValueError("ends with a backslash, which would join it to the script's next line")
    return _filled(text)


def _matching(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"{text[:80]!r} is not {what}")
        return text

    return AfterValidator(check)


def line(value: Any) -> str:
    """Return a scalar as one line of text; raises ValueError for anything else."""
    text = _text(value)
    if not isinstance(text, str):
        raise ValueError(f"must be one line of text, got {kind_of(value)}")
    return _line(text)


def argument(value: Any) -> Argument:
    """Return what follows one flag; raises ValueError for what cannot stand on a command line."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (list, tuple)):
        return tuple(line(item) for item in value)
    return line(value)


def _flag(value: Any) -> bool | str:
    return value if isinstance(value, bool) else _filled(line(value))


def _arguments(value: Any) -> Any:
    if isinstance(value, (dict, list, tuple)):
        return value
    raise ValueError(f"must be a mapping of flags or a list of words, got {kind_of(value)}")


def kind_of(value: Any) -> str:
    """Name what YAML made of a value, in YAML's words."""
    kinds = {dict: "a mapping", list: "a list", tuple: "a list", str: "text", bool: "true or false"}
    if value is None:
        return "nothing"
    found = [name for kind, name in kinds.items() if isinstance(value, kind)]
    return found[0] if found else "a number"


def _words(value: Any) -> Any:
    if value is False:
        return ()
    return checkpoint.words(_line(value)) if isinstance(value, str) else value


def _node_check(value: Any) -> bool | str:
    if value is None or isinstance(value, bool):
        return bool(value)
    lines = value if isinstance(value, (list, tuple)) else [value]
    if not all(isinstance(line, str) for line in lines):
        raise ValueError(f"must be shell lines, or false for none, got {kind_of(value)}")
    return _shell_text("\n".join(lines))


def _signal_name(value: Any) -> Any:
    return value.removeprefix("SIG") if isinstance(value, str) else value


Line: TypeAlias = Annotated[str, BeforeValidator(_text), AfterValidator(_line)]
"""One line of text; a number is taken as it was written."""
Word: TypeAlias = Annotated[Line, AfterValidator(_filled)]
Operand: TypeAlias = Annotated[Word, AfterValidator(_no_option)]
"""A word that stands where a command could also take an option."""
ShellText: TypeAlias = Annotated[str, AfterValidator(_shell_text)]
"""Lines of shell, run as written."""
Time: TypeAlias = Annotated[Word, AfterValidator(grammar.time)]
Memory: TypeAlias = Annotated[Word, AfterValidator(grammar.memory)]
Value: TypeAlias = Annotated[Line, BeforeValidator(_truth)]
"""The value of an environment variable; true and false are taken as those words."""
Nodes: TypeAlias = Annotated[Word, AfterValidator(grammar.nodes)]
Gpus: TypeAlias = Annotated[Word, AfterValidator(grammar.gpus)]
Count: TypeAlias = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]
Signal: TypeAlias = Annotated[Word, AfterValidator(lambda text: f"USR1@{grammar.signal_lead(text)}")]
Name: TypeAlias = Annotated[Word, _matching(NAME, NAME_FORM)]
Variable: TypeAlias = Annotated[
    Word, _matching(_VARIABLE, "the name of an environment variable"), AfterValidator(_not_the_scripts)
]
Array: TypeAlias = Annotated[Word, AfterValidator(grammar.array)]
Every: TypeAlias = Annotated[Word, AfterValidator(checkpoint.every)]
Hang: TypeAlias = Annotated[Word, BeforeValidator(hang.word), AfterValidator(hang.hang)]
Pattern: TypeAlias = Annotated[Operand, AfterValidator(checkpoint.path)]
Words: TypeAlias = Annotated[tuple[Line, ...], BeforeValidator(_words), AfterValidator(checkpoint.resume)]
StopSignal: TypeAlias = Annotated[Literal["USR1", "USR2", "TERM", "INT", "HUP"], BeforeValidator(_signal_name)]
Flag: TypeAlias = Annotated[Any, AfterValidator(_flag)]
"""The value of an sbatch option; true for one that takes none."""


class Model(BaseModel):
    """What all parts of a spec share: frozen, and no key that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)


class Slurm(Model):
    """sbatch's long options. Those that are not typed here are passed on as written."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Flag] = Field(init=False)

    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    nodes: Nodes = "1"
    """How many machines; each runs one `accelerate launch`. Of a range, 2-8, Slurm chooses one at each start."""
    array: Array | None = None
    """One run for each number, as sbatch writes them; the script finds its own in SLURM_ARRAY_TASK_ID."""
    gpus_per_node: Gpus | None = None
    gpus: Gpus | None = None
    gpus_per_task: Gpus | None = None
    gres: Word | None = None
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
    """When the trainers are asked to save before the time limit: USR1@<seconds>."""
    chdir: Word | None = None
    """The working folder, relative to the spec's file; without it, the folder where the command is typed."""
    additional_parameters: dict[Word, Flag] = {}
    """sbatch options that this version does not know yet."""


class Accelerate(Model):
    """accelerate's own words, those of its config file, or `config_file` to use one unchanged."""

    config_file: Word | None = None
    num_processes: Count | None = None
    """How many processes in all, as accelerate counts, on the most nodes; on GPUs they are counted on the nodes."""
    num_cpu_threads_per_process: Count | None = None
    gradient_accumulation_steps: Count | None = None
    distributed_type: Literal["NO", "MULTI_CPU", "MULTI_GPU", "MULTI_NPU", "MULTI_MLU", "MULTI_XPU", "MULTI_HPU",
                              "DEEPSPEED", "FSDP", "MEGATRON_LM"] | None = None  # fmt: skip
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
    """What a node's shell needs before the script starts; no variable of the shell you submit from arrives."""

    modules: tuple[Word, ...] = ()
    venv: Operand | None = None
    conda: Operand | None = None
    variables: dict[Variable, Value] = {}
    setup: Annotated[tuple[ShellText, ...], BeforeValidator(_as_list)] = ()
    """Shell lines, run as written on the first node; each must succeed."""
    secrets: tuple[Variable, ...] = ()
    """Names of variables handed over by sbatch's --export; their values are never written anywhere."""


class Checkpoint(Model):
    """How often the run is saved; without `clusterrun.training`, how a script goes on from its own checkpoints."""

    every: Every = "10min"
    """Time between two checkpoints, or optimizer steps; auto: by how long a save takes and how often runs are
    interrupted. A script without `clusterrun.training` saves when it likes."""
    keep: Count = 3
    async_save: bool = False
    """Training waits only until the state is copied into the node's memory, and goes on while it is written and
    verified. For scripts with `clusterrun.training`, under DDP and FSDP2; others save synchronously, and say so."""
    path: Pattern | None = None
    """Where a script without `clusterrun.training` leaves its checkpoints: a shell's pattern of files or folders,
    relative to the working folder; {run_dir} is the run's own folder, CLUSTERRUN_RUN_DIR to the script."""
    resume: Words = checkpoint.RESUME
    """Appended to the script's arguments once `path` has a match; {checkpoint} is the newest. false: nothing is.
    A `command` reads CLUSTERRUN_CHECKPOINT instead, which is empty before the first checkpoint."""
    signal: StopSignal | None = None
    """What the trainers are sent when they are to save and leave; without it they only find the stop file."""


class Requeue(Model):
    """After which ends the run continues by itself, and how."""

    on: tuple[Literal["preemption", "time-limit", "node-failure", "crash", "hang"], ...] = (
        "preemption", "time-limit", "node-failure", "crash", "hang")  # fmt: skip
    crashes: Annotated[int, Field(ge=0, le=1000, strict=True)] = 3
    """How many crashes and hangs in a row, without a new checkpoint between them, the run survives."""
    by: Literal["auto", "requeue", "successor"] = "auto"
    """requeue: in the same job, which Slurm lets wait, 120 s by default; successor: as another job, which may begin at
    once and can avoid bad nodes; auto: by requeue, and by successor where Slurm would not requeue, or a node is bad."""


class JobSpec(Model):
    """One run: a script, what it needs from Slurm, and how it is launched."""

    name: Name
    script: Operand | None = None
    """A training script, launched by `accelerate launch`."""
    module: Operand | None = None
    """A Python module, launched by `accelerate launch --module`."""
    command: ShellText | None = None
    """A shell line, run on each node as written, without accelerate."""
    args: Annotated[Any, AfterValidator(_arguments)] = {}
    """true: a bare flag; false and null: left out; a list: repeated values. Or a plain list of words."""
    slurm: Slurm = Field(default_factory=Slurm)
    accelerate: Accelerate = Field(default_factory=Accelerate)
    environment: Environment = Field(default_factory=Environment)
    checkpoint: Checkpoint = Field(default_factory=Checkpoint)
    requeue: Requeue = Field(default_factory=Requeue)
    node_check: Annotated[bool | str, BeforeValidator(_node_check)] = True
    """Shell lines that each node runs before the launch, after a check of GPUs, disk and clock; a node where they fail
    is left out for a day. false: nothing is checked."""
    hang: Hang = hang.AUTO
    """After how long without a step a run hangs and is ended: auto, a time (30min), or false: never."""
    share: Literal["group"] | None = None
    """The run folder's group may read its logs and stop the run; nothing else opens."""

    @property
    def launcher(self) -> bool:
        """Whether accelerate starts the processes."""
        return self.command is None
