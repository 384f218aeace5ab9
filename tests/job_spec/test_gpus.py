"""GPUs of any type are understood in every sbatch option; an unclear value is never "no GPUs"."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterrun import cli
from clusterrun.errors import SpecError
from clusterrun.job_spec import load_spec
from clusterrun.job_spec.gpu_memory import size_for_job
from clusterrun.job_spec.writing import write_spec
from clusterrun.planning.plan import requests_gpus
from clusterrun.planning.strategy.machines import machines_of
from clusterrun.reporting.run_report import count_gpus
from tests.support.bash_functions import bash
from tests.support.drafts import translated

TYPES = [
    "3090",
    "2080ti",
    "1g.10gb",
    "2g.10gb",
    "nvidia_a100_3g.20gb",
    "a100",
    "a100-sxm4-80gb",
    "7900xtx",
    "mi250+x",
]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def slurm_of(options: str):
    """The slurm section of a spec with these options."""
    Path("job.yaml").write_text(f"script: train.py\nslurm: {{{options}}}\n")
    return load_spec("job.yaml").spec.slurm


def refusal(options: str) -> str:
    """Return the error for a spec with these options."""
    with pytest.raises(SpecError) as raised:
        slurm_of(options)
    return str(raised.value)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("option", [
    "gres: 'gpu:{}:2'", "gres: 'gres:gpu:{}:2'", "gres: 'gres/gpu:{}:2'", "gres: 'gpu:{}:2(S:0-1)'",
    "gres: 'gpu:{}:2,tmpdisk:100'", "gres: 'tmpdisk:100,gpu:{}:2(IDX:0,2)'", "gpus-per-node: '{}:2'",
    "gpus: '{}:4'", "gpus-per-task: '{}:2'", "tres-per-task: 'cpu=4,gres/gpu:{}=2'",
    "additional_parameters: {{tres-per-node: 'gres/gpu:{}:2'}}",
])  # fmt: skip
def test_a_type_of_any_name_in_every_option(option, kind):
    """Every reader of the options gets the same type, GPUs per node and GPUs of the job."""
    slurm = slurm_of("nodes: 2, " + option.format(kind))
    machines = machines_of(slurm, gpus_requested=requests_gpus(slurm), processes=None)
    assert (machines.gpus, machines.gpu_type, machines.processes) == (True, kind, 4)
    assert count_gpus(slurm.options, 2) == 4
    assert size_for_job({kind: 24, "gpu": 80}, slurm) == 24


@pytest.mark.parametrize(("gres", "count"), [
    ("gpu", 1), ("gpu:2", 2), ("gpu:a100", 1), ("gpu:1g.5gb", 1), ("gpu:3090:1,gpu:2080ti:1", 2), ("gpu:02", 2),
    ("gpu:0", 0), ("none", 0), ("tmpdisk:100", 0), ("shard:2", 1), ("mps:50", 1),
])  # fmt: skip
def test_other_forms_of_a_list(gres, count):
    """No count means one GPU; a part of a GPU is one; other resources are no GPUs."""
    slurm = slurm_of(f"gres: '{gres}'")
    assert (requests_gpus(slurm), count_gpus(slurm.options, 1)) == (count > 0, count)


@pytest.mark.parametrize("options", [
    "gres: 'gpu:'", "gres: 'gpu:3090:'", "gres: 'gpu:a:b:c'", "gres: 'gpu:2k'", "gres: 'tmp:1,gpu:x:y'", "gres: 'gpu:a b:1'",
    "tres-per-task: 'gres/gpu:a:b:c'", "additional_parameters: {tres-per-node: 'gres/gpu:a:b:c'}",
])  # fmt: skip
def test_unknown_syntax_is_an_error(options):
    """The error has the place and the accepted forms; the run never becomes a CPU run."""
    assert "is not a GPU request such as gpu:4 or gpu:a100:4" in refusal(options)


@pytest.mark.parametrize(("options", "error"), [
    ("gres: 'gpu:3090'", "slurm.gres: Slurm reads 3090 as a number of GPUs\n  hint: write gpu:3090:1 for one GPU of type 3090"),
    ("gpus-per-node: 3090", "as a number of GPUs\n  hint: write 3090:1 for one GPU of type 3090"),
    ("gpus: 4090", "as a number of GPUs\n  hint: write 4090:1 for one GPU of type 4090"),
    ("gres: 'gpumem:20g'", "slurm.gres: 'gpumem:20g' does not request GPUs, and no other option does"),
    ("gpus-per-node: 'gpu:3090:2'", "is not a number of GPUs"),
    ("gpus: 'a100:0'", "must be at least 1, got 0"),
    ("gpus-per-socket: some", "slurm.gpus-per-socket: 'some' is not a number of GPUs"),
])  # fmt: skip
def test_gpu_requests_that_slurm_reads_differently(options, error):
    """To Slurm a type without a count is a count; a site's own resource gives no GPU."""
    assert error in refusal(options)


