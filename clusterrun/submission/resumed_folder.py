"""Prepare a run folder for a resume, and restore it if Slurm refuses."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from clusterrun.files.reading import read_bytes
from clusterrun.planning.plan import LaunchPlan
from clusterrun.planning.preparation import Prepared
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record, write_record, write_whole
from clusterrun.submission.exactly_once import Handover, record_job
from clusterrun.submission.saved_request import save_request


def write_submission(
    what: Handover, prepared: Prepared, plan: LaunchPlan, script: str, left: Sequence[RunRef]
) -> None:
    """Write the new script and the intent, then clear requests that would stop an attempt.

    From the intent on, only the new job continues the run: an old one that starts now exits.
    """
    run = what.run
    for path in (run.paths.spec, run.paths.script, run.paths.code, run.paths.code_patch):
        if path.exists() and not numbered_copy(path, what.number - 1).exists():
            os.link(path, numbered_copy(path, what.number - 1))
    write_whole(run.paths.script, script)
    for task in left:
        if attempts := task.paths.attempts():
            write_record(
                task.paths.intent,
                {"run_id": task.run_id, "number": what.number, "after": attempts[-1]},
            )
    save_request(
        run,
        prepared,
        plan.settings,
        what.number,
        what.after,
        array=read_record(run.paths.intent).get("array", ""),
    )
    for one in (run, *left):
        if one.paths.folder.is_dir():
            _clear_past(one.paths)


def _clear_past(paths: RunPaths) -> None:
    """Clear stop, cancel and requeue requests and the crash budget: the user has decided."""
    if paths.stop.exists():
        os.truncate(paths.stop, 0)  # keep the file: with `share: group`, a teammate may write it
    paths.cancelled.unlink(missing_ok=True)
    paths.requeue.unlink(missing_ok=True)
    attempts = paths.attempts()
    if attempts:
        fresh = {"attempt": attempts[-1], "crashes": 0, "idle": 0, "unfit": 0}
        write_record(paths.ledger, {**read_record(paths.ledger), **fresh})
    for name in attempts:
        loaded = read_record(paths.resumed(name))
        if loaded.get("state") == "loading":  # try the checkpoint again
            write_record(paths.resumed(name), {**loaded, "state": "failed"})


def record_jobs(what: Handover, job_id: str) -> RunRef:
    """Record the job of the run, and of the array tasks that it continues."""
    run = record_job(what, job_id)
    for path in run.paths.folder.glob("task-*/events/submit.intent"):
        task = run.task(int(path.parent.parent.name.removeprefix("task-")))
        if read_record(path).get("number") == str(what.number):
            write_record(task.paths.job, {"job_id": task.job_id, "local": 0, "number": what.number})
    return run


def snapshot_files(run: RunRef, left: Sequence[RunRef]) -> dict[Path, bytes | None]:
    """Return the files that `write_submission` changes, in case Slurm refuses."""
    paths = [run.paths.spec, run.paths.script, run.paths.settings]
    paths += [run.paths.code, run.paths.code_patch]
    for one in (run, *left):
        own = one.paths
        paths += [own.stop, own.cancelled, own.ledger, own.intent, own.events / "submit.sbatch"]
        paths += [own.resumed(name) for name in own.attempts()]
    return {path: read_bytes(path) if path.exists() else None for path in paths}


def restore_files(before: Mapping[Path, bytes | None]) -> None:
    """Restore the files of `snapshot_files`."""
    for path, content in before.items():
        if content is None:
            path.unlink(missing_ok=True)
        elif path.name == "stop":
            path.write_bytes(content)
        else:
            write_whole(path, content)


def numbered_copy(path: Path, number: int) -> Path:
    """Return the path of the spec or script of submission `number`."""
    return path.with_name(f"{path.stem}-{number}{path.suffix}")
