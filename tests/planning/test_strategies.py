"""Every strategy of job_specs/ and configs/: accelerate's own code accepts it as we mean it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from clusterrun.job_spec import load_spec
from clusterrun.planning.accelerate_config import deepspeed_json_path
from clusterrun.planning.launch import Configs, Launch, make_launch, requests_gpus
from clusterrun.planning.plan import make_plan
from clusterrun.planning.preparation import Request, prepare
from clusterrun.planning.script import render
from clusterrun.planning.strategy.machines import machines_of
from tests.support.accelerates_own import Taken, taken
from tests.support.planned import ROOT, prepared_job_spec

SPECS = sorted((ROOT / "job_specs").glob("*.yaml"))
CONFIGS = sorted(
    path for path in (ROOT / "configs").glob("*.yaml") if path.stem != "cluster_profile"
)
JSONS = sorted((ROOT / "configs").glob("*.json"))


def launched(name: str, node_dir: Path, *overrides: str) -> Taken:
    """Process a job spec as far as accelerate does before it starts workers."""
    one = prepared_job_spec(name, *overrides)
    plan = make_plan(one)
    machines = machines_of(
        one.loaded.spec.slurm, gpus_requested=plan.gpus_requested, processes=plan.launch.processes
    )
    return taken(plan.launch, node_dir, nodes=plan.nodes, processes=machines.processes)


@pytest.fixture(autouse=True)
def with_default_config(monkeypatch):
    """accelerate reads a user's default config if no other is passed."""
    monkeypatch.setenv("HF_HOME", "/nowhere")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def without_fp8(name: str) -> list[str]:
    """The launcher looks for a library that exists only on machines with such GPUs."""
    return (
        ["accelerate.mixed_precision=bf16", "accelerate.fp8_config=null"] if name == "fp8" else []
    )


@pytest.mark.parametrize("name", [path.stem for path in SPECS])
def test_a_job_spec_is_valid_and_short(name):
    """The only error of a job spec is its missing environment, and each fits on a screen."""
    found = [
        problem for problem in prepared_job_spec(name).problems if problem.key != "environment.venv"
    ]
    assert found == []
    lines = (ROOT / "job_specs" / f"{name}.yaml").read_text().splitlines()
    assert len(lines) < 25
    assert lines[0].startswith("# ")


@pytest.mark.parametrize("name", [path.stem for path in SPECS])
def test_accelerate_accepts_every_job_spec(name, tmp_path):
    """Config and command of each spec pass accelerate's own checks, with the intended processes."""
    workers = launched(name, tmp_path, *without_fp8(name))
    assert workers.launcher == "torchrun"
    machines = workers.args.num_machines
    assert workers.args.num_processes % machines == 0
    assert int(workers.args.nproc_per_node) * machines == workers.args.num_processes


ZERO = {
    "zero1": (1, "none", "none"),
    "zero2": (2, "none", "none"),
    "zero3": (3, "none", "none"),
    "zero2_cpu_offload": (2, "cpu", "none"),
    "zero3_cpu_offload": (3, "cpu", "cpu"),
    "zero3_nvme_offload": (3, "nvme", "nvme"),
}


@pytest.mark.parametrize("name", ZERO)
def test_a_zero_stage_reaches_the_workers(name, tmp_path):
    """A worker's DeepSpeedPlugin has the spec's stage, offload and precision."""
    plugin = launched(name, tmp_path).deepspeed()
    stage, optimizer, parameters = ZERO[name]
    zero = plugin.deepspeed_config["zero_optimization"]
    assert (plugin.zero_stage, zero["stage"]) == (stage, stage)
    assert zero.get("offload_optimizer", {}).get("device", "none") == optimizer
    assert zero.get("offload_param", {}).get("device", "none") == parameters
    assert plugin.deepspeed_config["bf16"]["enabled"] is True
    assert plugin.deepspeed_config["fp16"]["enabled"] is False
    if stage == 3:
        assert zero["stage3_gather_16bit_weights_on_model_save"] is True
        assert plugin.zero3_init_flag


def test_accumulation_fills_the_json(tmp_path):
    """accelerate.gradient_accumulation_steps is what DeepSpeed's "auto" becomes."""
    plugin = launched("zero2", tmp_path, "accelerate.gradient_accumulation_steps=7").deepspeed()
    assert plugin.deepspeed_config["gradient_accumulation_steps"] == 7


def test_the_folder_of_nvme_reaches_the_workers(tmp_path):
    """accelerate's launcher does not pass offload_*_nvme_path on; the script's environment does."""
    one = prepared_job_spec(
        "zero3_nvme_offload", "accelerate.deepspeed_config.offload_param_nvme_path=/other disk"
    )
    variables = one.launch.variables
    assert variables["ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_NVME_PATH"] == "/other disk"
    workers = taken(one.launch, tmp_path, processes=4)
    config = (
        Taken(workers.args, {**workers.environment, **variables}, "").deepspeed().deepspeed_config
    )
    assert config["zero_optimization"]["offload_optimizer"]["nvme_path"] == "/local/scratch"
    assert config["zero_optimization"]["offload_param"]["nvme_path"] == "/other disk"


