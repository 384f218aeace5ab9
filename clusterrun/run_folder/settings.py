"""The record `events/submit.settings`: what was decided before a run began, and its format.

`submit` and `resume` write it, or the job script itself if it was piped into sbatch, from the same
words.
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
    """Return the settings of a run that are numbers; what is not known is left out."""
    for folder in _folders_with_records(paths):
        if found := read_record(RunPaths(folder).settings):
            return {
                key: number for key, value in found.items() if (number := whole(value)) is not None
            }
    return _settings_of_format_1(paths)


def _settings_of_format_1(paths: RunPaths) -> dict[str, int]:
    """Read what `main` of the job script sets: 0.1.0 recorded it nowhere else."""
    for folder in _folders_with_records(paths):
        try:
            text = read_text(RunPaths(folder).script, errors="replace")
        except OSError:
            continue
        head = text.partition("\n  prepare_shell\n")[0]
        return {
            _KEYS_OF_FORMAT_1[found[1]]: int(found[2]) for found in _IN_THE_SCRIPT.finditer(head)
        }
    return {}


def read_format(paths: RunPaths) -> int:
    """Return the format of a run folder: the newest number in its records, 1 without one."""
    records = [
        read_record(file)
        for folder in _folders_with_records(paths)
        for file in _records_with_format(RunPaths(folder))
    ]
    return max(1, *(whole(record.get("format")) or 1 for record in records))


def refuse_newer(paths: RunPaths) -> None:
    """Raise ClusterError for a run folder of a format that this version does not know."""
    found = read_format(paths)
    if found > FORMAT:
        what = (
            f"{paths.folder} was made by a newer clusterrun (format {found}; this version reads "
            f"up to {FORMAT})"
        )
        raise ClusterError(what, "upgrade clusterrun")


def _records_with_format(paths: RunPaths) -> tuple[Path, ...]:
    return paths.intent, paths.settings


def _folders_with_records(paths: RunPaths) -> tuple[Path, ...]:
    """A task of an array has the records and the script of the array."""
    return paths.folder, *([paths.folder.parent] if paths.folder.name.startswith("task-") else [])
