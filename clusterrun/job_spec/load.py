"""The loader: from YAML, a profile and overrides to one JobSpec, with every mistake at once."""

from __future__ import annotations

import copy
import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from clusterrun.errors import Problem, SpecError
from clusterrun.job_spec import gpu_memory
from clusterrun.job_spec.layers import PROFILE_KEYS, SPEC_KEYS, Layers, parse_override, spell_path
from clusterrun.job_spec.model import JobSpec
from clusterrun.job_spec.rules import check_together
from clusterrun.job_spec.values import NAME, NAME_FORM, name_kind, read_line
from clusterrun.job_spec.yaml_text import Document, KeyPath, read_yaml

# Of a setup line: what activates an environment, loads a module, reads a file with more lines, or
# changes PATH.
_MAY_SELECT_PYTHON = re.compile(
    r"activate|conda|mamba|module|\bml\b|source|(?<![\w/.])\.\s|\bPATH\b|spack|eval|py(?:env|thon)"
)


class FormError(SpecError):
    """What is wrong with a spec's form, and the rest of it; None where what is left is no spec."""

    def __init__(self, problems: Sequence[Problem], rest: Loaded | None) -> None:
        super().__init__(problems)
        self.rest = rest


@dataclass(frozen=True)
class Loaded:
    """A valid spec with its text, the position of each key, and the folders it names."""

    spec: JobSpec
    """The values, checked."""
    source: str
    """The file's name as the user typed it."""
    text: str
    """The file as the user wrote it."""
    chdir: str | None
    """The absolute working folder, if the spec names one."""
    run_root: str
    """Where run folders are created; `runs` in the working folder, unless the profile sets it."""
    layers: Layers
    """Where each value comes from."""
    gpu_memory: int | None = None
    """The bytes of each GPU that the job requests, if the profile has them."""
    overrides: tuple[str, ...] = ()
    """The overrides, as `key=value`."""
    profile: str | None = None
    """The site's defaults below it; None: there are none."""

    def line_of(self, *path: str | int) -> str:
        """Return the position of a key of the spec, as file:line."""
        return self.layers.line_of(path)


def load_spec(
    source: str | Path,
    *,
    overrides: Sequence[str] = (),
    profile: str | Path | None = None,
    shell: Mapping[str, Any] | None = None,
    folder: Path | None = None,
    text: str | None = None,
) -> Loaded:
    """Read a job spec with the layers below and above it.

    `overrides` are `key=value` texts; `shell` is the lowest layer, such as the active virtual
    environment; `folder` is what `chdir` is relative to (the spec's own folder); `text` is the spec
    itself, if `source` is only a name for it. Raises SpecError with every mistake found; it is a
    FormError where the file itself could be read.
    """
    name = str(source)
    text = _read_text(Path(source), name) if text is None else text
    layers = Layers()
    _add_profile(layers, profile)
    _add_spec(layers, text, name)
    _add_overrides(layers, overrides)
    _add_shell(layers, shell or {})
    run_root = str(layers.values.pop("run_root", "runs"))
    memory = layers.values.pop("gpu_memory", {})
    if "name" not in layers.values:
        layers.values["name"] = _name_from_file(layers, Path(source).name)
    check_together(layers)
    spec = _validate(layers)
    loaded = None
    if spec is not None:
        base = folder or Path(source).absolute().parent
        chdir = spec.slurm.chdir
        absolute = (
            os.path.normpath(base / expand_user(chdir)) if chdir else None
        )  # lexical: no file is touched
        site = None if profile is None else str(profile)
        size = None if layers.problems else gpu_memory.size_for_job(memory, spec.slurm)
        loaded = Loaded(spec, name, text, absolute, run_root, layers, size, tuple(overrides), site)
    if loaded is None or layers.problems:
        raise FormError(sorted(set(layers.problems), key=reading_order), loaded)
    return loaded


