"""The loader: from YAML, a profile and overrides to one JobSpec, or all mistakes at once."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from clusterrun.errors import Problem, SpecError
from clusterrun.files.reading import read_text
from clusterrun.job_spec import gpu_memory
from clusterrun.job_spec.keys import PROFILE_KEYS, SPEC_KEYS, spell_path
from clusterrun.job_spec.layers import Layers, parse_override
from clusterrun.job_spec.model import JobSpec
from clusterrun.job_spec.parameters import apply_parameters
from clusterrun.job_spec.rules import check_together
from clusterrun.job_spec.shell_layer import add_shell
from clusterrun.job_spec.site_gpus import read_site_gpus, use_site_gpus
from clusterrun.job_spec.value_messages import explain_value
from clusterrun.job_spec.values import NAME, NAME_FORM, read_line
from clusterrun.job_spec.yaml_text import Document, KeyPath, read_yaml


class FormError(SpecError):
    """Mistakes in single values of a spec; `rest` is the spec without them, or None if invalid."""

    def __init__(self, problems: Sequence[Problem], rest: Loaded | None) -> None:
        super().__init__(problems)
        self.rest = rest


class SweepFound(SpecError):
    """A spec that describes a sweep, where one run is expected; `layers` are its merged values."""

    def __init__(self, layers: Layers, name: str) -> None:
        what = "not allowed here: one run is expected, and a sweep is many"
        where = layers.line_of(("sweep",))
        super().__init__([Problem(where, "sweep", what, "select one of its members")])
        self.layers, self.name = layers, name


@dataclass(frozen=True)
class Loaded:
    """A valid spec with its text, the position of each key, and the folders that it names."""

    spec: JobSpec
    """The validated values."""
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
    """The path of the site's defaults below it; None without a profile."""

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
    member: Sequence[Document] | None = None,
) -> Loaded:
    """Load a job spec with the layers below and above it.

    `overrides` are `key=value` texts; `shell` is the lowest layer, such as the active virtual
    environment; `folder` is what `chdir` is relative to (the spec's own folder); `text` is the spec
    itself, if `source` is only a name for it; `member` are the values of one member of its sweep.
    Raises SpecError with every mistake found; it is a FormError if the file itself could be read,
    and SweepFound for a sweep without `member`.
    """
    name = str(source)
    text = _read_text(Path(source), name) if text is None else text
    layers = Layers()
    _add_profile(layers, profile)
    _add_spec(layers, text, name)
    run_root, memory = _apply_layers_above(layers, overrides, shell or {})
    if layers.values.get("sweep") is not None and member is None:
        raise SweepFound(layers, Path(source).name.split(".", maxsplit=1)[0])
    _add_member(layers, member or ())
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
        )  # lexical: no file is read
        below = None if profile is None else str(profile)
        size = None if layers.problems else gpu_memory.size_for_job(memory, spec.slurm)
        loaded = Loaded(spec, name, text, absolute, run_root, layers, size, tuple(overrides), below)
    if loaded is None or layers.problems:
        raise FormError(sorted(set(layers.problems), key=reading_order), loaded)
    return loaded


def _apply_layers_above(
    layers: Layers, overrides: Sequence[str], shell: Mapping[str, Any]
) -> tuple[str, Any]:
    """Apply the options, the shell, the parameters and the site's GPUs to a profile and a spec.

    Return the profile's run root and GPU memory, which are no part of a spec.
    """
    declared = layers.values.get("parameters")
    declared = {**declared} if isinstance(declared, dict) else {}
    _add_overrides(layers, overrides)
    add_shell(layers, shell)
    run_root = str(layers.values.pop("run_root", "runs"))
    memory = layers.values.pop("gpu_memory", {})
    site = read_site_gpus(layers)
    apply_parameters(layers, declared)
    use_site_gpus(layers, site)
    return run_root, memory


def expand_user(path: str) -> Path:
    """Expand `~` and `~user` as a shell does, which keeps `~` of an unknown user."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises for an unknown user


def _name_from_file(layers: Layers, file: str) -> str:
    stem = file.split(".", maxsplit=1)[0]
    if NAME.fullmatch(stem):
        return stem
    layers.add_problem(
        ("name",),
        f"{stem!r}, from the file's name, is not {NAME_FORM}",
        "set name",
    )
    return "run"


def _read_text(path: Path, name: str) -> str:
    try:
        return read_text(path)
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
        hint = "pass the path of a job spec" if isinstance(error, FileNotFoundError) else ""
        raise SpecError(
            [Problem(name, "", (error.strerror or str(error)).lower(), hint)]
        ) from error


def _add_spec(layers: Layers, text: str, name: str) -> None:
    document = read_yaml(text, name)
    if document.value is None:
        raise SpecError([Problem(name, "", "empty file", "start with script: train.py")])
    layers.add(document, SPEC_KEYS, "a job spec")
    layers.where[()] = document.line_of(
        ()
    )  # a missing key is missing from the spec, not from the profile


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
        layers.add_problem(("run_root",), str(error))
    try:
        layers.values["gpu_memory"] = gpu_memory.read_sizes(layers.values.get("gpu_memory"))
    except ValueError as error:
        layers.add_problem(("gpu_memory",), str(error))


def _add_overrides(layers: Layers, overrides: Sequence[str]) -> None:
    for text in overrides:
        try:
            layers.add(parse_override(text), SPEC_KEYS, "a job spec")
        except ValueError as error:
            what, _, hint = str(error).partition("\n")
            layers.problems.append(Problem("--set", "", what, hint))
        except SpecError as error:
            layers.problems.extend(error.problems)


def _add_member(layers: Layers, member: Sequence[Document]) -> None:
    layers.values.pop("sweep", None)
    for document in member:
        try:
            layers.add(document, SPEC_KEYS, "a job spec")
        except SpecError as error:
            layers.problems.extend(error.problems)


def _validate(layers: Layers) -> JobSpec | None:
    """Return the spec without its invalid values, which it records; None if the rest is invalid."""
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


def explain_faults(layers: Layers, error: ValidationError, below: KeyPath) -> list[Problem]:
    """Return the mistakes that pydantic found in the section `below` of the values."""
    faults: list[dict[str, Any]] = [dict(fault) for fault in error.errors(include_url=False)]
    return [_make_problem(layers, {**fault, "loc": (*below, *fault["loc"])}) for fault in faults]


def _drop_value(values: dict[str, Any], place: KeyPath) -> None:
    """Remove the value at a place, or the nearest value around it that has a key."""
    for depth, key in enumerate(place, 1):
        inner = values.get(str(key))
        if depth == len(place) or not isinstance(inner, dict):
            values.pop(str(key), None)
            return
        values = inner


def _key_path(fault: dict[str, Any]) -> KeyPath:
    return tuple(part for part in fault["loc"] if part != "[key]")


def reading_order(problem: Problem) -> tuple[str, int, str, str]:
    """Return the sort key that orders problems by file, line, key and message."""
    name, _, line = problem.where.rpartition(":")
    file, number = (name, int(line)) if line.isdigit() else (problem.where, 0)
    return file, number, problem.key, problem.message


def _make_problem(layers: Layers, fault: dict[str, Any]) -> Problem:
    path = _key_path(fault)
    what, hint = explain_value(fault)
    return Problem(layers.line_of(path), spell_path(path), what, hint)
