"""The members of a sweep, or the tasks of a job array, as names that commands take."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.members import read_members
from clusterrun.run_folder.records import read_record
from clusterrun.slurm.ids import task_numbers

_MOST_NAMED = 5


def list_numbers(run: RunRef) -> list[int]:
    """List the numbers of an array's tasks; none for a single run, and for a teammate's run."""
    try:
        array = read_record(run.paths.intent).get("array")
    except OSError:  # who may read the logs of a shared run may not read this record
        return []
    return list(task_numbers(array)) if array else []


def refuse_array(run: RunRef, what: str, only: Collection[int] = ()) -> tuple[str, str]:
    """Return an error and a hint for a command that needs one member of an array.

    `what` is what each member has of its own, such as `output`; `only` are the members that have
    it already, if that is known.
    """
    kind, member = ("sweep", "member") if read_members(run.paths) else ("job array", "task")
    numbers = list_numbers(run)
    each = f"{len(numbers)} {member}s; each is a separate run with its own {what}"
    names = name_members(run, sorted(only) or numbers)
    hint = f"name one of them: {names} (`clusterrun status {run.run_id}` shows all)"
    return f"{run.run_id} is a {kind} of {each}", hint


def name_members(run: RunRef, numbers: Collection[int]) -> str:
    """Return the run ids of members with their values, at most five, in one line."""
    names = [*_list_names(run, numbers)]
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED] + ([f"and {more} more"] if more > 0 else []))


def _list_names(run: RunRef, numbers: Collection[int]) -> Iterator[str]:
    values = {one.number: one.values for one in read_members(run.paths)}
    for number in numbers:
        facts = " ".join(
            f"{path.rpartition('.')[2]}={value}" for path, value in values.get(number, {}).items()
        )
        yield f"{run.run_id}-{number}" + (f" ({facts})" if facts else "")
