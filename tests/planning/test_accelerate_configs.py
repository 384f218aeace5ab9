"""Accelerate YAMLs of common shapes are used unchanged, and the script's flags fit them.

The files are written by accelerate's own code: `write_basic_config`, or `ClusterConfig` as
`accelerate config` fills it.
"""

from __future__ import annotations

import subprocess
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from clusterrun.planning.plan import make_plan
from clusterrun.planning.preparation import Prepared, Request, prepare
from clusterrun.planning.strategy import installed
from clusterrun.planning.strategy.accelerate_keys import (
    CONFIG,
    FLAGS,
    STORED_KEYS,
    AccelerateKeys,
)
from clusterrun.planning.strategy.config import TYPES
from clusterrun.planning.strategy.deepspeed import DEVICES
from clusterrun.planning.strategy.fsdp import CHOICES, SHARDING
from clusterrun.planning.strategy.precision import PRECISIONS
from tests.support.accelerates_own import taken
from tests.support.versions import release_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import accelerate
    from accelerate.commands.config.config_args import ClusterConfig
    from accelerate.commands.config.default import write_basic_config
    from accelerate.utils import constants
    from accelerate.utils.dataclasses import DistributedType, PrecisionType


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    Path("train.py").touch()
    Path("ds.json").write_text('{"bf16": {"enabled": "auto"}, "zero_optimization": {"stage": 2}}')
    Path("ds3.json").write_text(
        '{"gradient_accumulation_steps": "auto", "zero_optimization": '
        '{"stage": 3, "stage3_gather_16bit_weights_on_model_save": true}}'
    )
    return tmp_path


@dataclass(frozen=True)
class Shape:
    """An accelerate YAML, the job that uses it, and what its workers must receive."""

    words: dict[str, Any]
    slurm: str = "{nodes: 2, gpus-per-node: 4}"
    world: int = 8
    environment: dict[str, str] = field(default_factory=dict)
    launcher: str = "torchrun"
    overridden: str = "num_machines, num_processes, machine_rank"


ONE = "{gpus-per-node: 4}"
FSDP1 = {"fsdp_version": 1, "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP", "fsdp_backward_prefetch": "BACKWARD_PRE",
         "fsdp_reshard_after_forward": "FULL_SHARD", "fsdp_cpu_ram_efficient_loading": True, "fsdp_offload_params": False,
         "fsdp_state_dict_type": "FULL_STATE_DICT", "fsdp_sync_module_states": True, "fsdp_use_orig_params": True,
         "fsdp_forward_prefetch": False, "fsdp_activation_checkpointing": False}  # fmt: skip
FSDP2 = {"fsdp_version": 2, "fsdp_auto_wrap_policy": "SIZE_BASED_WRAP", "fsdp_min_num_params": 1000000,
         "fsdp_reshard_after_forward": False, "fsdp_cpu_ram_efficient_loading": True, "fsdp_offload_params": True,
         "fsdp_state_dict_type": "SHARDED_STATE_DICT", "fsdp_activation_checkpointing": True}  # fmt: skip
TE = {"backend": "TE", "use_autocast_during_eval": False, "margin": 0, "interval": 1, "fp8_format": "HYBRID",
      "amax_history_length": 1024, "amax_compute_algorithm": "most_recent",
      "override_linear_precision": [False, False, False]}  # fmt: skip
STANDARD = {"deepspeed_multinode_launcher": "standard"}


def zero(stage: int, **words: Any) -> dict[str, Any]:
    return {"distributed_type": "DEEPSPEED", "mixed_precision": "bf16", "num_machines": 2, "num_processes": 8,
            "deepspeed_config": {**STANDARD, "zero_stage": stage, "zero3_init_flag": stage == 3,
                                 "zero3_save_16bit_model": True, "gradient_accumulation_steps": 2, **words}}  # fmt: skip


