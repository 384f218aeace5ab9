"""Settings that accelerate refuses after hours in the queue, or that only old tutorials use.

They are reported before submission, at their line.
"""

from __future__ import annotations

import json
import re

import pytest

from clusterrun.planning.strategy.accelerate_keys import FLAGS
from clusterrun.planning.strategy.installed import read_accelerate_keys
from tests.support.validation import ZERO, reported

pytestmark = pytest.mark.usefixtures("folder")


# The spec's `accelerate` section; indented, its report without `job.yaml:3: accelerate.`.
SPECS = """
{fsdp_config: {fsdp_auto_wrap_policy: TRANSFORMER_AUTO_WRAP}}
  fsdp_config.fsdp_auto_wrap_policy: must be one of TRANSFORMER_BASED_WRAP, SIZE_BASED_WRAP, NO_WRAP; got 'TRANSFORMER_AUTO_WRAP'
    hint: did you mean TRANSFORMER_BASED_WRAP?
{fsdp_config: {fsdp_version: 2, fsdp_sharding_strategy: SHARD_GRAD_OP}}
  fsdp_config.fsdp_sharding_strategy: FSDP2 ignores it
    hint: use fsdp_reshard_after_forward: false
{fsdp_config: {fsdp_version: 2, fsdp_sharding_strategy: 4}}
  fsdp_config.fsdp_sharding_strategy: FSDP2 ignores it
    hint: use parallelism_config with dp_replicate_size and dp_shard_size
{fsdp_config: {fsdp_version: 2, fsdp_sharding_strategy: FULL_SHARD, fsdp_backward_prefetch: BACKWARD_PRE}}
  note: fsdp_config.fsdp_sharding_strategy: FSDP2 ignores it; write fsdp_reshard_after_forward: true
  note: fsdp_config.fsdp_backward_prefetch: FSDP2 ignores it
{fsdp_config: {fsdp_version: 2, fsdp_reshard_after_forward: FULL_SHARD}}
  fsdp_config.fsdp_reshard_after_forward: must be true or false with fsdp_version: 2, got 'FULL_SHARD'
    hint: use fsdp_reshard_after_forward: true
{fsdp_config: {fsdp_version: 2, fsdp_state_dict_type: LOCAL_STATE_DICT}}
  fsdp_config.fsdp_state_dict_type: accelerate refuses it: FSDP2 has no local state
    hint: write SHARDED_STATE_DICT
{fsdp_config: {fsdp_reshard_after_forward: false}}
  fsdp_config.fsdp_reshard_after_forward: FSDP version 1, the default, ignores it
    hint: write fsdp_sharding_strategy: SHARD_GRAD_OP, or fsdp_version: 2
{fsdp_config: {fsdp_version: 3}}
  fsdp_config.fsdp_version: must be 1 or 2, got '3'
{fsdp_config: {sync_module_states: false}}
  fsdp_config.sync_module_states: accelerate refuses false with fsdp_cpu_ram_efficient_loading: true, the default
    hint: write fsdp_cpu_ram_efficient_loading: false, or true here
{fsdp_config: {fsdp_version: 2, fsdp_activation_checkpointing_offload: true}}
  fsdp_config.fsdp_activation_checkpointing_offload: requires fsdp_version: 2 and fsdp_activation_checkpointing: true
{fsdp_config: {fsdp_optim_state_dict_type: FULL_STATE_DICT}}
  fsdp_config.fsdp_optim_state_dict_type: unknown key; accelerate silently ignores it
    hint: delete it: accelerate derives it from fsdp_state_dict_type
{fsdp_config: {fsdp_backward_prefetch_policy: BACKWARD_PRE}}
  fsdp_config.fsdp_backward_prefetch_policy: unknown key; accelerate silently ignores it
    hint: use fsdp_backward_prefetch
{use_cpu: true, fsdp_config: {fsdp_version: 2}}
  fsdp_config: no GPUs requested; on CPUs accelerate silently trains with DDP instead
    hint: request GPUs with slurm.gpus-per-node, or delete fsdp_config
{deepspeed_config: {zero_stge: 2}}
  deepspeed_config.zero_stge: unknown key; accelerate silently ignores it
    hint: did you mean zero_stage?
{deepspeed_config: {stage: 2, bf16: {enabled: true}}}
  deepspeed_config.bf16: unknown key; accelerate silently ignores it
    hint: use deepspeed_config_file with DeepSpeed's own keys in a JSON
  deepspeed_config.stage: unknown key; accelerate silently ignores it
    hint: use zero_stage
{deepspeed_config: {zero_stage: 4}}
  deepspeed_config.zero_stage: must be 0, 1, 2 or 3, got 4
{deepspeed_config: {zero_stage: 2, deepspeed_multinode_launcher: pdsh}}
  deepspeed_config.deepspeed_multinode_launcher: pdsh would start the nodes a second time, after Slurm
    hint: write standard, or delete it: Slurm starts one accelerate launch on each node
{deepspeed_config: {zero_stage: 2, offload_param_device: cpu, offload_optimizer_device: nvme}}
  deepspeed_config.offload_optimizer_device: nvme requires a folder on each node's local disk
    hint: add offload_optimizer_nvme_path: /local/scratch
  deepspeed_config.offload_param_device: DeepSpeed ignores it at stage 2; only ZeRO-3 shards parameters
    hint: write zero_stage: 3, or delete it
{deepspeed_config: {zero_stage: 2, offload_optimizer_device: gpu}}
  deepspeed_config.offload_optimizer_device: must be one of none, cpu, nvme; got 'gpu'
{deepspeed_config: {zero_stage: 3}}
  note: deepspeed_config.zero_stage: without zero3_save_16bit_model: true, accelerator.get_state_dict fails at the end of training
{gradient_accumulation_steps: 4, deepspeed_config: {gradient_accumulation_steps: 2}}
  deepspeed_config.gradient_accumulation_steps: 2 here, but 4 in accelerate.gradient_accumulation_steps
    hint: delete it here; the other one also reaches DeepSpeed
{deepspeed_config: {deepspeed_config_file: train.py, zero_stage: 2, zero3_save_16bit_model: true}}
  deepspeed_config.deepspeed_config_file: {folder}/train.py is not valid JSON: line 1, column 1
  deepspeed_config.zero3_save_16bit_model: accelerate refuses it together with deepspeed_config_file
    hint: set zero_optimization.stage3_gather_16bit_weights_on_model_save in train.py
  deepspeed_config.zero_stage: accelerate refuses it together with deepspeed_config_file
    hint: set zero_optimization.stage in train.py
{fp8_config: {backend: TE}}
  fp8_config: accelerate ignores it without mixed_precision: fp8
    hint: write mixed_precision: fp8
{mixed_precision: fp8, fp8_config: {backend: NVIDIA}}
  fp8_config.backend: must be one of TE, AO, MSAMP; got 'NVIDIA'
{dynamo_config: {backend: INDUCTOR, dynamo_fullgraph: true}}
  dynamo_config.dynamo_fullgraph: unknown key; accelerate silently ignores it
    hint: did you mean dynamo_use_fullgraph?
"""


