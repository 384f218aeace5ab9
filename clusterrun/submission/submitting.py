"""Create a run from a job spec, and submit it exactly once (see exactly_once.py)."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clusterrun.errors import ClusterError, SpecError
from clusterrun.planning.cluster_limits import refuse_unfit_requests
from clusterrun.planning.plan import Identity, LaunchPlan, identity_of
from clusterrun.planning.preparation import Prepared, Request, prepare
from clusterrun.planning.validation import list_members, plan_and_render, refuse_problems
from clusterrun.results import DryRun
from clusterrun.run_folder.group_access import open_to_group
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.members import write_members
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
from clusterrun.submission.refusal import explain_refusal
from clusterrun.submission.saved_request import save_request
from clusterrun.submission.uv_project import synchronise_uv_project


def submit(request: Request, *, local: bool = False) -> RunRef:
    """Create a run from a spec and queue it; return the run with its job id.

    Raises SpecError for mistakes in the spec, ClusterError if Slurm refuses, NoAnswer if it is
    unknown whether the job was queued (call again; clusterrun looks for the job first).
    """
    return submit_prepared(prepare(request), local=local)


def submit_prepared(prepared: Prepared, *, local: bool = False) -> RunRef:
    """Submit a prepared spec; returns and raises like `submit`."""
    refuse_problems(prepared)
    if not local:
        refuse_unfit_requests(prepared)
    if not local and not installed():
        hint = (
            "use a login node, or `clusterrun submit --local` to run on this machine; "
            "`clusterrun render` works anywhere"
        )
        raise ClusterError("sbatch is not installed on this machine", hint)
    if local and prepared.loaded.spec.slurm.array:
        sweep = prepared.members is not None
        raise ClusterError(
            f"{'a sweep' if sweep else 'slurm.array'} cannot be combined with --local",
            "add --member 0 to run one member"
            if sweep
            else "add --set slurm.array=null to run one job",
        )
    index = Index(prepared.request.environment)
    index.make()
    synchronise_uv_project(prepared, index)
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
            what, plan, prepared, lock, pending, index
        )
        run = record_job(what, job_id)
        index.add(run)
        clear_pending(pending)
    return run


def try_submission(prepared: Prepared) -> DryRun:
    """Render a spec and ask Slurm whether it would accept the job, without queueing it.

    Raises ClusterError with sbatch's message if not. Without Slurm, the response is empty.
    """
    refuse_unfit_requests(prepared)
    _, script = plan_and_render(
        prepared, identity_of(prepared, f"{prepared.loaded.spec.name}-dry-run")
    )
    if not installed():
        return DryRun(script, "", list_members(prepared))
    with _scratch_script(script) as path:
        answer = ask(["sbatch", "--test-only", path], environment=prepared.request.environment)
    if answer.code:
        refused = ClusterError(answer.err or "sbatch --test-only failed without a message")
        raise explain_refusal(refused, prepared)
    return DryRun(script, answer.err, list_members(prepared))


@contextmanager
def _scratch_script(text: str) -> Iterator[str]:
    import tempfile  # noqa: PLC0415 - only for a dry run

    with tempfile.NamedTemporaryFile("w", suffix=".sbatch", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        yield file.name


def _digest_request(prepared: Prepared, *, local: bool) -> str:
    """Return an id of a submission from its file, values and folder."""
    spec = prepared.loaded.spec.model_dump_json()
    parts = [
        str(Path(prepared.request.source).absolute()),
        spec,
        str(prepared.run_root),
        str(local),
        repr(list_members(prepared)),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _begin_submission(
    pending: Path, prepared: Prepared, identity: Identity, plan: LaunchPlan, script: str
) -> RunRef:
    """Continue an interrupted submission of this spec, or start one; write its run folder."""
    run = RunRef(identity.run_id, RunPaths(Path(identity.folder)))
    interrupted = read_record(pending).get("run_id") == identity.run_id
    if not interrupted and run.paths.folder.exists():
        raise ClusterError(
            f"the run folder {run.paths.folder} already exists",
            "submit again: each submission gets a new run id",
        )
    write_record(pending, {"run_id": identity.run_id, "folder": identity.folder})
    if not run.paths.intent.exists():
        _write_folder(run, prepared, plan, script, interrupted=interrupted)
    return run


def _new_id(name: str) -> str:
    return f"{name}-{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(4).hex()}"


def _write_folder(
    run: RunRef, prepared: Prepared, plan: LaunchPlan, script: str, *, interrupted: bool
) -> None:
    """Write the run folder; the intent comes last.

    The folder may exist already only if a killed client started this submission (`interrupted`).
    """
    paths = run.paths
    try:
        paths.folder.mkdir(mode=0o700, parents=True, exist_ok=interrupted)
        for folder in (paths.events, paths.logs, paths.checkpoints, paths.folder / "staging"):
            folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ClusterError(
            f"cannot create the run folder {paths.folder}: {error.strerror}",
            "set another run_root in the profile",
        ) from error
    write_whole(paths.source, prepared.loaded.text)
    write_whole(paths.script, script)
    write_whole(paths.stop, "")
    if prepared.loaded.spec.share:
        open_to_group(paths)
    if members := list_members(prepared):
        write_members(paths, members)
    save_request(run, prepared, plan.settings)


def _queue_or_forget(
    what: Handover,
    plan: LaunchPlan,
    prepared: Prepared,
    lock: int,
    pending: Path,
    index: Index,
) -> str:
    """Call sbatch, or start the run on this machine; remove the run if that is refused."""
    try:
        return queue_job(what, plan, prepared.request.environment, lock)
    except NoAnswer:
        raise
    except SpecError:
        _forget_run(what.run, pending, index)
        raise
    except ClusterError as error:
        _forget_run(what.run, pending, index)
        raise explain_refusal(error, prepared) from error


def _forget_run(run: RunRef, pending: Path, index: Index) -> None:
    """Remove everything that was written for a refused run."""
    import shutil  # noqa: PLC0415 - only on a refusal

    index.remove(run.run_id)
    shutil.rmtree(run.paths.folder, ignore_errors=True)
    clear_pending(pending)
