"""The surroundings of a spec: the files it names, the profile, and the user's shell."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clusterrun.errors import Problem, SpecError
from clusterrun.files.reading import is_file, is_folder
from clusterrun.job_spec import Loaded, load_spec
from clusterrun.job_spec.load import FormError, SweepFound, reading_order
from clusterrun.job_spec.parameters import note_near_misses
from clusterrun.job_spec.profile import find_profile
from clusterrun.job_spec.yaml_text import Document, KeyPath, dotted
from clusterrun.planning.active_python import check_uv_project, shell_layer
from clusterrun.planning.bash_syntax import syntax_faults
from clusterrun.planning.launch import Launch
from clusterrun.planning.members import Members
from clusterrun.planning.script_arguments import check_script_arguments
from clusterrun.planning.script_syntax import check_script_syntax
from clusterrun.planning.stop_handling import reads_stop_file
from clusterrun.planning.strategy import Batch, check, check_names
from clusterrun.planning.strategy.files import MISSING_HINT
from clusterrun.planning.sweep_preparation import prepare_sweep
from clusterrun.planning.template_folders import find_template_folders
from clusterrun.planning.time_limit import note_time_limit
from clusterrun.planning.value_notes import check_path, note_values
from clusterrun.run_folder.group_access import find_closed_folder
from clusterrun.training_script import TrainingScript
from clusterrun.training_script.reading import parse_script, read_script_text, script_file
from clusterrun.version import __version__


@dataclass(frozen=True)
class Request:
    """A request to prepare a spec, from the command line or from Python."""

    source: str
    overrides: Sequence[str] = ()
    profile: str | None = None
    templates: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    cwd: Path = field(default_factory=Path.cwd)
    own_python: bool = True
    """Whether a spec without an environment uses the Python that is active in the user's shell."""
    text: str | None = None
    """The spec itself, if `source` is only a name for it."""
    member: int | None = None
    """The number of the only member of a sweep that is to run, as a run of its own."""
    tasks: str | None = None
    """The members of a sweep that are to run, as sbatch's --array; by default all."""


@dataclass(frozen=True)
class Prepared:
    """A valid spec with its files' contents, the mistakes in them, and notes for the user."""

    request: Request
    loaded: Loaded
    work_dir: Path
    """The folder that the training script will run in, as far as it is known here."""
    run_root: Path
    """The folder that contains the run folders."""
    profile: Path | None
    templates: tuple[Path, ...]
    """The folders of the user's templates: named ones, and `templates` next to the spec."""
    version: str
    """The version of clusterrun that renders the script."""
    script: TrainingScript | None
    """The training script; None if the spec names none, or its file cannot be read or parsed."""
    reads_stop_file: bool
    """Whether the training looks for the stop file, as far as its text shows."""
    launch: Launch
    batch: Batch
    """How many samples an optimizer step takes."""
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    members: Members | None = None
    """The members of a sweep; `loaded` and `launch` are those of the first one."""


def prepare(request: Request) -> Prepared:
    """Load a spec and read the files it names. Raises SpecError for mistakes in spec or options."""
    try:
        prepared = _prepare_run(request)
    except SweepFound as found:
        return prepare_sweep(request, found, _prepare_run)
    if request.member is not None:
        what = f"{request.source} has no sweep, so it has no member {request.member}"
        raise SpecError([Problem("--member", "", what, "delete --member")])
    return prepared


def _prepare_run(request: Request, member: Sequence[Document] | None = None) -> Prepared:
    _check_template_folders(request)
    profile = find_profile(request.profile, request.environment)
    shell = shell_layer(request.environment) if request.own_python else {}
    try:
        loaded = load_spec(
            request.source,
            overrides=request.overrides,
            profile=profile,
            shell=shell,
            text=request.text,
            member=member,
        )
    except FormError as error:
        raise SpecError(_add_independent_problems(error, request.cwd)) from error
    work_dir = Path(loaded.chdir) if loaded.chdir else request.cwd
    run_root = work_dir / loaded.run_root
    text, script = _read_script(loaded, work_dir)
    checked = check(loaded, work_dir, script)
    templates = find_template_folders(request.source, request.templates)
    problems = [*_check_files(loaded, work_dir, text), *checked.problems, *templates.problems]
    problems += [*check_script_arguments(loaded, work_dir, script), *check_path(loaded)]
    problems.sort(key=reading_order)
    return Prepared(
        request=request,
        loaded=loaded,
        work_dir=work_dir,
        run_root=run_root,
        profile=profile,
        templates=templates.folders,
        version=__version__,
        script=script,
        reads_stop_file=reads_stop_file(loaded, work_dir, script),
        launch=checked.launch,
        batch=checked.batch,
        problems=tuple(problems),
        notes=(
            *templates.notes,
            *checked.notes,
            *note_time_limit(loaded),
            *note_values(loaded),
            *note_near_misses(loaded.layers),
            *_environment_notes(loaded, shell),
            *_share_notes(loaded, run_root),
        ),
    )


def _check_template_folders(request: Request) -> None:
    absent = [
        Problem("--templates", "", f"folder not found: {name}")
        for name in request.templates
        if not is_folder(Path(name))
    ]
    if absent:
        raise SpecError(absent)


