"""The types of single values in a spec, with their checks and messages."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from clusterrun import units
from clusterrun.job_spec import checkpoint, durations, gpus, grammar
from clusterrun.quoting import LONGEST_ARGUMENT, control_character

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NAME_FORM = "a name: letters, digits, '.', '_' and '-', at most 64"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ADDRESS = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._%+-]*(@[A-Za-z0-9][A-Za-z0-9.-]*)?"
)  # without a host: a user of this machine
_LONGEST = LONGEST_ARGUMENT // 2
# The job script sets these before the environment and reads them after it
# (templates/_settings.j2, templates/functions).
_SCRIPT_VARIABLES = frozenset(
    """
    work_dir run_id run_dir share num_processes requeue_on max_crashes signal_lead attempt
    slurm_log slurm_log_start array_job job_end_time one_rank_per_gpu checkpoint_path checkpoint
    stop_signal reads_stop_file resume signal_seen term_seen continuation_requested node_dir
    requeue_by shrink_to shrink_after exclude secrets new_exclusions head_node_connected
    skip_node_check hang num_machines processes_per_node head_clock notices settings
    exit_code_override
    sweep_id was_submitted member_name member_args member_variables gpus_without_gres launch_kind
    tasks_per_node num_tasks srun_options
    """.split()
)
# Bash refuses or ignores other values of these, or fails with them (bash(1), Shell Variables).
_BASH_VARIABLES = frozenset(
    """
    UID EUID PPID GROUPS SHELLOPTS BASHOPTS BASH_VERSINFO DIRSTACK FUNCNAME FUNCNEST LINENO
    BASH_XTRACEFD
    """.split()
)


Argument: TypeAlias = bool | str | tuple[str, ...] | None
"""The value of one flag: true, false or null, a line, or a list of lines."""


def _number_as_written(value: Any) -> Any:
    """Return a number as written; the type check refuses values that are not scalars."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    return getattr(value, "text", None) or str(value)


