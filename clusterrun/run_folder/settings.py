"""The record `events/submit.settings`: the settings of a run, and the format of its folder.

`submit` and `resume` write it; the job script does if it was piped into sbatch.
"""

from __future__ import annotations

import re
from pathlib import Path

from clusterrun.errors import ClusterError
from clusterrun.files.reading import read_text
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record, whole

FORMAT = 2
"""The format of the run folders that this version writes.

Format 1, written by 0.1.0, has no number and no settings.
"""

_KEYS_OF_FORMAT_1 = {
    "num_processes": "num_processes",
    "processes_a_node": "processes_per_node",
    "most_crashes": "max_crashes",
}
"""The variables that a script of 0.1.0 sets, and the keys that have their values since."""
_IN_THE_SCRIPT = re.compile(rf"\b({'|'.join(_KEYS_OF_FORMAT_1)})=([0-9]{{1,9}})\b")


def read_settings(paths: RunPaths) -> dict[str, int]:
    """Return the numeric settings of a run; unknown ones are omitted."""
    for folder in _folders_with_records(paths):
        if record := read_record(RunPaths(folder).settings):
            return {
                key: number for key, value in record.items() if (number := whole(value)) is not None
            }
    return _settings_of_format_1(paths)


def _settings_of_format_1(paths: RunPaths) -> dict[str, int]:
    """Read the variables that `main` of the job script sets: 0.1.0 recorded them nowhere else."""
    for folder in _folders_with_records(paths):
        try:
            text = read_text(RunPaths(folder).script, errors="replace")
        except OSError:
            continue
        head = text.partition("\n  prepare_shell\n")[0]
        return {
            _KEYS_OF_FORMAT_1[match[1]]: int(match[2]) for match in _IN_THE_SCRIPT.finditer(head)
        }
    return {}


def read_format(paths: RunPaths) -> int:
    """Return the format of a run folder: the highest number in its records, 1 without one."""
    records = [
        read_record(file)
        for folder in _folders_with_records(paths)
        for file in _records_with_format(RunPaths(folder))
    ]
    return max(1, *(whole(record.get("format")) or 1 for record in records))


def refuse_newer(paths: RunPaths) -> None:
    """Raise ClusterError if this version does not know the format of a run folder."""
    number = read_format(paths)
    if number > FORMAT:
        what = (
            f"{paths.folder} was written by a newer clusterrun (format {number}; this version "
            f"reads up to {FORMAT})"
        )
        raise ClusterError(what, "upgrade clusterrun")


def _records_with_format(paths: RunPaths) -> tuple[Path, ...]:
    return paths.intent, paths.settings


def _folders_with_records(paths: RunPaths) -> tuple[Path, ...]:
    """Return the folders with a run's records: a task of an array shares those of the array."""
    return paths.folder, *([paths.folder.parent] if paths.folder.name.startswith("task-") else [])