def cases(table: str) -> list[tuple[str, str]]:
    """Each line of a table, and its report."""
    found: list[tuple[str, list[str]]] = []
    for row in table.strip().splitlines():
        if row.startswith("    "):
            found[-1][1].append(f"  {row.strip()}")
        elif row.startswith("  note: "):
            found[-1][1].append(f"note: job.yaml:3: accelerate.{row[8:]}")
        elif row.startswith("  "):
            found[-1][1].append(f"job.yaml:3: accelerate.{row.strip()}")
        else:
            found.append((row, []))
    return [(line, "\n".join(report)) for line, report in found]


@pytest.mark.parametrize(("line", "expected"), cases(SPECS), ids=[line for line, _ in cases(SPECS)])
def test_a_section_of_a_spec(folder, line, expected):
    """Keys that accelerate would refuse or silently drop are reported with today's spelling."""
    spec = f"script: train.py\nslurm: {{nodes: 2, gpus-per-node: 4}}\naccelerate: {line}\n"
    unknown = (FLAGS & set(re.findall(r"\w+", line))) - read_accelerate_keys(None).flags
    if unknown:  # this accelerate is older than the key
        assert all(f"{word}: unknown key" in reported(spec) for word in unknown)
    else:
        assert reported(spec) == expected.replace("{folder}", str(folder))