@pytest.mark.parametrize("precision", ["no", "fp16", "bf16"])
@pytest.mark.parametrize("path", JSONS, ids=[path.stem for path in JSONS])
def test_every_auto_of_a_json_is_filled(path, precision, tmp_path):
    """fp16 and bf16 may both be "auto": accelerate enables one by mixed_precision."""
    spec = f"accelerate.deepspeed_config={{deepspeed_config_file: configs/{path.name}}}"
    plugin = launched(
        "zero2", tmp_path, spec, f"accelerate.mixed_precision={precision}"
    ).deepspeed()
    enabled = {kind: plugin.deepspeed_config[kind]["enabled"] for kind in ("fp16", "bf16")}
    assert enabled == {"fp16": precision == "fp16", "bf16": precision == "bf16"}
    original = json.loads(path.read_text())
    plugin.deepspeed_config_process(
        must_match=False,
        train_batch_size=64,
        train_micro_batch_size_per_gpu=8,
        gradient_clipping=1.0,
    )
    left = {key for key, value in plugin.deepspeed_config.items() if value == "auto"}
    assert left == set()
    assert original["train_batch_size"] == "auto"


FSDP = {
    "fsdp2": {"fsdp_version": 2, "reshard_after_forward": True, "activation_checkpointing": False},
    "fsdp2_cpu_offload": {"fsdp_version": 2, "activation_checkpointing": True},
    "fsdp1": {
        "fsdp_version": 1,
        "use_orig_params": True,
        "transformer_cls_names_to_wrap": ["GPT2Block"],
    },
    "fsdp1_full_state": {"fsdp_version": 1, "min_num_params": 1000000},
}
STATES = {"fsdp1_full_state": "FULL_STATE_DICT"}


@pytest.mark.parametrize("name", FSDP)
def test_an_fsdp_plugin_matches_the_spec(name, tmp_path):
    """A worker's FullyShardedDataParallelPlugin has the spec's version, wrapping and offload."""
    taken_ = launched(name, tmp_path)
    environment = {
        **taken_.environment,
        "FSDP_SYNC_MODULE_STATES": "false",
    }  # requests a GPU at once
    plugin = Taken(taken_.args, environment, "").fsdp()
    assert {key: getattr(plugin, key) for key in FSDP[name]} == FSDP[name]
    assert plugin.state_dict_type.name == STATES.get(name, "SHARDED_STATE_DICT")
    assert (type(plugin.cpu_offload).__name__ == "CPUOffloadPolicy") == (
        name == "fsdp2_cpu_offload"
    )
    if name == "fsdp1_full_state":
        assert plugin.sharding_strategy.name == "SHARD_GRAD_OP"


def test_torch_compile_and_fp16_reach_the_workers(tmp_path):
    """dynamo_config and mixed_precision become what `Accelerator()` reads."""
    compiled = launched("torch_compile", tmp_path).environment
    assert compiled["ACCELERATE_DYNAMO_BACKEND"] == "INDUCTOR"
    assert launched("fp16", tmp_path).environment["ACCELERATE_MIXED_PRECISION"] == "fp16"
    assert launched("module", tmp_path).args.module is True


def test_fp8_requires_its_library(tmp_path):
    """For fp8 the launcher reports a missing torchao or Transformer Engine, and nothing else."""
    with pytest.raises(RuntimeError, match=r"(?i)fp8"):
        launched("fp8", tmp_path)


@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_accelerate_accepts_every_config(path, tmp_path, monkeypatch):
    """Each accelerate YAML of configs/ is accepted unchanged, on two nodes, with its JSON."""
    monkeypatch.chdir(tmp_path)
    Path("train.py").touch()
    Path("job.yaml").write_text(
        f"script: {tmp_path}/train.py\nslurm: {{nodes: 2, gpus-per-node: 4, chdir: {ROOT}}}\n"
        f"accelerate: {{config_file: configs/{path.name}}}\n"
    )
    one = prepare(Request("job.yaml", environment={"HOME": str(tmp_path)}, own_python=False))
    assert one.problems == ()
    launch = one.launch
    assert launch.config == path.read_text()
    workers = taken(launch, tmp_path, nodes=2, processes=8)
    assert (workers.launcher, workers.args.num_processes, workers.args.machine_rank) == (
        "torchrun",
        8,
        1,
    )
    if "zero" in path.stem:
        assert f"zero{workers.deepspeed().zero_stage}" in path.stem


def test_the_script_contains_the_json():
    """The script contains DeepSpeed's JSON unchanged, and points accelerate at that copy."""
    script = render(make_plan(prepared_job_spec("zero3")))
    text = (ROOT / "configs" / "deepspeed_zero3.json").read_text()
    assert f"cat > \"$node_dir/deepspeed.json\" <<'END_OF_CONFIG'\n{text}END_OF_CONFIG\n" in script
    assert (
        '--deepspeed_config_file "$node_dir/deepspeed.json" --mixed_precision bf16 \\\n' in script
    )
    config = yaml.safe_load(prepared_job_spec("zero3").launch.config)
    assert "mixed_precision" not in config
    assert "deepspeed_config_file" not in config["deepspeed_config"]


def test_a_missing_json_keeps_its_path(tmp_path, monkeypatch):
    """If the JSON is missing at rendering, its path stays relative to the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("job.yaml").write_text(
        "script: a.py\naccelerate: {deepspeed_config: {deepspeed_config_file: far/ds.json}}\n"
    )
    spec = load_spec("job.yaml").spec
    launch: Launch = make_launch(spec, Configs(), gpus_requested=requests_gpus(spec.slurm))
    assert (
        yaml.safe_load(launch.config or "")["deepspeed_config"]["deepspeed_config_file"]
        == "far/ds.json"
    )
    assert list(launch.files) == ["accelerate.yaml"]


@pytest.mark.parametrize(
    ("section", "path"), [(None, None), ({}, None), ({"deepspeed_config_file": "none"}, None),
                          ({"deepspeed_config_file": "a.json"}, "a.json")]
)  # fmt: skip
def test_which_json_a_section_names(section, path):
    """accelerate's own word for "no JSON" is none."""
    assert deepspeed_json_path(section) == path
