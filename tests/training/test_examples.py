"""Every example runs on CPUs, resumes where it saved, and shows what its docstring teaches.

Budget: 2 minutes. The language model and the plain script have separate tests.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training_scripts.launches import (
    ROOT,
    Ended,
    clean_environment,
    start,
    start_two,
    start_two_nodes,
)
from tests.training_scripts.strategies import Strategy, start_ranks

EXAMPLES = ROOT / "examples"
WEIGHTS, FSDP_WEIGHTS = 18817, 100801  # of the models of deepspeed_training.py and fsdp_training.py
ONE_RANK = (
    ("accelerator_basics", []),
    ("mixed_precision", ["--mixed_precision", "bf16"]),
    ("grad_accumulation", ["--gradient_accumulation_steps", 2]),
    ("fsdp_training", []),
)
TWO_RANKS = (("train_image_classifier", []), ("train_distributed", ["--logging_steps", 1]))
RARELY = {
    "mixed_precision",
    "grad_accumulation",
    "train_distributed",
}  # they have separate tests, too
EVERY = [
    pytest.param(
        name, words, ranks, marks=[pytest.mark.extended] if name in RARELY else [], id=name
    )
    for ranks, examples in ((1, ONE_RANK), (2, TWO_RANKS))
    for name, words in examples
]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return clean_environment(tmp_path_factory.mktemp("hf")) | {"ACCELERATE_USE_CPU": "true"}


def example(name: str) -> Path:
    return EXAMPLES / f"{name}.py"


def lines(ended: Ended) -> list[dict[str, Any]]:
    """Return the lines that an example printed as JSON."""
    assert ended.code == 0, ended.output
    return [json.loads(line) for line in ended.output.splitlines() if line.startswith("{")]


def steps(ended: Ended) -> list[dict[str, Any]]:
    return [line for line in lines(ended) if "step" in line]


def run(name: str, folder: Path, clean: dict[str, str], *words: object, ranks: int = 1) -> Ended:
    """Run an example in a folder, which may contain an earlier run's files."""
    begin = start_two if ranks == 2 else start
    words = ("--output_dir", folder / "output", *words)
    return begin(example(name), *words, environment=clean, log=folder / "log").wait()


def mean(found: list[dict[str, Any]]) -> float:
    return sum(line["loss"] for line in found) / len(found)


@pytest.mark.parametrize(("name", "words", "ranks"), EVERY)
def test_an_example_trains_and_resumes_where_it_saved(
    name: str, words: list[object], ranks: int, tmp_path: Path, clean: dict[str, str]
) -> None:
    """The loss falls; another run resumes after its last checkpoint and repeats each loss to the
    last bit.
    """
    first = steps(run(name, tmp_path, clean, *words, ranks=ranks))
    again = run(name, tmp_path, clean, *words, ranks=ranks)
    assert [line["step"] for line in first] == list(range(1, len(first) + 1))
    assert mean(first[-8:]) < 0.9 * mean(first[:8])
    second = steps(again)
    assert 0 < len(second) < len(first)
    assert second == first[-len(second) :]
    assert f"resumed from step-{second[0]['step'] - 1:08d}-0001" in again.output


@pytest.mark.parametrize(
    ("precision", "dtype", "size"), [("no", "torch.float32", 4), ("bf16", "torch.bfloat16", 2)]
)
def test_a_precision_applies_to_activations_only(
    precision: str, dtype: str, size: int, tmp_path: Path, clean: dict[str, str]
) -> None:
    """In every precision the weights are fp32; values between layers have the requested precision."""
    words = ["--mixed_precision", precision, "--num_train_epochs", 1]
    printed = lines(run("mixed_precision", tmp_path, clean, *words))[-1]
    assert (printed["mixed_precision"], printed["weights"]) == (precision, "torch.float32")
    assert (printed["activations"], printed["bytes"]) == (dtype, size)


def test_accumulated_gradients_equal_those_of_one_large_batch(
    tmp_path: Path, clean: dict[str, str]
) -> None:
    """32 samples per step are the same as one batch, as four of 8, and as two of 8 in two
    processes: each step's loss and gradient norm, and the weights after as many steps of SGD.
    """
    found = []
    for ranks, size, accumulation in ((1, 32, 1), (1, 8, 4), (2, 8, 2)):
        folder = tmp_path / f"{ranks}-{size}-{accumulation}"
        folder.mkdir()
        words = [
            "--per_device_train_batch_size",
            size,
            "--gradient_accumulation_steps",
            accumulation,
        ]
        ended = run("grad_accumulation", folder, clean, *words, ranks=ranks)
        assert [line["effective_batch"] for line in lines(ended) if "effective_batch" in line] == [
            32
        ]
        model = torch.load(folder / "output" / "model.pt", weights_only=True)
        found.append((steps(ended), model))
    (whole, weights), *others = found
    assert len(whole) == 32
    for parts, same in others:
        for name in ("loss", "gradient_norm"):
            assert [line[name] for line in parts] == pytest.approx(
                [line[name] for line in whole], rel=1e-4
            )
        assert all(torch.allclose(same[key], weights[key], rtol=1e-4, atol=1e-6) for key in weights)