WITH_GPUS = (
    "script: train.py\nslurm: {nodes: 2, gpus-per-node: 4}\naccelerate: {config_file: a.yaml}\n"
)
CONFIGS = [
    ("distributed_type: MULTI_GPU\nmixed_precision: no\n",
     "a.yaml:2: mixed_precision: accelerate reads no without quotes as false, and fails\n  hint: write 'no', with quotes"),
    ("distributed_type: MULTI_GPU\ngradient_accumulation_steps: 4\n",
     "a.yaml:2: gradient_accumulation_steps: unknown key; accelerate refuses the whole file\n"
     "  hint: use the spec's accelerate.gradient_accumulation_steps, which reaches Accelerator() with every strategy"),
    ("distributed_type: MULTI_GPU\nfsdp_config:\n  fsdp_version: 2\n",
     "a.yaml:2: fsdp_config: accelerate ignores it with distributed_type MULTI_GPU\n  hint: write distributed_type: FSDP"),
    ("distributed_type: MULTI_GPU\nipex_config: {}\n",
     "a.yaml:2: ipex_config: unknown key; accelerate refuses the whole file\n"
     "  hint: delete it: accelerate no longer uses Intel's extension"),
    ("distributed_type: FSDP2\n",
     "a.yaml:1: distributed_type: accelerate does not know FSDP2\n  hint: write FSDP, with fsdp_config: {fsdp_version: 2}"),
    ("compute_environment: AMAZON_SAGEMAKER\ndistributed_type: 'NO'\n",
     "a.yaml:1: compute_environment: AMAZON_SAGEMAKER is not possible on Slurm\n  hint: write LOCAL_MACHINE"),
    ("distributed_type: MULTI_CPU\nuse_cpu: true\n",
     "note: a.yaml:2: use_cpu: the job requests GPUs, but this config trains on CPUs"),
    ("distributed_type: MULTI_GPU\nnum_processes: 16\nnum_machines: 2\n",
     "note: a.yaml:2: num_processes: 16 here, but 8 on the requested nodes"),
    ("distributed_type: DEEPSPEED\ndeepspeed_config:\n  zero_stage: 1\n  deepspeed_multinode_launcher: pdsh\n",
     "a.yaml:4: deepspeed_config.deepspeed_multinode_launcher: pdsh would start the nodes a second time, after Slurm\n"
     "  hint: write standard, or delete it: Slurm starts one accelerate launch on each node"),
    ("distributed_type: DEEPSPEED\nmixed_precision: bf16\ndeepspeed_config:\n  deepspeed_config_file: ds.json\n",
     "a.yaml:2: mixed_precision: accelerate refuses it together with deepspeed_config_file\n"
     "  hint: delete it and set bf16.enabled in ds.json; or use the spec's mixed_precision and "
     "deepspeed_config"),
    ("distributed_type: FSDP\nfsdp_config:\n  fsdp_sharding_strategy: FULL_SHRD\n",
     "a.yaml:3: fsdp_config.fsdp_sharding_strategy: must be one of FULL_SHARD, SHARD_GRAD_OP, NO_SHARD, HYBRID_SHARD, "
     "HYBRID_SHARD_ZERO2; got 'FULL_SHRD'\n  hint: did you mean FULL_SHARD?"),
    ("distributed_type: DEEPSPEED\ndeepspeed_config: {deepspeed_config_file: gone.json}\n",
     "a.yaml:2: deepspeed_config.deepspeed_config_file: file not found: {folder}/gone.json\n"
     "  hint: relative paths start at slurm.chdir, or at the current folder without it"),
]  # fmt: skip