def test_a_sites_own_resource_with_gpus():
    """It is passed on unchanged."""
    slurm = slurm_of("gpus: 2, gres: 'gpumem:20g'")
    assert (slurm.gres, count_gpus(slurm.options, 1)) == ("gpumem:20g", 2)


@pytest.mark.parametrize(("directive", "expected"), [
    ("--gres=gpu:2080ti:4", {"gres": "gpu:2080ti:4"}), ("--gpus=3090:4", {"gpus": "3090:4"}),
    ("-G 3090:4", {"gpus": "3090:4"}), ("--gpus-per-node=3090:4", {"gpus-per-node": "3090:4"}),
    ("--gres=gpu:1g.10gb:4,tmpdisk:100", {"gres": "gpu:1g.10gb:4,tmpdisk:100"}),
])  # fmt: skip
def test_an_old_script_keeps_its_gpus(directive, expected):
    """Its spec requests the same GPUs and trains on them; processes are counted on the node."""
    text = f"#!/bin/bash\n#SBATCH {directive}\naccelerate launch --multi_gpu --num_processes 4 train.py\n"
    draft = translated(text)
    Path("job.yaml").write_text(write_spec(draft.values))
    assert count_gpus(load_spec("job.yaml").spec.slurm.options, 1) == 4
    spec = draft.values
    assert {key: spec["slurm"][key] for key in expected} == expected
    assert "use_cpu" not in spec.get("accelerate", {})


def test_the_script_of_a_gpu_job_trains_on_gpus(tmp_path, monkeypatch, capsys):
    """It sets no CPU process count and no ACCELERATE_USE_CPU; a CPU job warns of its GPUs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").touch()
    (tmp_path / "job.yaml").write_text("script: train.py\nslurm: {gres: 'gpu:3090:2', time: '5'}\n")
    assert cli.main(["render", "job.yaml"]) == 0
    text = capsys.readouterr().out
    main = text[: text.index("write_configs()")]
    assert "ACCELERATE_USE_CPU" not in main
    assert "num_processes=  # one per GPU" in main
    assert "  warn_of_idle_gpus\n" not in main
    for values, warns in [("", True), ("accelerate: {use_cpu: true}", False),
                          ("environment: {variables: {ACCELERATE_USE_CPU: 'true'}}", False)]:  # fmt: skip
        (tmp_path / "job.yaml").write_text(f"script: train.py\n{values}\n")
        assert cli.main(["render", "job.yaml"]) == 0
        assert ("  warn_of_idle_gpus\n" in capsys.readouterr().out) == warns


@pytest.mark.parametrize(
    ("given", "warns"), [("", False), ("0", False), ("2", True), ("3090:10", True)]
)
def test_idle_gpus_are_named_in_the_log(given, warns):
    """A CPU job that holds GPUs logs them, with advice."""
    done = bash("warn_of_idle_gpus", SLURM_GPUS_ON_NODE=given)
    assert done.returncode == 0
    assert ("WARNING: training runs on CPUs, but Slurm allocated GPUs" in done.stderr) == warns