def _environment_notes(loaded: Loaded, shell: Mapping[str, str]) -> Iterator[str]:
    key, python = next(iter(shell.items()), ("", ""))
    if key in ("venv", "conda") and loaded.line_of("environment", key) == "the shell":
        yield f"environment: not set in the spec; using the active Python, {python}"


def _share_notes(loaded: Loaded, run_root: Path) -> Iterator[str]:
    closed = find_closed_folder(run_root) if loaded.spec.share else None
    if closed is not None:
        yield (
            f"share: only you can enter {closed}, which contains the run folders; to let the group "
            f"in, run `chmod g+x {closed}`"
        )


def _read_script(loaded: Loaded, work_dir: Path) -> tuple[str | None, TrainingScript | None]:
    """Return a script's text and what was parsed of it, each if there is one."""
    name = script_file(loaded.spec.script, loaded.spec.module)
    text = read_script_text(work_dir / name) if name else None
    return text, None if text is None else _parse_once(name, text)


@functools.lru_cache(maxsize=2)
def _parse_once(name: str, text: str) -> TrainingScript | None:
    """Parse a script once for all members of a sweep."""
    return parse_script(name, text)


# Mistakes in these sections do not affect the checks of files and strategy.
_INDEPENDENT = {"checkpoint", "environment", "hang", "name", "requeue", "share"}

# Keys that decide where files are, and what people write in their place.
_FOLDERS = {
    "slurm",
    "slurm.chdir",
    "slurm.workdir",
    "slurm.D",
    "slurm.additional_parameters",
    "slurm.additional_parameters.chdir",
    "slurm.additional_parameters.workdir",
}


def _add_independent_problems(error: FormError, cwd: Path) -> list[Problem]:
    """Return mistakes in values together with all others that cannot follow from them."""
    faults, rest = error.problems, error.rest
    sections = {fault.key.partition(".")[0] for fault in faults}
    hidden = any(fault.key in _FOLDERS or fault.hint == "did you mean chdir?" for fault in faults)
    if rest is None or hidden or not sections <= {*_INDEPENDENT, "slurm", "accelerate"}:
        return list(faults)
    work_dir = Path(rest.chdir) if rest.chdir else cwd
    text, script = _read_script(rest, work_dir)
    strategy = (
        check(rest, work_dir, script).problems
        if sections <= _INDEPENDENT
        else check_names(rest, work_dir, script)
    )
    return sorted({*faults, *_check_files(rest, work_dir, text), *strategy}, key=reading_order)


def _check_files(loaded: Loaded, work_dir: Path, script: str | None) -> list[Problem]:
    spec, problems = loaded.spec, []
    if not is_folder(work_dir):
        problems.append(_missing_path(loaded, ("slurm", "chdir"), "folder", work_dir))
    if spec.script is not None and not is_file(work_dir / spec.script):
        problems.append(_missing_path(loaded, ("script",), "file", work_dir / spec.script))
    venv = spec.environment.venv
    if venv is not None and not is_file(work_dir / venv / "bin" / "activate"):
        problems.append(
            _missing_path(loaded, ("environment", "venv"), "virtual environment", work_dir / venv)
        )
    problems.extend(check_uv_project(loaded, work_dir))
    problems.extend(check_script_syntax(loaded, work_dir, script))
    problems.extend(_shell_faults(loaded))
    return problems


def _missing_path(loaded: Loaded, path: tuple[str, ...], what: str, where: Path) -> Problem:
    return Problem(
        loaded.line_of(*path), ".".join(path), f"{what} not found: {where}", MISSING_HINT
    )


def _shell_faults(loaded: Loaded) -> list[Problem]:
    """Return the bash syntax errors of the user's shell lines, each checked by itself."""
    spec = loaded.spec
    texts: dict[KeyPath, str] = {
        ("environment", key, number): line
        for key in ("setup_first", "setup", "setup_each_node")
        for number, line in enumerate(getattr(spec.environment, key))
    }
    bodies: dict[KeyPath, str] = {}
    if spec.command is not None:
        bodies["command",] = spec.command
    if isinstance(spec.node_check, str):
        bodies["node_check",] = spec.node_check
    texts |= bodies
    # each of these is the whole body of a function, and a body of comments is a syntax error
    in_braces = [f"{{\n{text}\n}}" for text in bodies.values()]
    faults = syntax_faults([*texts.values(), *in_braces])
    empty = {
        place: "no command, only comments"
        for place, fault in zip(bodies, faults[len(texts) :], strict=True)
        if fault
    }
    faults_by_place = {
        place: fault or empty.get(place) for place, fault in zip(texts, faults, strict=False)
    }
    return [
        _syntax_problem(loaded, place, fault) for place, fault in faults_by_place.items() if fault
    ]


def _syntax_problem(loaded: Loaded, place: KeyPath, fault: str) -> Problem:
    """Return a bash error at the line of the key, or of the element of a list of lines."""
    number, lines = re.match(r"line (\d+): ", fault), loaded.layers.values.get(str(place[0]))
    single = isinstance(lines, list) and not any("\n" in line for line in lines)
    where = (
        loaded.line_of(*place, int(number[1]) - 1) if number and single else loaded.line_of(*place)
    )
    return Problem(where, dotted(place), f"bash syntax error: {fault}")