@pytest.mark.parametrize(("config", "expected"), CONFIGS)
def test_an_accelerate_config(folder, config, expected):
    """The same in an accelerate YAML is reported at the line of that file."""
    assert reported(
        WITH_GPUS, a_yaml=config, ds_json='{"zero_optimization": {"stage": 2}}'
    ) == expected.replace("{folder}", str(folder))


JSONS = [
    ({"bf16": {"enabled": True}}, "", "zero_optimization: missing; accelerate refuses a DeepSpeed config without it\n"
     '  hint: write at least {"stage": 2}'),
    ({**ZERO, "fp16": {"enabled": True}, "bf16": {"enabled": True}}, "",
     "bf16.enabled: DeepSpeed refuses fp16 and bf16 together\n"
     '  hint: write "auto" in both; mixed_precision selects one'),
    ({**ZERO, "fp16": {"enabled": True}}, "mixed_precision: bf16",
     "fp16.enabled: accelerate refuses it with mixed_precision: bf16\n"
     '  hint: write "auto" in both fp16.enabled and bf16.enabled'),
    ({**ZERO, "bf16": {"enabled": False}}, "mixed_precision: bf16",
     "bf16.enabled: false, so mixed_precision: bf16 would train in fp32\n"
     '  hint: write "auto" in both fp16.enabled and bf16.enabled'),
    ({"zero_optimization": {"stage": 2, "cpu_offload": True}}, "",
     'zero_optimization.cpu_offload: DeepSpeed has removed this key\n  hint: write offload_optimizer: {"device": "cpu"}'),
    ({"zero_optimization": {"stage": 2, "offload_param": {"device": "cpu"}}}, "",
     "zero_optimization.offload_param: DeepSpeed ignores it at stage 2; only ZeRO-3 shards parameters\n"
     '  hint: write "stage": 3, or delete it'),
    ({"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "nvme"}}}, "",
     "zero_optimization.offload_optimizer.device: nvme requires a folder on each node's local disk\n"
     '  hint: add "nvme_path": "/local/scratch"'),
    (ZERO, "gradient_accumulation_steps: 4",
     "gradient_accumulation_steps: missing, which accelerate reads as 1; the spec has 4\n"
     '  hint: write "auto"'),
    ({"gradient_accumulation_steps": 2, **ZERO}, "gradient_accumulation_steps: 4",
     'gradient_accumulation_steps: 2 here, but 4 in the spec, which this overrides\n  hint: write "auto"'),
    ({"train_batch_size": 100, "gradient_accumulation_steps": 4, **ZERO}, "",
     "train_batch_size: 100 is not divisible by 8 processes x 4 accumulated\n"
     '  hint: write "auto"'),
    ({"train_batch_size": 64, "train_micro_batch_size_per_gpu": 4, "gradient_accumulation_steps": 1, **ZERO}, "",
     "train_batch_size: must be 32: 4 per process x 8 processes x 1 accumulated; got 64\n"
     '  hint: write "auto"'),
]  # fmt: skip


@pytest.mark.parametrize(("config", "words", "expected"), JSONS)
def test_a_deepspeed_json(config, words, expected):
    """What accelerate or DeepSpeed refuse in a JSON is reported at its line, even with tabs."""
    spec = (
        "script: train.py\nslurm: {nodes: 2, gpus-per-node: 4}\n"
        f"accelerate: {{deepspeed_config: {{deepspeed_config_file: ds.json}}, {words}}}\n"
    )
    text = json.dumps(config, indent="\t")
    report = reported(spec, ds_json=text)
    where, _, rest = report.partition(": ")
    assert rest == expected
    name, line = where.split(":")
    *above, key = expected.split(":")[0].split(".")
    assert name == "ds.json"
    assert f'"{key}"' in text.splitlines()[int(line) - 1] or (key not in text and not above)


def test_a_correct_global_batch_size():
    """A train_batch_size of micro batch x processes x accumulation is accepted."""
    config = {
        "train_batch_size": 256,
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
    }
    spec = (
        "script: train.py\nslurm: {nodes: 2, gpus: 8}\nargs: {batch_size: 8}\n"
        "accelerate: {gradient_accumulation_steps: 4, deepspeed_config: {deepspeed_config_file: ds.json}}\n"
    )
    assert reported(spec, ds_json=json.dumps({**config, **ZERO})) == ""
    assert "must be 256: 8 per process x 8 processes x 4" in reported(
        spec, ds_json=json.dumps({**config, "train_batch_size": 128, **ZERO})
    )


@pytest.mark.parametrize(("section", "what"), [
    ("fsdp_config: {fsdp_version: 2, fsdp_sharding_strategy: ''}", "fsdp_sharding_strategy: must be one of FULL_SHARD"),
    ("fsdp_config: {fsdp_version: 2, fsdp_sharding_strategy: 12}", "fsdp_sharding_strategy: must be one of FULL_SHARD"),
    ("fsdp_config: {1: 2, fsdp_version: 2}", "fsdp_config.1: "),
    ("deepspeed_config: {zero_stage: '5'}", "zero_stage: must be 0, 1, 2 or 3, got '5'"),
])  # fmt: skip
def test_a_meaningless_value_is_reported(section, what):
    """It is reported in a spec and in an accelerate config alike."""
    assert what in reported(
        f"script: train.py\nslurm: {{gpus-per-node: 4}}\naccelerate: {{{section}}}\n"
    )
    spec = "script: train.py\nslurm: {gpus-per-node: 4}\naccelerate: {config_file: a.yaml}\n"
    kind = "FSDP" if "fsdp" in section else "DEEPSPEED"
    assert "a.yaml:2: " in reported(spec, a_yaml=f"distributed_type: {kind}\n{section}\n")


def test_numbers_may_be_quoted():
    """accelerate reads quoted numbers, too."""
    section = "{zero_stage: '3', offload_param_device: cpu, zero3_save_16bit_model: true, gradient_accumulation_steps: '4'}"
    spec = "script: train.py\nslurm: {gpus-per-node: 4}\naccelerate: "
    assert reported(f"{spec}{{deepspeed_config: {section}}}\n") == ""
    assert (
        reported(
            f"{spec}{{config_file: a.yaml}}\n",
            a_yaml=f"distributed_type: DEEPSPEED\ndeepspeed_config: {section}\n",
        )
        == ""
    )


def test_the_section_s_accumulation_would_win():
    """A DeepSpeed section's number that differs from the script's is reported."""
    spec = "script: train.py\nargs: {gradient_accumulation_steps: 8}\nslurm: {gpus-per-node: 4}\naccelerate: "
    section = "deepspeed_config: {zero_stage: 2, gradient_accumulation_steps: 1}"
    expected = ("gradient_accumulation_steps: 1 here, but 8 in args, which this overrides\n"
                "  hint: delete it here, and set accelerate.gradient_accumulation_steps: 8")  # fmt: skip
    assert (
        reported(f"{spec}{{{section}}}\n") == f"job.yaml:4: accelerate.deepspeed_config.{expected}"
    )
    config = f"distributed_type: DEEPSPEED\n{section}\n"
    assert (
        reported(f"{spec}{{config_file: a.yaml}}\n", a_yaml=config)
        == f"a.yaml:2: deepspeed_config.{expected}"
    )
