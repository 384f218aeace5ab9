"""`launcher`: which keys belong to it, and what each of them renders to."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterrun.errors import SpecError
from clusterrun.job_spec.load import load_spec
from clusterrun.job_spec.model import JobSpec
from clusterrun.planning.launch import Configs, Launch, make_launch, requests_gpus

WRONG = [
    ("command: x\nlauncher: srun", "launcher", "cannot be combined with command"),
    ("script: t.py\nnproc_per_node: 2", "nproc_per_node", "requires launcher: torchrun or srun"),
    ("script: t.py\ntee: 3", "tee", "requires launcher: torchrun or srun"),
    ("script: t.py\nlauncher: mpirun", "launcher", "must be one of accelerate, torchrun, srun"),
    ("script: t.py\nlauncher: torchrun\naccelerate: {mixed_precision: bf16}",
     "accelerate.mixed_precision", "launcher: torchrun, which does not read it"),
    ("script: t.py\nlauncher: srun\naccelerate: {num_processes: 8}",
     "accelerate.num_processes", "launcher: srun, which does not read it"),
    ("script: t.py\nlauncher: srun\nslurm: {nodes: 2-4}", "slurm.nodes", "a range cannot"),
    ("script: t.py\nlauncher: srun\nslurm: {gpus-per-task: 1}", "nproc_per_node", "missing"),
    ("script: t.py\nlauncher: torchrun\nnproc_per_node: 4\nslurm: {gpus-per-node: 2}",
     "nproc_per_node", "4 processes per node, but 2 GPUs per node are requested"),
]  # fmt: skip
COUNTS = [
    ("launcher: torchrun", 1),
    ("launcher: torchrun\nslurm: {nodes: 2, gpus-per-node: 4}", None),
    ("launcher: torchrun\nnproc_per_node: 2\nslurm: {nodes: 2, gpus-per-node: 4}", 4),
    ("launcher: torchrun\nnproc_per_node: 2\nslurm: {nodes: 2-4}", 8),
    ("launcher: srun", 1),
    ("launcher: srun\nslurm: {nodes: 2, gpus-per-node: 4}", 8),
    ("launcher: srun\nslurm: {nodes: 2, gres: 'gpu:a100:4,tmp:1'}", 8),
    ("launcher: srun\nslurm: {nodes: 2, gpus: 8}", 8),
    ("launcher: srun\nnproc_per_node: 1\nslurm: {nodes: 2, gpus-per-node: 4}", 2),
    ("launcher: srun\nslurm: {nodes: 2, gpus-per-node-without-gres: 4}", 8),
]


def load(text: str, profile: Path | None = None) -> JobSpec:
    return load_spec("job.yaml", text=text, profile=profile).spec


def launched(spec: JobSpec) -> Launch:
    return make_launch(spec, Configs(), gpus_requested=requests_gpus(spec.slurm))


@pytest.mark.parametrize(("text", "key", "what"), WRONG)
def test_a_key_of_another_launcher_is_refused(text: str, key: str, what: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(text)
    assert [(one.key, what in one.message, bool(one.hint)) for one in caught.value.problems] == [
        (key, True, True)
    ]


@pytest.mark.parametrize(("text", "processes"), COUNTS)
def test_processes_are_counted_per_node(text: str, processes: int | None) -> None:
    """None: the nodes count their GPUs."""
    assert launched(load(f"script: t.py\n{text}")).processes == processes


def test_a_profiles_accelerate_defaults_do_not_reach_other_launchers(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("accelerate: {mixed_precision: bf16, use_cpu: true}\n")
    spec = load("script: t.py\nlauncher: torchrun", tmp_path / "p.yaml")
    assert spec.accelerate.model_dump(exclude_none=True) == {"use_cpu": True}


def test_a_module_is_run_by_each_launcher() -> None:
    words = {
        launcher: [word for line in launched(load(f"module: a.b\nlauncher: {launcher}")).lines for word in line]
        for launcher in ("accelerate", "torchrun", "srun")
    }  # fmt: skip
    assert words["accelerate"][:2] == ["accelerate", "launch"]
    assert words["torchrun"][0] == "torchrun"
    assert words["torchrun"][-2:] == ["--module", "a.b"]
    assert words["srun"] == ["python", "-m", "a.b"]
