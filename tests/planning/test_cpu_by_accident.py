"""A run does not train on CPUs by accident."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterrun.errors import SpecError
from clusterrun.planning.cluster_limits import refuse_unfit_requests
from clusterrun.planning.preparation import Prepared, Request, prepare
from clusterrun.planning.strategy.machines import ON_CPUS
from tests.support.bash_functions import said

NOTE = f"job.yaml:2: slurm: {ON_CPUS}"


def prepared(folder: Path, text: str, path: str = "/usr/bin:/bin") -> Prepared:
    """Prepare a spec whose second line is its request."""
    (folder / "train.py").write_text("import accelerate\n")
    text = f"script: train.py\n{text}"
    return prepare(Request("job.yaml", environment={"PATH": path}, cwd=folder, text=text))


def notes_of(folder: Path, text: str) -> list[str]:
    return [note for note in prepared(folder, text).notes if "CPUs" in note]


def test_a_run_on_cpus_is_noted_unless_it_is_meant(tmp_path: Path) -> None:
    assert notes_of(tmp_path, "slurm: {nodes: 1}\n") == [NOTE]
    assert notes_of(tmp_path, "slurm: {nodes: 1}\naccelerate: {num_processes: 4}\n") == [NOTE]
    for text in (
        "slurm: {nodes: 1}\naccelerate: {use_cpu: true}\n",
        "slurm: {nodes: 1}\naccelerate: {use_cpu: false}\n",
        "slurm: {nodes: 1}\nenvironment: {variables: {ACCELERATE_USE_CPU: true}}\n",
        "slurm: {gpus-per-node: 1g.10gb:1}\n",
        "slurm: {gres: gpu:nvidia_a100_80gb_pcie_1g.10gb}\n",
        "slurm: {gpus: 3090:2}\n",
        "slurm: {gpus-per-node-without-gres: 4}\n",
    ):
        assert notes_of(tmp_path, text) == [], text


@pytest.mark.parametrize(
    ("accelerate", "message"),
    [
        ("{mixed_precision: fp16}", "fp16 requires GPUs, and the job requests none"),
        ("{mixed_precision: fp8}", "fp8 requires GPUs, and the job requests none"),
        ("{distributed_type: MULTI_GPU}", "MULTI_GPU requires GPUs, and the job requests none"),
        ("{deepspeed_config: {zero_stage: 2}}", "no GPUs requested; on CPUs accelerate silently"),
        ("{fsdp_config: {fsdp_version: 2}}", "no GPUs requested; on CPUs accelerate silently"),
    ],
)
def test_what_needs_gpus_is_refused_without_them(
    tmp_path: Path, accelerate: str, message: str
) -> None:
    problems = prepared(tmp_path, f"slurm: {{nodes: 1}}\naccelerate: {accelerate}\n").problems
    assert message in str(problems[0])
    assert "slurm.gpus-per-node" in problems[0].hint
    text = f"slurm: {{gpus-per-node-without-gres: 4}}\naccelerate: {accelerate}\n"
    assert prepared(tmp_path, text).problems == ()


def test_a_config_for_gpus_is_refused_without_them(tmp_path: Path) -> None:
    """`accelerate config` writes use_cpu: false into every config."""
    config = "distributed_type: MULTI_GPU\nuse_cpu: false\nnum_processes: 4\n"
    (tmp_path / "gpus.yaml").write_text(config)
    text = "slurm: {nodes: 1}\naccelerate: {config_file: gpus.yaml}\n"
    assert [str(problem) for problem in prepared(tmp_path, text).problems] == [
        "gpus.yaml:1: distributed_type: MULTI_GPU requires GPUs, and the job requests none\n"
        "  hint: add slurm.gpus-per-node, or write use_cpu: true for CPUs"
    ]


SINFO = """#!/bin/sh
cat <<'END'
gpu|gpu|up|infinite|1-infinite|4|64|512000|gpu:a100:4(S:0-1)
mixed|mixed|up|infinite|1-infinite|4|64|512000|gpu:1
mixed|mixed|up|infinite|1-infinite|4|64|512000|(null)
main|main*|up|infinite|1-infinite|4|64|512000|gpu:8
END
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Programs in the place of Slurm's."""
    for name in ("sbatch", "sinfo"):
        (tmp_path / name).write_text(SINFO)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return f"{tmp_path}:/usr/bin:/bin"


def test_a_partition_with_gpus_is_refused_without_a_request(tmp_path: Path, path: str) -> None:
    with pytest.raises(SpecError) as raised:
        refuse_unfit_requests(prepared(tmp_path, "slurm: {partition: gpu}\n", path))
    assert str(raised.value) == (
        "job.yaml:2: slurm: all nodes of partition gpu have GPUs, but the job requests none and "
        "would train on CPUs\n"
        "  hint: write gpus-per-node: 1 under slurm, or accelerate: {use_cpu: true}"
    )
    with pytest.raises(SpecError, match="all nodes of the default partition have GPUs"):
        refuse_unfit_requests(prepared(tmp_path, "slurm: {nodes: 2}\n", path))
    for text in (
        "slurm: {partition: mixed}\n",
        "slurm: {partition: gpu, gpus-per-node: 1}\n",
        "slurm: {partition: gpu}\naccelerate: {use_cpu: true}\n",
    ):
        refuse_unfit_requests(prepared(tmp_path, text, path))


def test_a_node_counts_the_gpus_that_slurm_does_not_count(tmp_path: Path) -> None:
    """By the driver's tool; GPUs that Slurm allocates have precedence."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf 'GPU 0: H100\\nGPU 1: H100\\n'\n")
    tool.chmod(0o755)
    count = f"PATH={tmp_path}:$PATH; count_local_gpus"
    assert said(count, gpus_without_gres=4).strip() == "2"
    assert said(count, gpus_without_gres=4, SLURM_GPUS_ON_NODE=1).strip() == "1"
    assert said("count_local_gpus || :", gpus_without_gres="").strip() == "0"
