"""All that is known of a run as one object: what `status --json` prints, and with `--watch` each of its lines."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from clusterrun.run_folder.attempts import list_attempts
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_status.forecast import outlook
from clusterrun.run_status.from_files import RunStatus


def all_known(found: RunStatus) -> dict[str, object]:
    """Return a run's status, its outlook and its attempts as plain values."""
    attempts = list_attempts(RunPaths(Path(found.folder)))
    return {
        **found.as_dict(),
        **outlook(found).as_dict(),
        "attempts": [asdict(attempt) for attempt in attempts],
    }
