"""Strategies and precisions that the requested GPUs or CPUs do not support."""

from __future__ import annotations

import pytest

from clusterrun.errors import SpecError
from tests.support.validation import reported

pytestmark = pytest.mark.usefixtures("folder")

ON_CPU = [
    ("fsdp_config: {fsdp_version: 2}", "fsdp_config: no GPUs requested; on CPUs accelerate silently trains with DDP instead"),
    ("deepspeed_config: {zero_stage: 2}", "deepspeed_config: no GPUs requested; on CPUs accelerate silently trains with DDP instead"),
    ("use_cpu: false, deepspeed_config: {zero_stage: 2}", ""),
    ("mixed_precision: fp16", "mixed_precision: fp16 requires GPUs, and the job requests none"),
    ("mixed_precision: bf16, use_cpu: true", ""),
]  # fmt: skip


@pytest.mark.parametrize(("words", "expected"), ON_CPU)
def test_without_gpus(words, expected):
    """What accelerate silently drops on CPUs is reported."""
    report = reported(f"script: train.py\naccelerate: {{{words}}}\n").splitlines()[:1]
    assert report == ([f"job.yaml:2: accelerate.{expected}"] if expected else [])


GPUS = [
    ("gpus-per-node: 'a100:4'", "a100 does not support fp8", "bf16"),
    ("gres: 'gpu:nvidia_a100-sxm4-80gb:4'", "nvidia_a100-sxm4-80gb does not support fp8", "bf16"),
    ("gpus: 'V100:8'", "v100 does not support fp8", "fp16"),
    ("gres: 'gpu:rtx3090:4'", "rtx3090 does not support fp8", "bf16"),
    ("gpus-per-node: 'h100:4'", "", ""),
    ("gpus-per-node: 'nvidia_h200_nvl:4'", "", ""),
    ("gres: 'gpu:l40s:4'", "", ""),
    ("gres: 'gpu:rtx_6000_ada:4'", "", ""),
    ("gpus-per-node: 'b200:4'", "", ""),
    ("gpus-per-node: 'partner:4'", "", ""),
    ("gpus-per-node: 4", "", ""),
]  # fmt: skip


@pytest.mark.parametrize(("slurm", "what", "hint"), GPUS)
def test_fp8_on_gpus_without_it(slurm, what, hint):
    """fp8 is refused on GPU types that are known to lack it, and on no other."""
    report = reported(
        f"script: train.py\nslurm: {{nodes: 2, {slurm}}}\naccelerate: {{mixed_precision: fp8}}\n"
    )
    where = "job.yaml:3: accelerate.mixed_precision: "
    assert report == (
        f"{where}{what} (Ada, Hopper and newer do)\n  hint: write {hint}" if what else ""
    )


def test_bf16_on_gpus_without_it():
    """bf16 runs slowly on a V100, so it is a note."""
    report = reported(
        "script: train.py\nslurm: {gpus-per-node: 'v100:4'}\naccelerate: {mixed_precision: bf16}\n"
    )
    assert report.startswith(
        "note: job.yaml:3: accelerate.mixed_precision: v100 does not support bf16, which torch emulates slowly"
    )


def test_processes_that_are_not_the_gpus():
    """num_processes counts all nodes, and must match gpus."""
    report = reported(
        "script: train.py\nslurm: {nodes: 2, gpus: 8}\naccelerate: {num_processes: 8}\n"
    )
    assert report == ""
    with pytest.raises(SpecError, match="4 processes, but 2 x 4 GPUs are requested"):
        reported("script: train.py\nslurm: {nodes: 2, gpus: 8}\naccelerate: {num_processes: 4}\n")