@pytest.mark.extended
def test_a_smaller_effective_batch_trains_differently(
    tmp_path: Path, clean: dict[str, str]
) -> None:
    """The comparison above can fail: without the accumulation the first gradient differs."""
    norms = []
    for accumulation in (1, 4):
        folder = tmp_path / str(accumulation)
        folder.mkdir()
        words = ["--num_train_epochs", 1, "--gradient_accumulation_steps", accumulation]
        norms.append(steps(run("grad_accumulation", folder, clean, *words))[0]["gradient_norm"])
    assert norms[0] != pytest.approx(norms[1], rel=1e-2)


def test_every_process_of_two_nodes_prints_its_place(tmp_path: Path, clean: dict[str, str]) -> None:
    """Both ranks are named, on the main process's output only, and their sum is right."""
    launches = start_two_nodes(example("multi_node"), environment=clean, log=tmp_path / "log")
    first, second = [launch.wait() for launch in launches]
    assert (first.code, second.code) == (0, 0), first.output + second.output
    assert [line[:19] for line in first.output.splitlines() if line.startswith("rank")] == [
        "rank 0 local rank 0", "rank 1 local rank 0"]  # fmt: skip
    assert "2 processes on 1 nodes, MULTI_CPU: sum 3 of 3" in first.output
    assert "rank 0" not in second.output


@pytest.mark.extended
def test_how_zero_partitions(tmp_path: Path, clean: dict[str, str]) -> None:
    """With two ranks each holds half of the optimizer's numbers at stage 1, at stage 3 half of the
    weights as well, and resumes; the saved model is always complete.
    """
    on_its_own = clean | {"BACKEND": ""}  # it selects gloo by itself
    del on_its_own["ACCELERATE_USE_CPU"]
    shares = {}
    for stage in (1, 3):
        words = ["--output_dir", tmp_path / str(stage)]
        first = start_ranks(Strategy(stage), example("deepspeed_training"), *words, environment=on_its_own,
                            log=tmp_path / f"{stage}.log").wait()  # fmt: skip
        printed = lines(first)[-1]
        assert (printed["distributed_type"], printed["zero_stage"]) == ("DEEPSPEED", stage)
        shares[stage] = printed["held"]
        saved = load_file(tmp_path / str(stage) / "model" / "model.safetensors")
        assert sum(tensor.numel() for tensor in saved.values()) == WEIGHTS
    again = start_ranks(Strategy(3), example("deepspeed_training"), *words, environment=on_its_own,
                        log=tmp_path / "again.log").wait()  # fmt: skip
    assert steps(again) == steps(first)[-len(steps(again)) :]
    assert "resumed from step-00000024-0001" in again.output
    for stage, weights in ((1, WEIGHTS), (3, WEIGHTS / 2)):
        for share in shares[stage]:
            assert share == pytest.approx(
                {"weights": weights, "optimizer": WEIGHTS}, abs=4
            )  # padding of the last part


@pytest.mark.extended
def test_how_fsdp_partitions(tmp_path: Path, clean: dict[str, str]) -> None:
    """With two ranks each holds half of weights and optimizer, the saved model is complete, and a
    resumed run is the same.
    """
    environment = {name: value for name, value in clean.items() if name != "ACCELERATE_USE_CPU"}
    strategy, words = Strategy(fsdp2=True, block="Block"), ["--output_dir", tmp_path / "output"]
    first, second = [
        start_ranks(
            strategy, example("fsdp_training"), *words, environment=environment, log=tmp_path / log
        ).wait()
        for log in ("first", "second")
    ]
    printed = lines(first)[-1]
    assert printed["distributed_type"] == "FSDP"
    for share in printed["held"]:  # layers are divided, not numbers: the parts are not quite equal
        assert share == pytest.approx(
            {"weights": FSDP_WEIGHTS / 2, "optimizer": FSDP_WEIGHTS}, rel=0.01
        )
    saved = load_file(tmp_path / "output" / "model" / "model.safetensors")
    assert sum(tensor.numel() for tensor in saved.values()) == FSDP_WEIGHTS
    assert steps(second) == steps(first)[24:]


def test_fsdp_on_cpus_prints_a_warning(tmp_path: Path, clean: dict[str, str]) -> None:
    """If FSDP was requested and DDP is used, the example prints a warning."""
    environment = clean | {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
    ended = run("fsdp_training", tmp_path, environment, "--num_train_epochs", 1, ranks=2)
    assert ended.code == 0, ended.output
    assert "FSDP was requested, but MULTI_CPU is used: FSDP needs GPUs" in ended.output


def test_every_example_is_named_in_the_guide() -> None:
    """docs/start/many-nodes.md names every script of examples/."""
    guide = (ROOT / "docs" / "start" / "many-nodes.md").read_text()
    assert [
        path.name for path in EXAMPLES.glob("*.py") if f"examples/{path.name}" not in guide
    ] == []
