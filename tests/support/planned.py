"""Plans of specs in memory, without the files and the shell that `prepare` reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clusterrun.job_spec import JobSpec, Loaded, load_spec
from clusterrun.job_spec.layers import Layers
from clusterrun.planning.launch import Configs, make_launch, requests_gpus
from clusterrun.planning.plan import Identity, LaunchPlan, make_plan
from clusterrun.planning.preparation import Prepared, Request, prepare
from clusterrun.planning.script import render
from clusterrun.planning.strategy import Batch

ROOT = Path(__file__).resolve().parents[2]
# The first line of a script after its head.
START = "\n# ---- clusterrun's functions, version "


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


def script_of(text: str, templates: Sequence[Path] = ()) -> str:
    """Render a spec."""
    Path("job.yaml").write_text(text)
    loaded = load_spec("job.yaml")
    return render(plan_of(loaded.spec, chdir=loaded.chdir, templates=templates))


def prepared_job_spec(name: str, *overrides: str) -> Prepared:
    """Prepare a job spec of this project."""
    path = ROOT / "job_specs" / f"{name}.yaml"
    return prepare(
        Request(str(path), overrides, environment={"HOME": "/nowhere"}, cwd=ROOT, own_python=False)
    )
