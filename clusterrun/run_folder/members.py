"""The file `members.json` of a sweep: the name and the values of each member."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress

from clusterrun.files.control_characters import make_printable
from clusterrun.files.reading import read_text
from clusterrun.results import SweepMember
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import write_whole

_MOST_BYTES = 50_000_000


def write_members(paths: RunPaths, members: Iterable[SweepMember]) -> None:
    """Write the members of a sweep."""
    values = [{"number": one.number, "name": one.name, "values": one.values} for one in members]
    write_whole(paths.members, "[\n" + ",\n".join(map(json.dumps, values)) + "\n]\n")


def own_values(paths: RunPaths) -> dict[str, str]:
    """Return the values by which a member differs from its sweep; none for another run."""
    folder = paths.folder
    members = read_members(RunPaths(folder.parent)) if folder.name.startswith("task-") else ()
    return next((one.values for one in members if folder.name == f"task-{one.number}"), {})


def read_members(paths: RunPaths) -> tuple[SweepMember, ...]:
    """Return the members of a sweep; none for a single run, or if the file is corrupt."""
    with suppress(FileNotFoundError, NotADirectoryError, ValueError, TypeError, KeyError):
        listed = json.loads(read_text(paths.members, max_bytes=_MOST_BYTES))
        return tuple(
            SweepMember(
                int(one["number"]),
                make_printable(str(one["name"])),
                {str(key): make_printable(str(value)) for key, value in one["values"].items()},
            )
            for one in listed
        )
    return ()
