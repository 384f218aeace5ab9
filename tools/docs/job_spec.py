"""Writes docs/reference/job-spec.md from the models: `python tools/docs/job_spec.py`.

A test compares the page with this script's output.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from clusterrun import units
from clusterrun.job_spec import keys, options
from clusterrun.job_spec.docstrings import field_docstrings
from clusterrun.job_spec.model import Accelerate, Checkpoint, Environment, JobSpec, Requeue, Slurm
from clusterrun.job_spec.sweep import Sweep
from clusterrun.job_spec.values import NAME_FORM

sys.path.insert(0, str(Path(__file__).parent))
from job_spec_prose import (
    ARRAYS,
    CHECKPOINTS,
    INTRODUCTION,
    NOTICES,
    PARAMETERS,
    PLACEHOLDERS,
    SHARING,
)

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "job-spec.md"

SECTIONS: dict[str, type[BaseModel]] = {
    "slurm": Slurm,
    "accelerate": Accelerate,
    "environment": Environment,
    "checkpoint": Checkpoint,
    "requeue": Requeue,
    "sweep": Sweep,
}


def docstring_of(section: str, field: str) -> str:
    """Return what the model says of a field; `section` is empty for the spec itself."""
    return field_docstrings(SECTIONS[section] if section else JobSpec).get(field, "")


# The form of a value, where its Python type says too little.
FORMS = {
    "Argument": "value",
    "Name": "name",
    "Time": "time",
    "Memory": "memory",
    "Nodes": "whole number",
    "Gpus": "GPUs",
    "Count": "whole number",
    "Signal": "`USR1@<seconds>`",
    "Array": "array",
    "Every": "interval",
    "Hang": "`auto`, duration, or false",
    "Pattern": "pattern",
    "Words": "text, or list of words",
    "StopSignal": "`USR1`, `USR2`, `TERM`, `INT`, `HUP`",
    "Variable": "name of a variable",
    "ShellText": "shell",
    "Flag": "text",
    "Word": "text",
    "Operand": "text",
}

# Fields that take more than one shape.
SHAPES = {
    "JobSpec.notify": "list of mappings, see [notify](#notify)",
    "JobSpec.args": "mapping, or list of words",
    "Environment.setup": "shell, or list of shell",
    "Environment.setup_first": "shell, or list of shell",
    "Environment.setup_each_node": "shell, or list of shell",
    "Environment.module_use": "text, or list of text",
}

# What a field means is its docstring. These are Slurm's or accelerate's words, or say it by their
# name.
WORDS = {
    "slurm": "as sbatch's `--{}`",
    "accelerate": "as in accelerate's config file",
    "environment": "",
    "checkpoint": "",
    "requeue": "",
    "sweep": "",
    "": "",
}
MEANINGS = {
    "name": "the name of the job and its runs; by default the name of the file",
    "slurm": "the request to Slurm, see [slurm](#slurm)",
    "accelerate": "how processes are launched, see [accelerate](#accelerate)",
    "environment": "what the shell on the nodes needs first, see [environment](#environment)",
    "checkpoint": (
        "how often the run is saved, and how a script resumes, see [checkpoint](#checkpoint)"
    ),
    "requeue": "when the run restarts by itself, see [requeue](#requeue)",
    "accelerate.config_file": (
        "an accelerate YAML of yours, used unchanged; only the rendezvous is overridden"
    ),
    "accelerate.gradient_accumulation_steps": "reaches `Accelerator()` under every strategy",
    "environment.module_purge": "`module purge`, before the modules",
    "environment.modules": "`module load`, one by one, in this order",
    "environment.venv": "the folder of a virtual environment",
    "environment.conda": "the name or folder of a conda environment",
    "environment.variables": "exported as they are",
    "checkpoint.keep": "how many checkpoints to keep",
    "requeue.on": "the causes after which the run restarts",
}
FOOTNOTES = f"""\
A *time* is {units.SLURM_TIME_FORMS}, or UNLIMITED.
A *memory* is {units.SLURM_MEMORY_FORMS}.
*GPUs* are `4` or `a100:4`.
A *duration* is one or more numbers with `s`, `min`, `h`, `d` or `w`, such as `90s`, `1.5h`, \
`1 h 30 min` or `2 days`,
or a *time* with a colon or a dash, such as `1:30:00`.
An *interval* is a duration, `500 steps` or `auto`.
An *array* is `0-3`, `1,3,5` or `0-15:4`, with `%2` after it for two tasks at once.
A *name* is {NAME_FORM.removeprefix("a name: ")}.
*Shell* is copied into the script as written.
"""


def form(annotation: Any) -> str:
    """Name the form of a value; `None` in a union says only that the key can be left out."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if origin in (Union, types.UnionType):
        return " or ".join(form(part) for part in parts if part is not type(None))
    if origin is tuple:
        return (
            f"list of {form(parts[0])}"
            if get_origin(parts[0]) is Literal
            else f"list: {form(parts[0])}"
        )
    if origin is dict or annotation is dict:
        return "mapping"
    plain = {bool: "true or false", int: "whole number", str: "text"}
    if annotation in plain:
        return plain[annotation]
    return (
        "mapping" if isinstance(annotation, type) and issubclass(annotation, BaseModel) else "value"
    )


