"""Plans of specs in memory, without the files and the shell that `prepare` reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clusterrun.job_spec import JobSpec, Loaded
from clusterrun.job_spec.layers import Layers
from clusterrun.planning.launch import Configs, make_launch, requests_gpus
from clusterrun.planning.plan import Identity, LaunchPlan, make_plan
from clusterrun.planning.preparation import Prepared, Request
from clusterrun.planning.strategy import Batch


def plan_of(
    spec: JobSpec,
    *,
    source: str = "job.yaml",
    version: str = "golden",
    chdir: str | None = None,
    run_root: str = "runs",
    identity: Identity | None = None,
    configs: Configs | None = None,
    templates: Sequence[Path] = (),
) -> LaunchPlan:
    """Plan a spec whose config files have these texts; with an identity the working folder is `.`."""
    work_dir = Path(chdir or ".")
    prepared = Prepared(
        request=Request(source, environment={}, cwd=work_dir),
        loaded=Loaded(spec, source, "", chdir, run_root, Layers()),
        work_dir=work_dir,
        run_root=work_dir / run_root,
        profile=None,
        templates=tuple(templates),
        version=version,
        script=None,
        reads_stop_file=False,
        launch=make_launch(spec, configs or Configs(), gpus_requested=requests_gpus(spec.slurm)),
        batch=Batch(None, None, None),
        problems=(),
        notes=(),
    )
    return make_plan(prepared, identity)
