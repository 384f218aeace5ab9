"""Rendering of a plan as an sbatch script, with the templates; the only user of Jinja2.

Every value is quoted for the shell by default, and an undefined name is an error. Templates only
loop and test for presence; they never compute.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import PurePath

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from clusterrun.errors import Problem, SpecError
from clusterrun.job_spec.placeholders import fill
from clusterrun.planning.plan import LaunchPlan
from clusterrun.planning.sections import contents
from clusterrun.planning.template_folders import template_folder
from clusterrun.quoting import Shell, control_character, quote

BASE = "base.sbatch.j2"
FUNCTIONS = "functions"
NOTIFY = "75-notify.sh"
# slurm.conf(5): SchedulerParameters max_script_size, 4 megabytes by default
LONGEST_SCRIPT = 4_000_000


def render(plan: LaunchPlan) -> str:
    """Render the job script of a plan.

    The plan's template folders are searched before our own; a `base.sbatch.j2` there may extend
    ours as `clusterrun/base.sbatch.j2`, block by block. Raises SpecError for an error in a user's
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
        raise SpecError([Problem(plan.source, "", f"template not found: {error.name}")]) from error
    except (jinja2.TemplateError, ValueError, TypeError, ArithmeticError) as error:
        raise SpecError([Problem(plan.source, "", f"template: {error}")]) from error
    if len(text.encode()) > LONGEST_SCRIPT:
        raise SpecError(
            [
                Problem(
                    plan.source,
                    "",
                    f"the job script has {len(text.encode())} bytes; Slurm accepts at most 4 MB",
                )
            ]
        )
    return text


class _ShellEnvironment(SandboxedEnvironment):
    """An environment whose blocks render to shell, so that `{{ super() }}` is not quoted again."""

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
    environment.filters["fill"] = fill
    environment.filters["plain"] = Shell
    environment.filters["comment"] = _comment
    environment.filters["heredoc"] = _heredoc
    return environment


def _comment(text: str) -> Shell:
    """Return a text as one line that is safe in a comment."""
    return Shell("".join("?" if control_character(character) else character for character in text))


def _heredoc(text: str, end: str) -> Shell:
    """Return a text that is safe in a here-document with a quoted delimiter. Raises ValueError."""
    if end in text.splitlines():
        raise ValueError(
            f"a config file has the line {end}, which would end its here-document early"
        )
    return Shell(text.rstrip("\n"))
