"""Plan to sbatch text, through templates/; sole user of Jinja2.

Every value is shell-quoted by default; a name that does not exist is an error; templates loop and
test for presence, and never compute.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path, PurePath

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from clusterrun.errors import Problem, SpecError
from clusterrun.planning.plan import LaunchPlan
from clusterrun.planning.sections import contents
from clusterrun.quoting import Shell, control_character, quote

BASE = "base.sbatch.j2"
FUNCTIONS = "functions"
NOTIFY = "75-notify.sh"
# slurm.conf(5): SchedulerParameters max_script_size, 4 megabytes by default
LONGEST_SCRIPT = 4_000_000


def render(plan: LaunchPlan) -> str:
    """Return the whole script of a plan.

    The plan's template folders are searched before our own; a `base.sbatch.j2` there may extend
    ours as `clusterrun/base.sbatch.j2`, block by block. Raises SpecError for a fault in a user's
    template.
    """
    environment = _environment(plan.templates) if plan.templates else _own_environment()
    try:
        functions = contents(plan, template_folder() / FUNCTIONS)
        text = environment.get_template(BASE).render(plan=plan, spec=plan.spec, functions=functions)
    except jinja2.TemplateSyntaxError as error:
        where = f"{error.filename or error.name}:{error.lineno}"
        raise SpecError([Problem(where, "", f"template: {error.message}")]) from error
    except jinja2.TemplateNotFound as error:
        raise SpecError(
            [Problem(plan.source, "", f"template: no such template: {error.name}")]
        ) from error
    except (jinja2.TemplateError, ValueError, TypeError, ArithmeticError) as error:
        raise SpecError([Problem(plan.source, "", f"template: {error}")]) from error
    if len(text.encode()) > LONGEST_SCRIPT:
        raise SpecError(
            [
                Problem(
                    plan.source, "", f"the script has {len(text.encode())} bytes; Slurm takes 4 MB"
                )
            ]
        )
    return text


def template_folder() -> Path:
    """Find our templates: inside the package in a wheel, next to it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "templates"
    return inside if inside.is_dir() else package.parent / "templates"


class _ShellEnvironment(SandboxedEnvironment):
    """What a block renders to is shell already, so that `{{ super() }}` is not quoted again."""

    concat = staticmethod(lambda parts: Shell("".join(parts)))


@functools.cache
def _own_environment() -> SandboxedEnvironment:
    """Return an environment that keeps our templates compiled; a user's may be added meanwhile."""
    return _environment(())


def _environment(templates: Sequence[PurePath]) -> SandboxedEnvironment:
    ours = jinja2.FileSystemLoader(template_folder())
    loaders = [
        *map(jinja2.FileSystemLoader, templates),
        ours,
        jinja2.PrefixLoader({"clusterrun": ours}),
    ]
    environment = _ShellEnvironment(
        loader=jinja2.ChoiceLoader(loaders),
        undefined=jinja2.StrictUndefined,
        finalize=quote,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["plain"] = Shell
    environment.filters["comment"] = _comment
    environment.filters["heredoc"] = _heredoc
    return environment


def _comment(text: str) -> Shell:
    """Text that may stand in a comment: one line, whatever it is."""
    return Shell("".join("?" if control_character(character) else character for character in text))


def _heredoc(text: str, end: str) -> Shell:
    """Text that may stand in a here-document with a quoted delimiter."""
    if end in text.splitlines():
        raise ValueError(f"a config file has a line {end}, which ends it early")
    return Shell(text.rstrip("\n"))