SHAPES = {
    "DDP on one machine": Shape({"distributed_type": "MULTI_GPU", "num_processes": 4, "gpu_ids": "all", "same_network": True},
                                ONE, 4, {"ACCELERATE_MIXED_PRECISION": "no"}),
    "DDP on two machines": Shape({"distributed_type": "MULTI_GPU", "num_machines": 2, "num_processes": 8, "machine_rank": 1,
                                  "main_process_ip": "10.0.0.1", "main_process_port": 29500, "rdzv_backend": "static",
                                  "mixed_precision": "fp16"}, environment={"ACCELERATE_MIXED_PRECISION": "fp16"},
                                 overridden="num_machines, num_processes, machine_rank, main_process_ip, main_process_port"),
    "a rendezvous of torchrun's own": Shape({"distributed_type": "MULTI_GPU", "num_machines": 2, "num_processes": 8,
                                             "rdzv_backend": "c10d"},
                                            overridden="num_machines, num_processes, machine_rank, rdzv_backend"),
    "named GPUs": Shape({"distributed_type": "MULTI_GPU", "num_processes": 2, "gpu_ids": "0,3"}, ONE, 4,
                        overridden="num_machines, num_processes, machine_rank, gpu_ids"),
    "one GPU": Shape({"distributed_type": "NO", "num_processes": 1}, "{gpus-per-node: 1}", 1, {}, "one process"),
    "CPUs without MPI": Shape({"distributed_type": "MULTI_CPU", "use_cpu": True, "num_processes": 2}, "{nodes: 2}", 4, {},
                              overridden="num_machines, num_processes, machine_rank, distributed_type"),
    "CPUs as torchrun sees them": Shape({"distributed_type": "MULTI_GPU", "use_cpu": True, "num_processes": 2}, "{nodes: 2}", 4),
    "ZeRO-1": Shape(zero(1), environment={"ACCELERATE_DEEPSPEED_ZERO_STAGE": "1"}),
    "ZeRO-2 with offload": Shape(zero(2, offload_optimizer_device="cpu", offload_param_device="none"),
                                 environment={"ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE": "cpu",
                                              "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "2"}),
    "ZeRO-3 on a local disk": Shape(zero(3, offload_optimizer_device="nvme", offload_optimizer_nvme_path="/nvme"),
                                    environment={"ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_NVME_PATH": "/nvme",
                                                 "ACCELERATE_DEEPSPEED_ZERO3_INIT": "true"}),
    "ZeRO with its default launcher": Shape({**zero(2), "deepspeed_config": {"zero_stage": 2}}),
    "ZeRO-2 by a JSON": Shape({"distributed_type": "DEEPSPEED", "deepspeed_config": {**STANDARD, "deepspeed_config_file": "ds.json"}},
                              environment={"ACCELERATE_DEEPSPEED_CONFIG_FILE": "{folder}/deepspeed.json"},
                              overridden="num_machines, num_processes, machine_rank, deepspeed_config_file (in the job script)"),
    "ZeRO-3 by a JSON": Shape({"distributed_type": "DEEPSPEED",
                               "deepspeed_config": {**STANDARD, "deepspeed_config_file": "ds3.json", "zero3_init_flag": True}},
                              overridden="num_machines, num_processes, machine_rank, deepspeed_config_file (in the job script)"),
    "FSDP1": Shape({"distributed_type": "FSDP", "mixed_precision": "bf16", "fsdp_config": FSDP1},
                   environment={"FSDP_VERSION": "1", "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT"}),
    "FSDP2": Shape({"distributed_type": "FSDP", "mixed_precision": "bf16", "fsdp_config": FSDP2},
                   environment={"FSDP_VERSION": "2", "FSDP_RESHARD_AFTER_FORWARD": "false", "FSDP_OFFLOAD_PARAMS": "true"}),
    "FSDP2 and tensor parallelism": Shape({"distributed_type": "FSDP", "fsdp_config": FSDP2, "parallelism_config":
                                           {"parallelism_config_tp_size": 2, "parallelism_config_dp_shard_size": 4}},
                                          environment={"PARALLELISM_CONFIG_TP_SIZE": "2"}),
    "fp8": Shape({"distributed_type": "MULTI_GPU", "mixed_precision": "fp8", "fp8_config": TE},
                 environment={"ACCELERATE_FP8_BACKEND": "TE", "ACCELERATE_FP8_FORMAT": "HYBRID"}),
    "torch.compile": Shape({"distributed_type": "MULTI_GPU", "dynamo_config": {"dynamo_backend": "INDUCTOR", "dynamo_mode": "max-autotune"}},
                           environment={"ACCELERATE_DYNAMO_MODE": "max-autotune"}),
    "Megatron-LM": Shape({"distributed_type": "MEGATRON_LM", "megatron_lm_config":
                          {"megatron_lm_tp_degree": 2, "megatron_lm_pp_degree": 1, "megatron_lm_gradient_clipping": 1.0}},
                         environment={"MEGATRON_LM_TP_DEGREE": "2"}),
}  # fmt: skip


def prepared(slurm: str) -> Prepared:
    Path("job.yaml").write_text(
        f"script: train.py\nslurm: {slurm}\naccelerate: {{config_file: my.yaml}}\n"
    )
    return prepare(Request("job.yaml", environment={"HOME": str(Path.cwd())}, own_python=False))


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_of_config(folder, monkeypatch, name):
    """A config is used unchanged; accelerate accepts it, and its workers get its values."""
    monkeypatch.setattr("accelerate.utils.launch.is_fp8_available", lambda: True)
    shape = SHAPES[name]
    words = {
        "compute_environment": "LOCAL_MACHINE",
        "mixed_precision": None,
        "use_cpu": False,
        "debug": False,
    }
    ClusterConfig(**{**words, **shape.words}).to_yaml_file("my.yaml")
    one = prepared(shape.slurm)
    assert one.problems == ()
    launch, nodes = one.launch, make_plan(one).nodes
    assert launch.config == Path("my.yaml").read_text()
    workers = taken(launch, folder, nodes=nodes, processes=shape.world)
    assert (workers.launcher, workers.args.num_processes, workers.args.num_machines) == (
        shape.launcher,
        shape.world,
        nodes,
    )
    got = {**workers.environment, **launch.variables}
    expected = {
        key: value.replace("{folder}", str(folder)) for key, value in shape.environment.items()
    }
    assert {key: got.get(key) for key in expected} == expected
    assert launch.variables.get("ACCELERATE_USE_CPU") == (
        "true" if shape.words.get("use_cpu") else None
    )
    assert "CUDA_VISIBLE_DEVICES" not in got
    if shape.launcher == "torchrun" and nodes > 1:
        assert (workers.args.rdzv_backend, workers.args.node_rank) == ("static", 1)
    assert [note for note in one.notes if "unchanged" in note] == [
        f"my.yaml is used unchanged, except {shape.overridden}"
    ]


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_the_default_output_of_accelerate_config(folder, precision):
    """`accelerate config default` without GPUs gives one CPU process; requested GPUs give a note."""
    write_basic_config(mixed_precision=precision, save_location="my.yaml")
    one = prepared("{cpus-per-task: 4}")
    assert one.problems == ()
    workers = taken(one.launch, folder)
    assert (workers.launcher, workers.environment["ACCELERATE_USE_CPU"]) == ("one process", "True")
    assert workers.environment["ACCELERATE_MIXED_PRECISION"] == precision
    note = ": use_cpu: the job requests GPUs, but this config trains on CPUs"
    assert prepared("{gpus: 1}").notes[-1].endswith(note)
    alone = "NO starts independent processes, each with world size 1"
    assert [problem.message for problem in prepared("{nodes: 2}").problems] == [alone]


@pytest.mark.parametrize(
    "line", ["fp16: true", "dynamo_backend: 'NO'", "mixed_precision: 'no'", "tpu_env: []"]
)
def test_lines_of_older_configs(folder, line):
    """Keys that accelerate itself still converts are accepted."""
    Path("my.yaml").write_text(f"distributed_type: MULTI_GPU\nnum_processes: 4\n{line}\n")
    assert prepared(ONE).problems == ()
    assert taken(prepared(ONE).launch, folder, processes=4).launcher == "torchrun"


def test_a_config_with_a_tag_is_still_checked():
    """Only our own reader knows line numbers, but errors are reported in any case."""
    Path("my.yaml").write_text(
        "distributed_type: !!str FSDP3\nnum_processes: !!int '4'\nnum_processes: 4\n"
    )
    (problem,) = prepared(ONE).problems
    assert (problem.where.split(":")[0], problem.key) == ("my.yaml", "distributed_type")


def test_the_stored_keys_are_those_of_accelerate():
    """The stored list is that of the installed accelerate's source; 1.14 knew fewer keys."""
    keys = installed.read_accelerate_keys(None)
    assert keys.config == CONFIG == set(ClusterConfig.__dataclass_fields__)
    later = FLAGS - keys.flags
    assert all(
        keys.of_section(name) == AccelerateKeys(flags=FLAGS - later).of_section(name)
        for name in installed_sections()
    )
    assert not later or release_of("accelerate") < (1, 15)


def installed_sections() -> list[str]:
    from clusterrun.planning.strategy.accelerate_keys import SECTIONS

    return [name for name in SECTIONS if name in CONFIG]


def test_the_choices_are_those_of_accelerate():
    """The choices of each key are those of accelerate's own lists."""
    assert list(SHARDING) == constants.FSDP_SHARDING_STRATEGY
    lists = {"fsdp_auto_wrap_policy": constants.FSDP_AUTO_WRAP_POLICY, "fsdp_state_dict_type": constants.FSDP_STATE_DICT_TYPE,
             "fsdp_backward_prefetch": constants.FSDP_BACKWARD_PREFETCH}  # fmt: skip
    assert {
        name: [choice for choice in CHOICES[name] if not choice.isdigit()] for name in lists
    } == lists
    assert set(TYPES) == {kind.value for kind in DistributedType}
    assert set(PRECISIONS) == {kind.value for kind in PrecisionType}
    assert constants.DEEPSPEED_MULTINODE_LAUNCHERS[1] == "standard"
    assert DEVICES == ("none", "cpu", "nvme")


def test_the_accelerate_of_the_jobs_own_environment_counts(folder):
    """A key known only to the job's accelerate is accepted; an unusual environment is not searched."""
    package = folder / ".venv" / "lib" / "python3.12" / "site-packages" / "accelerate" / "commands"
    (package / "config").mkdir(parents=True)
    source = Path(accelerate.__file__).parent / "commands"
    launch = (
        (source / "launch.py")
        .read_text()
        .replace('"--fsdp_version"', '"--fsdp_newest", "--fsdp_version"')
    )
    (package / "launch.py").write_text(launch)
    (package / "config" / "config_args.py").write_text(
        (source / "config" / "config_args.py").read_text()
    )
    assert "fsdp_newest" in installed.read_accelerate_keys(folder / ".venv").of_section(
        "fsdp_config"
    )
    assert "fsdp_newest" not in installed.read_accelerate_keys(None).of_section("fsdp_config")
    (package / "launch.py").write_text("def launch(): pass\n")
    assert installed.read_accelerate_keys(folder / ".venv") == STORED_KEYS


def test_without_accelerate_the_stored_keys_count(monkeypatch):
    """On a machine without accelerate keys are still checked."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert installed.read_accelerate_keys(None) == STORED_KEYS


def test_checking_loads_no_accelerate(folder):
    """validate reads accelerate's source and imports none of it."""
    Path("my.yaml").write_text(
        "distributed_type: FSDP\nfsdp_config: {fsdp_version: 2, fsdp_vresion: 2}\n"
    )
    Path("job.yaml").write_text(
        "script: train.py\nslurm: {gpus: 2}\naccelerate: {config_file: my.yaml}\n"
    )
    program = """
import sys
from clusterrun.cli import main
sys.argv = ["clusterrun", "validate", "job.yaml"]
print(main(), {"accelerate", "torch", "transformers", "deepspeed"} & set(sys.modules))
"""
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True, check=False,
                          env={"HOME": str(folder), "PATH": "/usr/bin:/bin", "PYTHONPATH": root})  # fmt: skip
    assert (
        "my.yaml:2: fsdp_config.fsdp_vresion: unknown key; accelerate silently ignores it"
        in done.stderr
    )
    assert done.stdout == "2 set()\n"