def expand_user(path: str) -> Path:
    """Expand `~` and `~user` as a shell does: that of a user who does not exist stays as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises for an unknown user


def _name_from_file(layers: Layers, file: str) -> str:
    stem = file.split(".", maxsplit=1)[0]
    if NAME.fullmatch(stem):
        return stem
    layers.fault(
        ("name",),
        f"the file's name gives {stem!r}, which is not {NAME_FORM}",
        "give the run a name",
    )
    return "run"


def _read_text(path: Path, name: str) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise SpecError(
            [
                Problem(
                    name,
                    "",
                    f"not UTF-8 text: byte {error.start} is {error.object[error.start]:#x}",
                )
            ]
        ) from error
    except OSError as error:
        hint = "give the path of a job spec" if isinstance(error, FileNotFoundError) else ""
        raise SpecError(
            [Problem(name, "", (error.strerror or str(error)).lower(), hint)]
        ) from error


def _add_spec(layers: Layers, text: str, name: str) -> None:
    document = read_yaml(text, name)
    if document.value is None:
        raise SpecError(
            [Problem(name, "", "an empty file", "the shortest spec is: script: train.py")]
        )
    layers.add(document, SPEC_KEYS, "a job spec")
    layers.where[()] = document.line_of(
        ()
    )  # what is not there is missing from the spec, not from the profile


def _add_profile(layers: Layers, profile: str | Path | None) -> None:
    if profile is None:
        return
    document = read_yaml(_read_text(Path(profile), str(profile)), str(profile))
    layers.add(document, PROFILE_KEYS, "a profile")
    root = layers.values.get("run_root")
    try:
        layers.values["run_root"] = read_line(
            os.path.expandvars(expand_user(read_line(root or "runs")))
        )
    except ValueError as error:
        layers.fault(("run_root",), str(error))
    try:
        layers.values["gpu_memory"] = gpu_memory.read_sizes(layers.values.get("gpu_memory"))
    except ValueError as error:
        what, _, hint = str(error).partition("\n")
        layers.fault(("gpu_memory",), what, hint)


def _add_overrides(layers: Layers, overrides: Sequence[str]) -> None:
    for text in overrides:
        try:
            layers.add(parse_override(text), SPEC_KEYS, "a job spec")
        except ValueError as error:
            layers.problems.append(Problem("--set", "", str(error)))
        except SpecError as error:
            layers.problems.extend(error.problems)


def _add_shell(layers: Layers, shell: Mapping[str, Any]) -> None:
    """Use the shell's own Python, if nothing else selects a Python."""
    environment = layers.values.get("environment") or {}
    if shell and isinstance(environment, dict) and not _selects_python(environment):
        where: dict[KeyPath, str] = {(): "the shell"} | {
            ("environment", key): "the shell" for key in shell
        }
        layers.add(Document({"environment": dict(shell)}, where), SPEC_KEYS, "a job spec")


def _selects_python(environment: Mapping[str, Any]) -> bool:
    """Return whether the spec selects the Python, as far as that can be seen.

    Lines such as `ulimit` in `setup` do not.
    """
    return any(environment.get(key) for key in ("venv", "conda", "modules")) or bool(
        _MAY_SELECT_PYTHON.search(str(environment.get("setup") or ""))
    )


def _validate(layers: Layers) -> JobSpec | None:
    """Return the spec without its invalid values, which are noted; None if the rest is no spec."""
    try:
        return JobSpec.model_validate(layers.values)
    except ValidationError as error:
        faults = [dict(fault) for fault in error.errors(include_url=False)]
    layers.problems.extend(_make_problem(layers, fault) for fault in faults)
    rest = copy.deepcopy(layers.values)
    for fault in faults:
        _drop_value(rest, _key_path(fault))
    try:
        return JobSpec.model_validate(rest)
    except ValidationError:
        return None


def _drop_value(values: dict[str, Any], place: KeyPath) -> None:
    """Take out the value at a place, or the nearest one around it that has a key."""
    for depth, key in enumerate(place, 1):
        inner = values.get(str(key))
        if depth == len(place) or not isinstance(inner, dict):
            values.pop(str(key), None)
            return
        values = inner


def _key_path(fault: dict[str, Any]) -> KeyPath:
    return tuple(part for part in fault["loc"] if part != "[key]")


def reading_order(problem: Problem) -> tuple[str, int, str]:
    """Return what sorts problems by file, line and key."""
    name, _, line = problem.where.rpartition(":")
    return (name, int(line), problem.key) if line.isdigit() else (problem.where, 0, problem.key)


def _make_problem(layers: Layers, fault: dict[str, Any]) -> Problem:
    path = _key_path(fault)
    what, hint = _explain_fault(fault)
    return Problem(layers.line_of(path), spell_path(path), what, hint)


def _explain_fault(fault: dict[str, Any]) -> tuple[str, str]:
    """Turn one of pydantic's faults into what a user can act on."""
    kind, given, context = str(fault["type"]), fault["input"], fault.get("ctx") or {}
    got = f"got {_show_value(given)}"
    if kind == "value_error":
        what, _, hint = str(context["error"]).partition("\n")
        return what, hint
    if kind == "literal_error":
        choices = [
            part.strip(" '") for part in str(context["expected"]).replace(" or ", ", ").split(",")
        ]
        near = difflib.get_close_matches(str(given), choices, n=1)
        hint = f"did you mean {near[0]}?" if near else ""
        return f"must be one of {', '.join(choices)}; {got}", hint
    limits = {"greater_than_equal": ("ge", "at least"), "less_than_equal": ("le", "at most")}
    if kind in limits:
        key, words = limits[kind]
        return f"must be {words} {context[key]}, {got}", ""
    shapes = {
        "string": "one line of text",
        "int": "a whole number",
        "bool": "true or false",
        "dict": "a mapping",
        "tuple": "a list",
        "model": "a mapping",
    }
    for start, shape in shapes.items():
        if kind.startswith(start):
            return f"must be {shape}, {got}", ""
    return str(fault["msg"]), ""


def _show_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return (
        repr(value[:80])
        if isinstance(value, str)
        else getattr(value, "text", None) or name_kind(value)
    )