def named_form(model: type[BaseModel], name: str, field: FieldInfo) -> str:
    """Name the form of a field by its type's name in the model's source, or by its parts."""
    if (path := f"{model.__name__}.{name}") in SHAPES:
        return SHAPES[path]
    written = str(model.__annotations__[name]).removesuffix(" | None")
    if written.startswith("tuple["):
        inner = written.removeprefix("tuple[").split(",")[0].split("[")[0]
        return f"list: {FORMS[inner]}" if inner in FORMS else form(field.annotation)
    return FORMS.get(written) or form(field.annotation)


def default(field: FieldInfo) -> str:
    """Write a field's default as YAML would; nothing where a key is left out by default."""
    value = field.default
    if value is PydanticUndefined or value in (None, (), {}) or isinstance(value, BaseModel):
        return ""
    return f"`[{', '.join(value)}]`" if isinstance(value, tuple) else f"`{value}`"


def rows(section: str, model: type[BaseModel]) -> Iterator[str]:
    """Write one table row a field."""
    yield "| key | value | default | |"
    yield "|---|---|---|---|"
    for name, field in model.model_fields.items():
        path = f"{section}.{name}" if section else name
        key = (
            name.replace("_", "-")
            if section == "slurm" and name != "additional_parameters"
            else name
        )
        meaning = docstring_of(section, name) or MEANINGS.get(path) or WORDS[section].format(key)
        shape = named_form(model, name, field)
        yield f"| `{key}` | {shape} | {default(field)} | {one_line(meaning)} |"


def one_line(text: str) -> str:
    """Put a docstring into one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def reasons(table: dict[str, str], prefix: str = "") -> Iterator[str]:
    """Yield keys by the reason why they are refused."""
    grouped: dict[str, list[str]] = {}
    for name, why in table.items():
        grouped.setdefault(why, []).append(f"`{prefix}{name}`")
    for why, names in grouped.items():
        yield f"- {', '.join(names)}: {why}"


def page() -> str:
    """Return the whole page."""
    lines = [INTRODUCTION, "## The keys", "", *rows("", JobSpec), "", FOOTNOTES]
    for name, model in SECTIONS.items():
        lines += [
            f"## {name}",
            "",
            (model.__doc__ or "").splitlines()[0],
            "",
            *rows(name, model),
            "",
        ]
        if name == "slurm":
            lines += [ARRAYS, *slurm_rest()]
        if name == "checkpoint":
            lines.append(CHECKPOINTS)
        if name == "accelerate":
            lines += [
                "Set by the job script, so a spec does not take them:",
                "",
                *reasons(keys.COMPUTED),
                "",
            ]
    return "\n".join([*lines, PARAMETERS, PLACEHOLDERS, NOTICES, SHARING]).rstrip() + "\n"


def slurm_rest() -> Iterator[str]:
    """List sbatch's options that have no field: passed on, or refused with the reason."""
    typed = {name.replace("_", "-") for name in Slurm.model_fields}
    passed = sorted(
        name for name in options.KNOWN - typed if not options.reason_refused(name, launcher=True)[0]
    )
    yield "Passed on to sbatch as written; `true` is an option without a value:"
    yield ", ".join(f"`{name}`" for name in passed) + "."
    yield ""
    yield "Not taken, with the reason:"
    yield ""
    tasks = dict.fromkeys(
        sorted(options.TASKS), "Slurm must start one task a node; processes are started below it"
    )
    yield from reasons({**options.OWNED, **tasks, **options.REFUSED})
    yield ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
