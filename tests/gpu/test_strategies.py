"""On GPUs, over NCCL: each strategy trains, shares out what it should, saves the whole model, and resumes.

None of these has been run on several GPUs yet. `pytest tests/gpu` runs those for which there are GPUs enough.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training_scripts.launches import EXAMPLE, Ended, clean_environment
from tests.training_scripts.strategies import start_configured

FSDP_MODEL, ZERO_MODEL = 100801, 18817  # weights of the two examples' models
FSDP = {
    "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
    "fsdp_state_dict_type": "SHARDED_STATE_DICT",
    "fsdp_cpu_ram_efficient_loading": False,
}
FSDP1 = {
    **FSDP,
    "fsdp_version": 1,
    "fsdp_sharding_strategy": "FULL_SHARD",
    "fsdp_use_orig_params": True,
}
FSDP2 = {**FSDP, "fsdp_version": 2, "fsdp_reshard_after_forward": True}


def train(
    folder: Path, name: str, section: dict[str, Any], *words: object, ranks: int = 2
) -> Ended:
    """Run an example on this many GPUs."""
    environment = clean_environment(folder)
    del environment["CUDA_VISIBLE_DEVICES"]
    script = EXAMPLE.with_name(f"{name}.py")
    section = {"mixed_precision": "no", **section}
    for what in (
        "OPTIMIZER",
        "PARAM",
    ):  # accelerate's launcher does not hand these on from a config
        environment[f"ACCELERATE_DEEPSPEED_OFFLOAD_{what}_NVME_PATH"] = str(folder)
    log = folder / "log"
    return start_configured(
        section, script, *words, environment=environment, log=log, ranks=ranks, real=True
    ).wait()


def train_twice(
    folder: Path, name: str, section: dict[str, Any], *words: object, ranks: int = 2
) -> list[list[Any]]:
    """Return the lines of a training, and of another run that resumes from its last checkpoint."""
    words = ("--output_dir", folder / "output", *words)
    return [lines(train(folder, name, section, *words, ranks=ranks)) for _ in range(2)]


def lines(ended: Ended) -> list[Any]:
    assert ended.code == 0, ended.output
    return [json.loads(line) for line in ended.output.splitlines() if line.startswith("{")]


def losses(found: list[Any]) -> dict[int, float]:
    return {line["step"]: line["loss"] for line in found if "step" in line}


def assert_resumed(first: list[Any], second: list[Any], rel: float) -> None:
    """The second run took the last steps of the first again, with its losses."""
    whole, rest = losses(first), losses(second)
    assert 0 < len(rest) < len(whole)
    assert rest == pytest.approx({step: whole[step] for step in rest}, rel=rel)


def numbers(folder: Path) -> int:
    return sum(
        tensor.numel()
        for tensor in load_file(folder / "output" / "model" / "model.safetensors").values()
    )


@pytest.mark.gpu(2)
def test_processes_meet_over_nccl(tmp_path: Path) -> None:
    """Two processes have a GPU each, and their sum is right."""
    ended = train(tmp_path, "multi_node", {})
    assert ended.code == 0, ended.output
    assert "device cuda:0" in ended.output
    assert "device cuda:1" in ended.output
    assert "2 processes on 1 nodes, MULTI_GPU: sum 3 of 3" in ended.output


@pytest.mark.gpu(2)
@pytest.mark.parametrize(("words", "rel"), [(FSDP2, 1e-5), (FSDP1, 1e-2)], ids=["fsdp2", "fsdp1"])
def test_fsdp_shares_out_all_and_resumes(words: dict[str, Any], rel: float, tmp_path: Path) -> None:
    """Each process holds half of weights and optimizer, the model is saved whole, and a resumed run has the same losses.

    FSDP1 with use_orig_params is known to go slightly other ways after a resume.
    """
    section = {"fsdp_config": {**words, "fsdp_transformer_layer_cls_to_wrap": "Block"}}
    first, second = train_twice(tmp_path, "fsdp_training", section)
    assert first[-1]["distributed_type"] == "FSDP"
    for share in first[-1]["held"]:
        assert share == pytest.approx({"weights": FSDP_MODEL / 2, "optimizer": FSDP_MODEL}, rel=0.1)
    assert numbers(tmp_path) == FSDP_MODEL
    assert_resumed(first, second, rel)


@pytest.mark.gpu(2)
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_zero_over_nccl(stage: int, tmp_path: Path) -> None:
    """ZeRO trains and resumes on GPUs, without a setting for the backend."""
    section = {"deepspeed_config": {"zero_stage": stage, "zero3_save_16bit_model": True}}
    first, second = train_twice(tmp_path, "deepspeed_training", section)
    assert (first[-1]["distributed_type"], first[-1]["zero_stage"]) == ("DEEPSPEED", stage)
    assert numbers(tmp_path) == ZERO_MODEL
    assert_resumed(first, second, 1e-5)


@pytest.mark.gpu(1)
@pytest.mark.parametrize("where", ["cpu", "nvme"])
def test_offload(where: str, tmp_path: Path) -> None:
    """ZeRO-3 trains and resumes with weights and optimizer in the host's memory, or on a disk."""
    if where == "nvme":
        from deepspeed.ops.op_builder import AsyncIOBuilder

        if not AsyncIOBuilder().is_compatible():
            pytest.skip("needs DeepSpeed's async_io, that is libaio's headers")
    section = {"zero_stage": 3, "zero3_save_16bit_model": True, "gradient_clipping": 1.0,
               "offload_optimizer_device": where, "offload_param_device": where}  # fmt: skip
    first, second = train_twice(
        tmp_path, "deepspeed_training", {"deepspeed_config": section}, ranks=1
    )
    assert numbers(tmp_path) == ZERO_MODEL
    assert_resumed(first, second, 1e-4)


