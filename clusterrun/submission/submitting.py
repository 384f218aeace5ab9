"""`submit`: makes a run of a job spec, and hands it to Slurm exactly once (how: see handover)."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from clusterrun.errors import ClusterError, SpecError
from clusterrun.planning.plan import Identity, LaunchPlan, identity_of
from clusterrun.planning.preparation import Prepared, Request, prepare
from clusterrun.planning.validation import plan_and_render, refuse_problems
from clusterrun.results import DryRun
from clusterrun.run_folder.group_access import open_to_group
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import locked, read_record, write_record, write_whole
from clusterrun.slurm.commands import NoAnswer, installed
from clusterrun.slurm.commands import call as ask
from clusterrun.submission.exactly_once import (
    Handover,
    clear_pending,
    find_known_job,
    queue_job,
    record_job,
)
from clusterrun.submission.saved_request import save_request


def submit(request: Request, *, local: bool = False) -> RunRef:
    """Make a run of a spec and queue it; returns the run with its job id.

    Raises SpecError for mistakes in the spec, ClusterError where Slurm refuses, NoAnswer where it
    is not known whether the job was queued (call again: it is looked for before anything is
    queued).
    """
    return submit_prepared(prepare(request), local=local)


def submit_prepared(prepared: Prepared, *, local: bool = False) -> RunRef:
    """Submit a spec that is prepared already; returns and raises what `submit` does."""
    refuse_problems(prepared)
    if not local and not installed():
        hint = (
            "`clusterrun submit --local` runs it on this machine; `clusterrun render` shows the "
            "script"
        )
        raise ClusterError("sbatch is not on this machine", hint)
    if local and prepared.loaded.spec.slurm.array:
        raise ClusterError(
            "slurm.array asks for several jobs; --local runs one", "add --set slurm.array=null"
        )
    index = Index(prepared.request.environment)
    index.make()
    pending = index.pending / _digest_request(prepared, local=local)
    with locked(pending.with_suffix(".lock")) as lock:
        identity = identity_of(
            prepared, read_record(pending).get("run_id") or _new_id(prepared.loaded.spec.name)
        )
        plan, script = plan_and_render(prepared, identity)
        run = _begin_submission(pending, prepared, identity, plan, script)
        index.add(run)
        what = Handover(run, plan.name, local=local)
        job_id = find_known_job(what) or _queue_or_forget(
            what, plan, prepared.request.environment, lock, pending, index
        )
        run = record_job(what, job_id)
        index.add(run)
        clear_pending(pending)
    return run


def try_submission(prepared: Prepared) -> DryRun:
    """Render a spec and let Slurm say whether it would take it; queues nothing.

    Raises ClusterError with sbatch's words where it would not. Without Slurm the words are empty.
    """
    _, script = plan_and_render(
        prepared, identity_of(prepared, f"{prepared.loaded.spec.name}-dry-run")
    )
    if not installed():
        return DryRun(script, "")
    with _scratch_script(script) as path:
        answer = ask(["sbatch", "--test-only", path], environment=prepared.request.environment)
    if answer.code:
        raise ClusterError(answer.err or "sbatch --test-only refused without a word")
    return DryRun(script, answer.err)


@contextmanager
def _scratch_script(text: str) -> Iterator[str]:
    import tempfile  # noqa: PLC0415 - only for a dry run

    with tempfile.NamedTemporaryFile("w", suffix=".sbatch", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        yield file.name


def _digest_request(prepared: Prepared, *, local: bool) -> str:
    """Name a submission by what was asked for: the file, the values, the folder."""
    spec = prepared.loaded.spec.model_dump_json()
    parts = [
        str(Path(prepared.request.source).absolute()),
        spec,
        str(prepared.run_root),
        str(local),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _begin_submission(
    pending: Path, prepared: Prepared, identity: Identity, plan: LaunchPlan, script: str
) -> RunRef:
    """Continue the submission begun for this spec, or begin one; its folder is complete."""
    run = RunRef(identity.run_id, RunPaths(Path(identity.folder)))
    begun = read_record(pending).get("run_id") == identity.run_id
    if not begun and run.paths.folder.exists():
        raise ClusterError(
            f"the run folder {run.paths.folder} already exists",
            "submit again: each submission gets a new run id",
        )
    write_record(pending, {"run_id": identity.run_id, "folder": identity.folder})
    if not run.paths.intent.exists():
        _write_folder(run, prepared, plan, script, begun=begun)
    return run


def _new_id(name: str) -> str:
    return f"{name}-{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(4).hex()}"


def _write_folder(
    run: RunRef, prepared: Prepared, plan: LaunchPlan, script: str, *, begun: bool
) -> None:
    """Write everything that submitter, node and trainer share; the intent comes last.

    The folder is there already only if a killed client had `begun` this submission.
    """
    paths = run.paths
    try:
        paths.folder.mkdir(mode=0o700, parents=True, exist_ok=begun)
        for folder in (paths.events, paths.logs, paths.checkpoints, paths.folder / "staging"):
            folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ClusterError(
            f"cannot make the run folder {paths.folder}: {error.strerror}",
            "give another run_root in the profile",
        ) from error
    write_whole(paths.source, prepared.loaded.text)
    write_whole(paths.script, script)
    write_whole(paths.stop, "")
    if prepared.loaded.spec.share:
        open_to_group(paths)
    save_request(run, prepared, plan.settings)


def _queue_or_forget(
    what: Handover,
    plan: LaunchPlan,
    environment: Mapping[str, str],
    lock: int,
    pending: Path,
    index: Index,
) -> str:
    """Call sbatch, or start the run here; on a clear refusal nothing is left behind."""
    try:
        return queue_job(what, plan, environment, lock)
    except NoAnswer:
        raise
    except (ClusterError, SpecError):
        _forget_run(what.run, pending, index)
        raise


def _forget_run(run: RunRef, pending: Path, index: Index) -> None:
    """Take back what was written for a run that Slurm refused."""
    import shutil  # noqa: PLC0415 - only on a refusal

    index.remove(run.run_id)
    shutil.rmtree(run.paths.folder, ignore_errors=True)
    clear_pending(pending)
