"""The preparation of a sweep: each member is checked as a run, each mistake is reported once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from pydantic import ValidationError

from clusterrun.errors import Problem, SpecError
from clusterrun.job_spec import JobSpec
from clusterrun.job_spec.layers import assign, split_key
from clusterrun.job_spec.load import SweepFound, explain_faults, reading_order
from clusterrun.job_spec.model import Environment
from clusterrun.job_spec.sweep import Sweep
from clusterrun.job_spec.values import NAME, NAME_FORM, read_argument
from clusterrun.job_spec.yaml_text import Document
from clusterrun.planning.launch import script_lines
from clusterrun.planning.members import Member, Members
from clusterrun.sweeps.expansion import Expansion
from clusterrun.sweeps.names import member_names, sweep_name, unknown_placeholders
from clusterrun.sweeps.settings import Row, describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from clusterrun.planning.preparation import Prepared, Request

MOST_CHECKED = 100
"""The first members are each checked as a run; the others only if they have a new value."""
PrepareRun: TypeAlias = "Callable[[Request, Sequence[Document]], Prepared]"


def prepare_sweep(request: Request, found: SweepFound, prepare_run: PrepareRun) -> Prepared:
    """Return the preparation of a sweep, or of one of its members as a run of its own.

    Raises SpecError with every mistake in the sweep, and in its members.
    """
    template = str(found.layers.values.get("name") or found.name)
    base = sweep_name(template) or found.name
    rows, section = _expand(found, template)
    names = member_names(template, base, rows)
    _check_names(found, [base, *names])
    if request.member is not None:
        if not 0 <= request.member < len(rows):
            what = f"the sweep has no member {request.member}"
            raise SpecError([Problem("--member", "", what, f"use 0 to {len(rows) - 1}")])
        row = rows[request.member]
        return prepare_run(request, _documents(row, names[request.member], None))
    tasks = request.tasks or (f"0-{len(rows) - 1}" if len(rows) > 1 else "0")
    if section.max_running is not None:
        tasks += f"%{section.max_running}"
    checked = _Checks(request, prepare_run, base, tasks)
    every = [checked.member(number, names[number], row) for number, row in enumerate(rows)]
    first = checked.first(found)
    members = Members(
        tuple(one for one in every if one is not None),
        found.layers.values["sweep"],
        template,
        found.layers.values,
    )
    return replace(first, members=members)


def _expand(found: SweepFound, template: str) -> tuple[list[Row], Sweep]:
    """Return the settings of every member. Raises SpecError for mistakes in the section."""
    layers = found.layers
    values = layers.values["sweep"]
    problems: list[Problem] = []
    section = Sweep()
    try:
        section = Sweep.model_validate(values)
    except ValidationError as error:
        problems += explain_faults(layers, error, ("sweep",))
    expansion = Expansion(values, layers.line_of)
    problems += expansion.problems
    rows = expansion.rows
    swept = {one.path: one for row in rows for one in row}
    problems += [
        Problem(f"--set {path}", path, "is set by the sweep", f"delete it there, at {one.where}")
        for path, one in swept.items()
        if layers.where.get(split_key(path)) == f"--set {path}"
    ]
    if (layers.values.get("slurm") or {}).get("array") is not None:
        hint = "delete it: a sweep is a job array; to repeat its members, add a seed to the grid"
        where = layers.line_of(("slurm", "array"))
        problems.append(Problem(where, "slurm.array", "cannot be combined with sweep", hint))
    for name in unknown_placeholders(template, rows) if rows else []:
        what = f"unknown placeholder {{{name}}}: the sweep does not set it in every member"
        hint = f"use one of {', '.join(sorted(swept))}"
        problems.append(Problem(layers.line_of(("name",)), "name", what, hint))
    if problems:  # else the members have those of the layers, too
        raise SpecError(sorted({*problems, *layers.problems}, key=reading_order))
    return rows, section


def _check_names(found: SweepFound, names: Sequence[str]) -> None:
    wrong = next((name for name in names if not NAME.fullmatch(name)), None)
    if wrong is not None:
        where = found.layers.line_of(("name",))
        what = f"{wrong[:80]!r} is not {NAME_FORM}"
        raise SpecError([Problem(where, "name", what, "use fewer or shorter values in name")])


def _documents(row: Row, name: str, tasks: str | None) -> list[Document]:
    """Return the values of a member as layers of the spec; with `tasks` as one task of an array."""
    documents = [assign(split_key(one.path), one.value, one.where) for one in row]
    documents.append(assign(("name",), name, ""))
    if tasks is not None:
        documents.append(assign(("slurm", "array"), tasks, ""))
    for document in documents[len(row) :]:
        document.where.clear()  # messages name the user's own lines
    return documents


class _Checks:
    """Checks the members of one sweep, and collects their mistakes."""

    def __init__(self, request: Request, prepare_run: PrepareRun, base: str, tasks: str) -> None:
        self._request, self._prepare_run = request, prepare_run
        self._base, self._tasks = base, tasks
        self._prepared: dict[tuple[object, ...], Prepared] = {}
        self._seen: set[tuple[str, str]] = set()
        self._faults: dict[Problem, list[tuple[int, Row]]] = {}
        self._count = 0

    def member(self, number: int, name: str, row: Row) -> Member | None:
        """Return a member with its command; None if it has mistakes."""
        shape = tuple(_shape(one.path, one.value) for one in row)
        new = {one.identity for one in row} - self._seen
        self._seen |= new
        if number < MOST_CHECKED or new or shape not in self._prepared:
            return self._check(number, name, row, shape)
        prepared = self._prepared[shape]
        spec = _with_values(prepared.loaded.spec, row)
        head = len(prepared.launch.lines) - len(script_lines(prepared.loaded.spec))
        lines = (*prepared.launch.lines[:head], *script_lines(spec))
        if spec.command is not None:
            lines = prepared.launch.lines
        return Member(number, name, row, lines, spec.environment.variables)

    def _check(self, number: int, name: str, row: Row, shape: tuple[object, ...]) -> Member | None:
        self._count += 1
        try:
            prepared = self._prepare_run(self._request, _documents(row, self._base, self._tasks))
        except SpecError as error:
            problems: Sequence[Problem] = error.problems
        else:
            self._prepared.setdefault(shape, prepared)
            problems = prepared.problems
        for problem in problems:
            self._faults.setdefault(problem, []).append((number, row))
        if problems:
            return None
        variables = prepared.loaded.spec.environment.variables
        return Member(number, name, row, prepared.launch.lines, variables)

    def first(self, found: SweepFound) -> Prepared:
        """Return the preparation of the first member. Raises SpecError with all mistakes."""
        if self._faults:
            problems = [self._explain(problem, at) for problem, at in self._faults.items()]
            raise SpecError(sorted(problems, key=reading_order))
        every = [*self._prepared.values()]
        heads = {_head(one) for one in every}
        if len(heads) > 1:
            what = "the members need different job scripts: these values change how accelerate runs"
            hint = "submit one sweep per value"
            raise SpecError([Problem(found.layers.line_of(("sweep",)), "sweep", what, hint)])
        return every[0]

    def _explain(self, problem: Problem, at: list[tuple[int, Row]]) -> Problem:
        """Return a mistake with the values of the first member that has it, unless all have it."""
        message = problem.message.replace("slurm.array", "sweep")
        hint = problem.hint.replace("slurm.array", "sweep")
        if len(at) < self._count or self._count == 1:
            number, row = at[0]
            more = f" and {len(at) - 1} more" if len(at) > 1 else ""
            message = f"{message} (member {number}{more}: {describe(row)})"
        return replace(problem, message=message, hint=hint)


def _shape(path: str, value: Any) -> tuple[str, str]:
    """Return what decides how a value reaches the command, apart from the value itself."""
    plain = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    return path, "value" if plain else repr(value)


def _with_values(spec: JobSpec, row: Row) -> JobSpec:
    """Return a checked spec with the values of a member that sets the same paths."""
    args, variables = spec.args, dict(spec.environment.variables)
    for one in row:
        section, *_, key = split_key(one.path)
        if section == "args":
            args = {**args, key: read_argument(one.value)}
        else:
            variables[key] = one.value
    environment = Environment.model_validate(
        {**spec.environment.model_dump(), "variables": variables}
    )
    return spec.model_copy(update={"args": args, "environment": environment})


def _head(prepared: Prepared) -> str:
    """Return what the members of a sweep must have in common, as a text."""
    launch, spec = prepared.launch, prepared.loaded.spec
    lines = (
        launch.lines[: len(launch.lines) - len(script_lines(spec))] if spec.command is None else ()
    )
    return repr((replace(launch, lines=tuple(lines)), spec.slurm, spec.accelerate))