@pytest.mark.gpu(1)
@pytest.mark.parametrize(
    ("precision", "dtype"), [("bf16", "torch.bfloat16"), ("fp16", "torch.float16")]
)
def test_a_16_bit_precision(precision: str, dtype: str, tmp_path: Path) -> None:
    """The activations are of that type, and a resumed run has the same losses; fp16 has its scale back, too."""
    first, second = train_twice(
        tmp_path, "mixed_precision", {"mixed_precision": precision}, ranks=1
    )
    assert first[-1]["activations"] == dtype
    assert_resumed(first, second, 1e-3)
    scales = [
        {line["step"]: line.get("scale") for line in found if "step" in line}
        for found in (first, second)
    ]
    assert (scales[0][1] is not None) == (precision == "fp16")
    assert scales[1].items() <= scales[0].items()


@pytest.mark.gpu(1)
def test_fp8(tmp_path: Path) -> None:
    """With fp8 by torchao the language model trains, and its loss stays near that of bf16."""
    if torch.cuda.get_device_capability() < (8, 9):
        pytest.skip("needs a GPU with fp8: Ada, Hopper or later")
    if importlib.util.find_spec("torchao") is None:
        pytest.skip("needs torchao")
    found = {}
    for precision in ("bf16", "fp8"):
        folder = tmp_path / precision
        folder.mkdir()
        section: dict[str, Any] = {"mixed_precision": precision}
        if precision == "fp8":
            section["fp8_config"] = {"backend": "AO"}
        words = ["--output_dir", folder / "output", "--max_steps", 40, "--logging_steps", 1]
        found[precision] = losses(lines(train(folder, "train_causal_lm", section, *words, ranks=1)))
    assert found["fp8"][40] < found["fp8"][1] - 1
    assert found["fp8"][40] == pytest.approx(found["bf16"][40], rel=0.05)


@pytest.mark.gpu(2)
@pytest.mark.parametrize(
    "section",
    [{"fsdp_config": {**FSDP2, "fsdp_transformer_layer_cls_to_wrap": "GPT2Block"}}, {"deepspeed_config": {
        "zero_stage": 3, "zero3_save_16bit_model": True, "gradient_clipping": 1.0}}],
    ids=["fsdp2", "zero3"],
)  # fmt: skip
def test_the_language_model_by_its_spec_alone(section: dict[str, Any], tmp_path: Path) -> None:
    """The example's script, unchanged, trains in bf16 by its config, and resumes from its checkpoint."""
    words = ["--max_steps", 12, "--save_steps", 8, "--logging_steps", 1]
    first, second = train_twice(
        tmp_path, "train_causal_lm", {"mixed_precision": "bf16", **section}, *words
    )
    assert_resumed(first, second, 1e-4)
    (manifest,) = (tmp_path / "output" / "checkpoints").glob("step-00000008-*/manifest.json")
    assert (
        json.loads(manifest.read_text())["strategy"]
        == next(iter(section)).partition("_")[0].upper()
    )