def _truth_as_text(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _check_line(text: str) -> str:
    fault = control_character(text)
    if fault:
        raise ValueError(f"{fault} is not allowed; a value is one line of visible characters")
    if len(text.encode()) > _LONGEST:
        raise ValueError(
            f"too long: {len(text.encode())} bytes, at most {_LONGEST} fit on a command line\n"
            "put the value into a file"
        )
    return text


def _refuse_empty(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty\nset a value or delete the key")
    return text


def _refuse_option(text: str) -> str:
    if text.startswith("-"):
        raise ValueError(f"{text[:80]!r} would be read as an option\nwrite ./{text[:80]}")
    return text


def _refuse_export_keyword(name: str) -> str:
    # sbatch(1), --export: these words select variables; they are read in any case
    if name.upper() in ("ALL", "NONE", "NIL"):
        raise ValueError(f"{name} is a keyword of sbatch --export")
    return name


def _refuse_script_variable(name: str) -> str:
    if name in _SCRIPT_VARIABLES:
        raise ValueError(f"{name} is reserved for the job script\nuse another name")
    if name in _BASH_VARIABLES:
        raise ValueError(f"{name} is one of bash's own variables\ndelete it")
    return name


def make_list(value: Any) -> Any:
    """Return a text as a list of one, and any other value unchanged."""
    return (value,) if isinstance(value, str) else value


def _check_shell_text(text: str) -> str:
    for number, part in enumerate(text.split("\n"), 1):
        fault = control_character(part.replace("\t", " "))
        if fault:
            raise ValueError(f"{fault} in line {number} is not allowed")
    if (len(text) - len(text.rstrip("\\"))) % 2:
        raise ValueError(
            "must not end with a backslash, which would join it to the next line of the script"
        )
    return _refuse_empty(text)


def _match(pattern: re.Pattern[str], what: str, joint: str = "") -> AfterValidator:
    """Return a check of a pattern; `joint` replaces what is not allowed in the proposed value."""

    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            near = re.sub(r"[^A-Za-z0-9._-]+", joint, text.partition("=")[0]).strip("-._")
            near = re.sub(r"[.-]+", joint, near) if joint == "_" else near[:64]
            hint = f"\nwrite {near}" if joint and pattern.fullmatch(near) else ""
            raise ValueError(f"{text[:80]!r} is not {what}{hint}")
        return text

    return AfterValidator(check)


def read_line(value: Any) -> str:
    """Return a scalar as one line of text; raises ValueError for anything else."""
    text = _number_as_written(value)
    if not isinstance(text, str):
        raise ValueError(f"must be one line of text, got {name_kind(value)}")
    return _check_line(text)


def read_argument(value: Any) -> Argument:
    """Return the value of one flag; raises ValueError if it cannot be on a command line."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (list, tuple)):
        return tuple(read_line(item) for item in value)
    return read_line(value)


def _read_flag(value: Any) -> bool | str:
    return value if isinstance(value, bool) else _refuse_empty(read_line(value))


def check_args(value: Any) -> Any:
    """Return a script's arguments as they are; raises ValueError unless a mapping or a list."""
    if isinstance(value, (dict, list, tuple)):
        return value
    hint = f"\nwrite [{', '.join(value.split())}]" if isinstance(value, str) else ""
    raise ValueError(f"must be a mapping of flags or a list of words, got {name_kind(value)}{hint}")


def name_kind(value: Any) -> str:
    """Return the kind of a value in YAML's terms."""
    kinds = {dict: "a mapping", list: "a list", tuple: "a list", str: "text", bool: "true or false"}
    if value is None:
        return "nothing"
    return next((name for kind, name in kinds.items() if isinstance(value, kind)), "a number")


def _split_words(value: Any) -> Any:
    if value is False:
        return ()
    return checkpoint.split_words(_check_line(value)) if isinstance(value, str) else value


def read_node_check(value: Any) -> bool | str:
    """Return the shell lines that check each node, or whether it is checked at all.

    Raises ValueError for anything else.
    """
    if value is None or isinstance(value, bool):
        return bool(value)
    lines = value if isinstance(value, (list, tuple)) else [value]
    if not all(isinstance(text, str) for text in lines):
        raise ValueError(f"must be shell lines, or false, got {name_kind(value)}")
    return _check_shell_text("\n".join(lines))


def _drop_sig_prefix(value: Any) -> Any:
    return value.removeprefix("SIG") if isinstance(value, str) else value


Line: TypeAlias = Annotated[str, BeforeValidator(_number_as_written), AfterValidator(_check_line)]
"""One line of text; a number is kept as written."""
Word: TypeAlias = Annotated[Line, AfterValidator(_refuse_empty)]
Operand: TypeAlias = Annotated[Word, AfterValidator(_refuse_option)]
"""A word in a place where a command may also have an option."""
ShellText: TypeAlias = Annotated[str, AfterValidator(_check_shell_text)]
"""Lines of shell, run as written."""
Time: TypeAlias = Annotated[Word, AfterValidator(grammar.check_time_limit)]
Memory: TypeAlias = Annotated[Word, AfterValidator(units.check_slurm_memory)]
Value: TypeAlias = Annotated[Line, BeforeValidator(_truth_as_text)]
"""The value of an environment variable; true and false are kept as those words."""
Nodes: TypeAlias = Annotated[Word, AfterValidator(grammar.check_nodes)]
Gpus: TypeAlias = Annotated[Word, AfterValidator(gpus.check_count)]
Count: TypeAlias = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]
Signal: TypeAlias = Annotated[
    Word, AfterValidator(lambda text: f"USR1@{grammar.read_signal_lead(text)}")
]
Name: TypeAlias = Annotated[Word, _match(NAME, NAME_FORM, "-")]
Address: TypeAlias = Annotated[Word, _match(_ADDRESS, "an e-mail address")]
Variable: TypeAlias = Annotated[
    Word,
    _match(_VARIABLE, "the name of an environment variable", "_"),
    AfterValidator(_refuse_script_variable),
]
Secret: TypeAlias = Annotated[Variable, AfterValidator(_refuse_export_keyword)]
Array: TypeAlias = Annotated[Word, AfterValidator(grammar.check_array)]
Every: TypeAlias = Annotated[Word, AfterValidator(checkpoint.check_interval)]
Wait: TypeAlias = Annotated[Word, AfterValidator(durations.check_wait)]
Hang: TypeAlias = Annotated[
    Word, BeforeValidator(durations.name_hang), AfterValidator(durations.check_hang)
]
Pattern: TypeAlias = Annotated[Operand, AfterValidator(checkpoint.check_pattern)]
Words: TypeAlias = Annotated[
    tuple[Line, ...], BeforeValidator(_split_words), AfterValidator(checkpoint.check_resume_words)
]
Tee: TypeAlias = Annotated[
    Word, _match(re.compile(r"[0-3]|\d+:[0-3](,\d+:[0-3])*"), "0 to 3, or 0:3,1:2 by local rank")
]
StopSignal: TypeAlias = Annotated[
    Literal["USR1", "USR2", "TERM", "INT", "HUP"], BeforeValidator(_drop_sig_prefix)
]
Flag: TypeAlias = Annotated[Any, AfterValidator(_read_flag)]
"""The value of an sbatch option; true for one that takes none."""
SrunOptions: TypeAlias = dict[Word, Flag]
