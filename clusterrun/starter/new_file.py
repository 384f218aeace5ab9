"""A new job spec as a file: refused options, defaults, and its path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clusterrun.errors import Problem, SpecError
from clusterrun.job_spec.values import NAME, NAME_FORM
from clusterrun.job_spec.yaml_text import typed
from clusterrun.results import NewSpec
from clusterrun.starter import files
from clusterrun.starter.first_spec import SpecRequest
from clusterrun.starter.from_sbatch.draft import Draft
from clusterrun.starter.sbatch import from_sbatch
from clusterrun.starter.script import list_training_scripts, name_of

DEFAULTS = {"nodes": "1", "gpus-per-node": "1", "time": "12:00:00"}
"""sbatch options that are written if neither the user nor the site's profile sets them."""
STDOUT = "-"


@dataclass(frozen=True)
class Target:
    """The destination of a new spec."""

    output: str | None = None
    """The path; `-`: no file; None: `NAME.yaml` in the working folder."""
    force: bool = False
    """Whether to replace an existing file."""
    profile: str | None = None
    """The site's profile, with which the new spec is checked."""


def check_names(name: str | None, script: str | None) -> None:
    """Raise SpecError for a name or a script that cannot be in a spec."""
    if name is not None and not NAME.fullmatch(name):
        raise SpecError([Problem("--name", "", f"{name!r} is not {NAME_FORM}")])
    if script is not None and not script.isprintable():  # this includes invalid UTF-8
        raise SpecError(
            [Problem("--script", "", f"{script!r} has unprintable characters", "rename the file")]
        )


def refuse_options(options: Iterable[str]) -> None:
    """Raise SpecError if there are options that the old script decides."""
    for name in options:
        what = f"cannot be combined with --{name}, which the old script sets"
        raise SpecError([Problem("--from-sbatch", "", what, "edit the new spec instead")])


def only_script(folder: Path) -> str:
    """Return the only training script of a folder. Raises SpecError if there is not exactly one."""
    scripts = list_training_scripts(folder)
    if len(scripts) != 1:
        what = "several training scripts found" if scripts else "no training script found"
        hint = (
            f"add --script with one of {', '.join(scripts)}" if scripts else "add --script train.py"
        )
        raise SpecError([Problem("--script", "", what, hint)])
    return scripts[0]


def default_option(option: str, site: Iterable[str]) -> str:
    """Return the default to write for an sbatch option; empty if the site sets it."""
    return "" if option in site else DEFAULTS.get(option, "")


def slurm_section(values: Mapping[str, str]) -> dict[str, Any]:
    """Return the `slurm` section of a spec; without GPUs it does not mention them."""
    return {
        name: typed(text)
        for name, text in values.items()
        if text and (name, text) != ("gpus-per-node", "0")
    }


def write_new_spec(request: SpecRequest, target: Target) -> NewSpec:
    """Write a new spec. Raises as `new_spec`, and SpecError if writing fails."""
    path = _choose_path(target, request.name or name_of(request.script))
    text = files.text_of_request(request, cwd=Path.cwd(), folder=_folder(path))
    return _write(path, text, target, Draft())


def write_translation(
    script: str, target: Target, *, arguments: Sequence[str] = (), check: bool = True
) -> NewSpec:
    """Write the spec of an old sbatch script; `arguments` as in `from_sbatch`.

    Raises as `from_sbatch`, and SpecError if writing fails.
    """
    draft = from_sbatch(script, arguments=arguments, check=check)
    path = _choose_path(target, str(draft.values["name"]))
    text = files.text_of_draft(draft, script, cwd=Path.cwd(), folder=_folder(path))
    return _write(path, text, target, draft)


def _choose_path(target: Target, name: str) -> Path | None:
    """Return the path of the file; None for standard output."""
    if target.output == STDOUT:
        return None
    path = Path(target.output or f"{name}.yaml")
    if path.exists() and not target.force:
        raise SpecError(
            [
                Problem(
                    "--output",
                    "",
                    f"{path} exists",
                    "use another -o FILE, or --force to replace it",
                )
            ]
        )
    return path


def _folder(path: Path | None) -> Path:
    return path.absolute().parent if path else Path.cwd()


def _write(path: Path | None, text: str, target: Target, draft: Draft) -> NewSpec:
    problems: list[Problem] = []
    if path is not None:
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            what = f"{path}: {(error.strerror or str(error)).lower()}"
            raise SpecError([Problem("--output", "", what)]) from error
        files.write_schema(_folder(path))
        problems = files.find_problems(str(path), target.profile)
    file = "" if path is None else str(path)
    return NewSpec(
        file, text, tuple(draft.mistakes), tuple(draft.notes), tuple(problems), draft.check
    )
