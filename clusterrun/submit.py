"""Hands a run to Slurm, exactly once.

The order is the guarantee. What is about to happen is written first (pending, then the run folder with its
intent); sbatch is called under a lock that its process inherits, so that a client which is killed leaves the lock
with its sbatch; the job id is written last. A later `submit` of the same spec finds what is pending, asks Slurm
for a job made from that run folder's script, and only then, if there is none, calls sbatch.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from clusterrun.errors import ClusterError, SpecError
from clusterrun.index import Index, Run
from clusterrun.paths import RunPaths
from clusterrun.prepare import Prepared, Request, identity_of
from clusterrun.records import read_record, write_record, write_whole
from clusterrun.slurm.commands import NoAnswer, call, installed
from clusterrun.validate import validate

# How long slurmctld may take to show a job that a killed client asked for.
SETTLE_SECONDS = 1.0


def submit(request: Request, *, local: bool = False) -> Run:
    """Make a run of a spec and queue it; returns the run with its job id.

    Raises SpecError for mistakes in the spec, ClusterError where Slurm refuses, NoAnswer where it is not known
    whether the job was queued (call again: it is looked for before anything is queued).
    """
    prepared = validate(request)
    if not local and not installed():
        hint = "`clusterrun submit --local` runs it on this machine; `clusterrun render` shows the script"
        raise ClusterError("sbatch is not on this machine", hint)
    index = Index(request.environment)
    index.make()
    pending = index.pending / _digest(prepared, local=local)
    with _locked(pending.with_suffix(".lock")) as lock:
        run = _begun(pending, prepared)
        index.add(run)
        job_id = _known_job(run, prepared, local=local) or _hand_over(run, prepared, lock, pending, index, local=local)
        write_record(run.paths.job, {"job_id": job_id, "local": int(local), "submitted": int(time.time())})
        run = Run(run.run_id, run.paths, job_id)
        index.add(run)
        _clear(pending)
    return run


def test_only(request: Request) -> tuple[str, str]:
    """Render a spec and let Slurm say whether it would take it; returns the script and sbatch's words.

    Raises ClusterError with sbatch's words where it would not. Without Slurm the words are empty.
    """
    prepared = validate(request)
    script = prepared.script(identity_of(prepared, f"{prepared.loaded.spec.name}-dry-run"))
    if not installed():
        return script, ""
    from clusterrun.slurm.submitit_seam import without_sbatch_variables  # noqa: PLC0415 - only where Slurm is

    environment, _ = without_sbatch_variables(request.environment)
    with _scratch_script(script) as path:
        answer = call(["sbatch", "--test-only", path], environment=environment)
    if answer.code:
        raise ClusterError(answer.err or "sbatch --test-only refused without a word")
    return script, answer.err


@contextmanager
def _scratch_script(text: str) -> Iterator[str]:
    import tempfile  # noqa: PLC0415 - only for a dry run

    with tempfile.NamedTemporaryFile("w", suffix=".sbatch", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        yield file.name


def _digest(prepared: Prepared, *, local: bool) -> str:
    """Name a submission by what was asked for: the file, the values, the folder."""
    spec = prepared.loaded.spec.model_dump_json()
    parts = [str(Path(prepared.request.source).absolute()), spec, str(prepared.run_root), str(local)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _clear(pending: Path) -> None:
    """Drop the record of a submission that is over, and what a killed client left of writing it."""
    for draft in pending.parent.glob(f".{pending.name}.*"):
        draft.unlink(missing_ok=True)
    pending.unlink(missing_ok=True)  # last: from here on another submit is another run


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Hold a lock that child processes inherit: flock(2) belongs to the open file, not to the process."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _begun(pending: Path, prepared: Prepared) -> Run:
    """Take up the submission that was begun for this spec, or begin one; its folder is whole afterwards."""
    run_id = read_record(pending).get("run_id") or _new_id(prepared.loaded.spec.name)
    identity = identity_of(prepared, run_id)
    run = Run(run_id, RunPaths(Path(identity.folder)))
    write_record(pending, {"run_id": run_id, "folder": identity.folder})
    if not run.paths.intent.exists():
        _write_folder(run, prepared, prepared.script(identity))
    return run


def _new_id(name: str) -> str:
    return f"{name}-{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(2).hex()}"


def _write_folder(run: Run, prepared: Prepared, script: str) -> None:
    """Write everything that submitter, node and trainer share; the intent comes last."""
    paths = run.paths
    try:
        paths.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (paths.events, paths.logs, paths.checkpoints, paths.folder / "staging"):
            folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ClusterError(f"cannot make the run folder {paths.folder}: {error.strerror}",
                           "give another run_root in the profile") from error  # fmt: skip
    write_whole(paths.source, prepared.loaded.text)
    resolved = prepared.loaded.spec.model_dump(mode="json", exclude_defaults=True)
    write_whole(paths.spec, yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True))
    write_whole(paths.script, script)
    write_whole(paths.stop, "")
    write_record(paths.intent, {"run_id": run.run_id, "time": int(time.time())})


def _known_job(run: Run, prepared: Prepared, *, local: bool) -> str | None:
    """Find the job that an earlier try may have queued: in the run's files, then in Slurm."""
    written = read_record(run.paths.job).get("job_id")
    attempts = run.paths.attempts()
    if attempts:
        written = written or read_record(run.paths.begin(attempts[0])).get("job_id")
    if written or not (run.paths.events / "submit.sbatch").exists():
        return written or None
    if local:
        return read_record(run.paths.local / "supervisor").get("job_id")
    from clusterrun.slurm.queue import job_with_script  # noqa: PLC0415 - only after a submission broke off

    name = prepared.loaded.spec.name
    found = job_with_script(str(run.paths.script), name)
    if found is None:
        time.sleep(SETTLE_SECONDS)
        found = job_with_script(str(run.paths.script), name)
    return found


def _hand_over(run: Run, prepared: Prepared, lock: int, pending: Path, index: Index, *, local: bool) -> str:
    """Call sbatch, or start the run here; on a clear refusal nothing is left behind."""
    environment = prepared.request.environment
    write_record(run.paths.events / "submit.sbatch", {"time": int(time.time())})
    try:
        if local:
            from clusterrun.local import start  # noqa: PLC0415 - only for a local run

            return start(run.paths, prepared.plan(identity_of(prepared, run.run_id)), environment)
        from clusterrun.slurm.submitit_seam import ScriptExecutor, without_sbatch_variables  # noqa: PLC0415

        clean, _ = without_sbatch_variables(environment)
        return str(ScriptExecutor(run.paths.folder, clean, (lock,)).submit_script(run.paths.script).job_id)
    except NoAnswer:
        raise
    except (ClusterError, SpecError):
        _forget(run, pending, index)
        raise


def _forget(run: Run, pending: Path, index: Index) -> None:
    """Take back what was written for a run that Slurm refused."""
    import shutil  # noqa: PLC0415 - only on a refusal

    index.remove(run.run_id)
    shutil.rmtree(run.paths.folder, ignore_errors=True)
    _clear(pending)
