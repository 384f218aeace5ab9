"""A site's way to request GPUs replaces the spec's, and the spec's request replaces the profile's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clusterrun.errors import SpecError
from clusterrun.job_spec import gpus
from clusterrun.job_spec.load import load_spec


def requests(folder: Path, slurm: str, profile: str) -> dict[str, Any]:
    """The options about GPUs of a spec under a profile."""
    (folder / "profile.yaml").write_text(profile)
    text = f"script: train.py\nslurm: {slurm}\n"
    loaded = load_spec("job.yaml", text=text, profile=folder / "profile.yaml")
    options = loaded.spec.slurm.options
    return {key: value for key, value in options.items() if "g" in key and value}


@pytest.mark.parametrize(
    ("slurm", "way", "found"),
    [
        ("{gpus-per-node: 4}", "gres", {"gres": "gpu:4"}),
        ("{gpus-per-node: a100:4}", "gres", {"gres": "gpu:a100:4"}),
        ("{gpus-per-node: 3090:2}", "gres", {"gres": "gpu:3090:2"}),
        ("{gpus: 8, nodes: 2}", "gres", {"gres": "gpu:4"}),
        ("{gpus-per-task: 1g.10gb:1}", "gres", {"gres": "gpu:1g.10gb:1"}),
        ("{gpus-per-node: 4, gres: tmp:1}", "gres", {"gres": "gpu:4,tmp:1"}),
        ("{gres: gpu:4}", "gres", {"gres": "gpu:4"}),
        ("{gres: 'gpu:a100:2(S:0),tmp:1'}", "gpus-per-node", {"gpus_per_node": "a100:2", "gres": "tmp:1"}),
        ("{gres: gpu:nvidia_a100_80gb_pcie_1g.10gb}", "gpus-per-node",
         {"gpus_per_node": "nvidia_a100_80gb_pcie_1g.10gb:1"}),
        ("{gpus: a100:8, nodes: 4}", "gpus-per-node", {"gpus_per_node": "a100:2"}),
        ("{gres: 'gpu:a:1,gpu:b:1'}", "gpus-per-node", {"gres": "gpu:a:1,gpu:b:1"}),
        ("{mem: 4G}", "gres", {}),
    ],
)  # fmt: skip
def test_a_request_is_made_in_the_sites_way(
    tmp_path: Path, slurm: str, way: str, found: dict[str, str]
) -> None:
    assert requests(tmp_path, slurm, f"gpus_as: {way}\n") == found


@pytest.mark.parametrize(
    ("slurm", "profile", "found"),
    [
        ("{gres: gpu:2}", "slurm: {gpus-per-node: 4}", {"gres": "gpu:2"}),
        ("{gpus: 2}", "slurm: {gres: gpu:4}", {"gpus": "2"}),
        ("{gpus-per-node: 2}", "slurm: {gres: tmp:1}", {"gpus_per_node": "2", "gres": "tmp:1"}),
        ("{mem: 4G}", "slurm: {gpus-per-node: 4}", {"gpus_per_node": "4"}),
        ("{gpus-per-node: 2}", "slurm: {gpus-per-node: 4}\ngpus_as: gres", {"gres": "gpu:2"}),
    ],
)
def test_the_specs_request_replaces_the_profiles(
    tmp_path: Path, slurm: str, profile: str, found: dict[str, str]
) -> None:
    assert requests(tmp_path, slurm, f"{profile}\n") == found


KEY = "gpus_per_node_without_gres"


@pytest.mark.parametrize(
    ("slurm", "profile", "found"),
    [
        ("{partition: gh}", f"{KEY}: 4", {KEY: 4}),
        ("{gpus-per-node: 4}", f"{KEY}: 4", {KEY: 4}),
        ("{gres: 'gpu:a100:4,tmp:1'}", f"{KEY}: 4", {KEY: 4, "gres": "tmp:1"}),
        ("{partition: gh}", f"{KEY}: {{gh: 1, rtx: 4}}", {KEY: 1}),
        ("{partition: cpu}", f"{KEY}: {{gh: 1, rtx: 4}}", {}),
        ("{partition: a100, gpus-per-node: 2}", f"{KEY}: {{gh: 1}}", {"gpus_per_node": "2"}),
        ("{gpus-per-node-without-gres: 8}", "run_root: runs", {KEY: 8}),
        ("{partition: gh}", f"{KEY}: 4\ngpus_as: gres", {KEY: 4}),
    ],
)
def test_gpus_that_slurm_does_not_count(
    tmp_path: Path, slurm: str, profile: str, found: dict[str, Any]
) -> None:
    """Nothing is requested, but the job counts as one with GPUs."""
    options = requests(tmp_path, slurm, f"{profile}\n")
    assert options == found
    assert gpus.are_requested(options) == bool(found)


def test_a_run_that_is_meant_for_cpus_uses_none_of_them(tmp_path: Path) -> None:
    (tmp_path / "profile.yaml").write_text(f"{KEY}: 4\n")
    text = "script: train.py\naccelerate: {use_cpu: true}\n"
    loaded = load_spec("job.yaml", text=text, profile=tmp_path / "profile.yaml")
    assert not gpus.are_requested(loaded.spec.slurm.options)


@pytest.mark.parametrize(
    ("slurm", "profile", "message"),
    [
        (
            "{gpus-per-node: 2, gres: gpu:2}",
            "run_root: runs",
            "job.yaml:2: slurm.gres: cannot be combined with gpus-per-node: both request GPUs\n"
            "  hint: use one of them; gpus-per-node is the clearest",
        ),
        (
            "{gpus-per-node: 2}",
            f"{KEY}: 4",
            "job.yaml:2: slurm.gpus-per-node: 2 per node, but a job gets whole nodes here, with 4 "
            "GPUs each\n  hint: delete it: all GPUs of each node are used",
        ),
        (
            "{partition: 'gh,rtx'}",
            f"{KEY}: {{gh: 1, rtx: 4}}",
            "job.yaml:2: slurm.partition: the nodes of these partitions have different numbers of "
            "GPUs\n  hint: name one partition",
        ),
        (
            "{cpus-per-gpu: 8}",
            f"{KEY}: 4",
            "job.yaml:2: slurm.cpus-per-gpu: requires GPUs that Slurm counts\n"
            "  hint: use cpus-per-task",
        ),
        (
            "{nodes: 1}",
            f"{KEY}: all",
            "profile.yaml:1: gpus_per_node_without_gres: must be a number of GPUs, or one by "
            "partition, got text",
        ),
        (
            "{nodes: 1}",
            "gpus_as: gpus",
            "profile.yaml:1: gpus_as: must be one of gres, gpus-per-node, got 'gpus'",
        ),
    ],
)
def test_a_mistake_is_reported_at_its_line(
    tmp_path: Path, slurm: str, profile: str, message: str
) -> None:
    with pytest.raises(SpecError) as raised:
        requests(tmp_path, slurm, f"{profile}\n")
    assert str(raised.value).replace(f"{tmp_path}/", "") == message
