"""Everything around a spec that is not pure: the files it names, the profile, the shell it was typed in."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from clusterrun.errors import Problem, SpecError
from clusterrun.launch import Configs
from clusterrun.plan import Identity, LaunchPlan, make_plan
from clusterrun.profile import find_profile
from clusterrun.script import render
from clusterrun.share import closed_to_group
from clusterrun.spec import Loaded, load_spec
from clusterrun.spec.load import FormError, in_reading_order
from clusterrun.spec.yaml_text import Path as Place
from clusterrun.spec.yaml_text import dotted
from clusterrun.strategy import Batch, check, check_names
from clusterrun.strategy.files import MISSING_HINT
from clusterrun.version import __version__


@dataclass(frozen=True)
class Request:
    """What a user asked for on the command line, or a caller of the functions of the same names."""

    source: str
    overrides: Sequence[str] = ()
    profile: str | None = None
    templates: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    cwd: Path = field(default_factory=Path.cwd)
    own_python: bool = True
    """Whether a spec without an environment gets the Python that is active where the command is typed."""


@dataclass(frozen=True)
class Prepared:
    """A valid spec with what its files hold, what is wrong with them, and what the user should be told."""

    request: Request
    loaded: Loaded
    configs: Configs
    batch: Batch
    """How many samples an optimizer step takes."""
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]

    @property
    def work_dir(self) -> Path:
        """The folder the script will run in, as far as it is known here."""
        return Path(self.loaded.chdir) if self.loaded.chdir else self.request.cwd

    @property
    def run_root(self) -> Path:
        """The folder that holds run folders."""
        return self.work_dir / self.loaded.run_root

    def plan(self, identity: Identity | None = None) -> LaunchPlan:
        """Plan the run; with an identity, in the working folder known here."""
        chdir = self.loaded.chdir or (str(self.work_dir) if identity else None)
        return make_plan(
            self.loaded.spec,
            source=self.loaded.source,
            version=__version__,
            chdir=chdir,
            run_root=self.loaded.run_root,
            identity=identity,
            configs=self.configs,
        )

    @property
    def template_folders(self) -> list[Path]:
        """The user's own templates: those that were named, and a folder of that name beside the spec."""
        beside = Path(self.request.source).absolute().parent / "templates"
        return [*map(Path, self.request.templates), *([beside] if beside.is_dir() else [])]

    def script(self, identity: Identity | None = None) -> str:
        """Render the run's script."""
        return render(self.plan(identity), templates=self.template_folders)


def prepare(request: Request) -> Prepared:
    """Load a spec and look at the files it names. Raises SpecError for mistakes in the spec itself and in options."""
    absent = [
        Problem("--templates", "", f"no such folder: {name}") for name in request.templates if not Path(name).is_dir()
    ]
    if absent:
        raise SpecError(absent)
    profile = find_profile(request.profile, request.environment)
    shell = active_python(request.environment) if request.own_python else {}
    try:
        loaded = load_spec(request.source, overrides=request.overrides, profile=profile, shell=shell)
    except FormError as error:
        raise SpecError(_with_the_rest(error, request.cwd)) from error
    work_dir = Path(loaded.chdir) if loaded.chdir else request.cwd
    found = check(loaded, work_dir)
    problems, notes = [*_files(loaded, work_dir), *found.problems], found.notes
    if shell and loaded.line_of("environment", *shell) == "the shell":
        notes.append(f"no environment in the spec: the active Python is used, {next(iter(shell.values()))}")
    closed = closed_to_group(work_dir / loaded.run_root) if loaded.spec.share else None
    if closed is not None:
        notes.append(f"share: only you can enter {closed}, and run folders lie below it: `chmod g+x` lets the group in")
    problems.sort(key=in_reading_order)
    return Prepared(request, loaded, found.configs, found.batch, tuple(problems), tuple(notes))


# A mistake in the form of these changes nothing of what the files and the strategy are checked for.
_APART = {"checkpoint", "environment", "hang", "name", "requeue", "share"}

# What says where the files are, by its name or by what people write in its place.
_FOLDERS = {"slurm", "slurm.chdir", "slurm.workdir", "slurm.D", "slurm.additional_parameters",
            "slurm.additional_parameters.chdir", "slurm.additional_parameters.workdir"}  # fmt: skip


def _with_the_rest(error: FormError, cwd: Path) -> list[Problem]:
    """Return mistakes of form together with all others that are surely none of their consequences."""
    faults, rest = error.problems, error.rest
    sections = {fault.path.partition(".")[0] for fault in faults}
    hidden = any(fault.path in _FOLDERS or fault.hint == "did you mean chdir?" for fault in faults)
    if rest is None or hidden or not sections <= {*_APART, "slurm", "accelerate"}:
        return list(faults)
    work_dir = Path(rest.chdir) if rest.chdir else cwd
    strategy = check(rest, work_dir).problems if sections <= _APART else check_names(rest, work_dir)
    return sorted({*faults, *_files(rest, work_dir), *strategy}, key=in_reading_order)


def active_python(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the virtual environment of the shell, as the spec would name it; empty where there is none."""
    if environment.get("VIRTUAL_ENV"):
        return {"venv": environment["VIRTUAL_ENV"]}
    if environment.get("CONDA_PREFIX"):
        return {"conda": environment["CONDA_PREFIX"]}
    if sys.prefix != sys.base_prefix and (Path(sys.prefix) / "bin" / "accelerate").exists():
        return {"venv": sys.prefix}
    return {}


def _files(loaded: Loaded, work_dir: Path) -> list[Problem]:
    spec, problems = loaded.spec, []
    if not work_dir.is_dir():
        problems.append(_missing(loaded, ("slurm", "chdir"), "folder", work_dir))
    if spec.script is not None and not (work_dir / spec.script).is_file():
        problems.append(_missing(loaded, ("script",), "file", work_dir / spec.script))
    venv = spec.environment.venv
    if venv is not None and not (work_dir / Path(venv) / "bin" / "activate").is_file():
        problems.append(_missing(loaded, ("environment", "venv"), "virtual environment", work_dir / venv))
    problems.extend(_shell_faults(loaded))
    return problems


def _missing(loaded: Loaded, path: tuple[str, ...], what: str, where: Path) -> Problem:
    return Problem(loaded.line_of(*path), ".".join(path), f"no such {what}: {where}", MISSING_HINT)


def _shell_faults(loaded: Loaded) -> list[Problem]:
    """Let bash look at the user's own shell lines before they wait in a queue."""
    spec = loaded.spec
    lines: list[tuple[Place, str]] = [
        (("environment", "setup", number), line) for number, line in enumerate(spec.environment.setup)
    ]
    if spec.command is not None:
        lines.append((("command",), spec.command))
    if not lines:
        return []
    import shutil  # noqa: PLC0415 - with subprocess 10 ms of a start, for specs with shell lines alone
    import subprocess  # noqa: PLC0415

    bash = shutil.which("bash")
    problems = []
    for path, line in lines if bash else []:
        answer = subprocess.run(
            [str(bash), "-n"], input=line, text=True, capture_output=True, timeout=10, check=False, env={"LC_ALL": "C"}
        )
        if answer.stderr:  # an open here-document, which would swallow the rest of the script, is only a warning
            what = answer.stderr.strip().splitlines()[0].split(": ", 1)[-1]
            problems.append(Problem(loaded.line_of(*path), dotted(path), f"bash cannot read it: {what}"))
    return problems


def identity_of(prepared: Prepared, run_id: str) -> Identity:
    """Give a run its folder."""
    return Identity(run_id, PurePosixPath(prepared.run_root / run_id))
