"""Memory of weights, gradients and optimizer states: published numbers and every strategy."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from clusterrun.estimation import states
from clusterrun.estimation.config_strategy import read_strategy
from clusterrun.estimation.needs import COMFORTABLE, Question, buffers_of, needs_of
from clusterrun.estimation.states import TABLE, bytes_of_parameter, states_of
from clusterrun.estimation.verdict import smallest_change

SHARDED = (states.DDP, states.ZERO_1, states.ZERO_2, states.ZERO_3)


def gigabytes(parameters: float, gpus: int, *strategies, mixed: bool = True) -> list[float]:
    found = [states_of(int(parameters), gpus, one, mixed=mixed) for one in strategies or SHARDED]
    return [round(one.total / 1e9, 2) for one in found]


def test_the_zero_papers_table():
    """7.5 billion parameters on 64 GPUs need what figure 1 of the ZeRO paper shows."""
    assert [round(size, 1) for size in gigabytes(7.5e9, 64)] == [120.0, 31.4, 16.6, 1.9]


@pytest.mark.parametrize(("parameters", "gpus", "published"), [
    (7.5e9, 1, [120, 120, 120, 120]), (7.5e9, 4, [120, 52.5, 41.3, 30]), (7.5e9, 1024, [120, 30.1, 15.1, 0.12]),
    (128e9, 64, [2048, 536, 284, 32]), (1e12, 64, [16000, 4187, 2218, 250]), (1e12, 1024, [16000, 4011, 2013, 15.6]),
])  # fmt: skip
def test_the_zero_papers_second_table(parameters, gpus, published):
    """Table 1 of the ZeRO paper, which is printed with about three digits."""
    assert gigabytes(parameters, gpus) == pytest.approx(published, rel=0.005)


def test_the_table_of_tutorials_lacks_the_fp32_weights():
    """7 billion on 4 GPUs need 112, 49, 38.5 and 28 GB.

    Tutorials print 84, 42, 31.5 and 21 GB, without the 4 bytes of the fp32 weights.
    """
    whole = gigabytes(7e9, 4)
    assert whole == [112.0, 49.0, 38.5, 28.0]
    copy = [28 / (4 if "optimizer" in one.sharded else 1) for one in SHARDED]
    assert [total - part for total, part in zip(whole, copy, strict=True)] == [
        84.0,
        42.0,
        31.5,
        21.0,
    ]


def test_full_sharding_is_stage_three():
    """FSDP with full sharding needs as much as ZeRO-3, though its parts differ."""
    assert gigabytes(7e9, 4, states.FSDP) == gigabytes(7e9, 4, states.ZERO_3)
    assert bytes_of_parameter(states.FSDP, mixed=True) != bytes_of_parameter(
        states.ZERO_3, mixed=True
    )


def test_sixteen_bytes_in_mixed_precision_and_twenty_for_deepspeed_in_fp32():
    """Every engine needs 16 bytes per parameter, except DeepSpeed in fp32, which keeps its copy."""
    sums = {(one.engine, mixed): sum(bytes_of_parameter(one, mixed=mixed).values())
            for one in TABLE for mixed in (True, False)}  # fmt: skip
    assert sums == {("ddp", True): 16, ("ddp", False): 16, ("fsdp", True): 16, ("fsdp", False): 16,
                    ("deepspeed", True): 16, ("deepspeed", False): 20}  # fmt: skip


@pytest.mark.parametrize("strategy", TABLE, ids=lambda one: one.name)
def test_nothing_is_lost_by_offloading(strategy):
    """Offloaded bytes move to the CPU: unsharded on one GPU, both together are 16 per parameter."""
    found = states_of(1000, 1, strategy)
    assert found.total + found.host == 16000
    assert bool(found.host) == bool(strategy.offloaded)


@pytest.mark.parametrize(("config", "expected"), [
    ({}, states.DDP),
    ({"distributed_type": "MULTI_GPU", "deepspeed_config": {}, "fsdp_config": {}}, states.DDP),
    ({"deepspeed_config": {}}, states.ZERO_2),
    ({"deepspeed_config": {"zero_stage": 0}}, states.ZERO_0),
    ({"deepspeed_config": {"zero_stage": 1, "offload_optimizer_device": "cpu"}}, states.ZERO_1_OFFLOADED),
    ({"deepspeed_config": {"zero_stage": 2, "offload_optimizer_device": "none"}}, states.ZERO_2),
    ({"deepspeed_config": {"zero_stage": 2, "offload_optimizer_device": "cpu"}}, states.ZERO_2_OFFLOADED),
    ({"deepspeed_config": {"zero_stage": 3, "offload_optimizer_device": "nvme"}}, states.ZERO_3_OFFLOADED),
    ({"deepspeed_config": {"zero_stage": "3", "offload_param_device": "cpu"}}, states.ZERO_3_ALL_OFFLOADED),
    ({"fsdp_config": {"fsdp_version": 2}}, states.FSDP),
    ({"fsdp_config": {"fsdp_version": 2, "fsdp_reshard_after_forward": False}}, states.FSDP_GATHERED),
    ({"fsdp_config": {"fsdp_sharding_strategy": "SHARD_GRAD_OP"}}, states.FSDP_GATHERED),
    ({"fsdp_config": {"fsdp_sharding_strategy": 1}}, states.FSDP),
    ({"fsdp_config": {"fsdp_sharding_strategy": "NO_SHARD"}}, states.DDP),
    ({"fsdp_config": {"fsdp_sharding_strategy": "HYBRID_SHARD"}}, None),
    ({"fsdp_config": {"fsdp_offload_params": True}}, states.FSDP_OFFLOADED),
    ({"megatron_lm_config": {}}, None),
    ({"parallelism_config": {"tp_size": 2}}, None),
])  # fmt: skip
def test_accelerates_keys_select_a_strategy(config, expected):
    """Each way to select a strategy in accelerate's configuration is read as accelerate reads it."""
    assert read_strategy(config, None) == expected


@pytest.mark.parametrize(("zero", "expected"), [
    ({"stage": 2}, states.ZERO_2), ({}, states.ZERO_0),
    ({"stage": 3, "offload_optimizer": {"device": "cpu"}}, states.ZERO_3_OFFLOADED),
    ({"stage": 3, "offload_param": {"device": "cpu"}, "offload_optimizer": {"device": "cpu"}}, states.ZERO_3_ALL_OFFLOADED),
])  # fmt: skip
def test_a_deepspeed_json_selects_a_strategy(zero, expected):
    """The JSON counts, not the keys of accelerate's section."""
    assert (
        read_strategy({"deepspeed_config": {"zero_stage": 1}}, {"zero_optimization": zero})
        == expected
    )


def test_every_strategy_has_keys_that_select_it():
    """The advised keys are read back as the same strategy."""
    for strategy in TABLE[1:]:
        assert read_strategy(yaml.safe_load(f"{{{strategy.words}}}"), None) == strategy


def test_ddps_buckets_are_a_second_copy_of_the_gradients():
    """Buckets need two processes; autocast's casts need mixed precision."""
    found = {(gpus, mixed): buffers_of(1000, gpus, states.DDP, mixed=mixed, largest=None)
             for gpus in (1, 2) for mixed in (False, True)}  # fmt: skip
    assert found == {(1, False): 0, (1, True): 2000, (2, False): 4000, (2, True): 6000}


def question(parameters: float, gpus: int, memory: float) -> Question:
    return Question(int(parameters), gpus, gpu_memory=int(memory * 1e9))


@pytest.mark.parametrize(("memory", "advice"), [
    (80, "ZeRO-2 (accelerate: {deepspeed_config: {zero_stage: 2}})"),
    (40, "ZeRO-3 (accelerate: {deepspeed_config: {zero_stage: 3}})"),
    (24, "ZeRO-2, optimizer on CPU (accelerate: {deepspeed_config: {zero_stage: 2, offload_optimizer_device: cpu}})"
         ", or 7 GPUs with ZeRO-3"),
    (8, "ZeRO-3, optimizer on CPU (accelerate: {deepspeed_config: {zero_stage: 3, offload_optimizer_device: cpu}})"
        ", or 27 GPUs with ZeRO-3"),
    (170, "ZeRO-2 (accelerate: {deepspeed_config: {zero_stage: 2}})"),
    (172, ""),
])  # fmt: skip
def test_the_smallest_change_comes_first(memory, advice):
    """For 7 billion on 4 GPUs, the cheapest change that fits is advised."""
    assert smallest_change(question(7e9, 4, memory), states.DDP) == advice


@pytest.mark.parametrize("own", [states.ZERO_3, states.FSDP], ids=lambda one: one.name)
def test_offloading_is_advised_with_the_gpus_that_avoid_it(own):
    """It is the least number of whole nodes: with one less the states alone do not fit."""
    large = question(70e9, 8, 40)
    words, gpus = smallest_change(large, own, 8).split(", or ")
    assert "on CPU" in words
    count = int(gpus.split()[0])
    assert count % 8 == 0
    assert [needs_of(replace(large, gpus=many), own).total <= COMFORTABLE * 40e9 for many in (count - 8, count)] == [
        False, True,
    ]  # fmt: skip


def test_unsharded_states_can_be_too_large():
    """If not even offloading fits, more GPUs are not promised."""
    assert "larger GPUs" in smallest_change(question(70e9, 8, 3), states.DDP)


def test_needs_are_the_sum_of_their_parts():
    """The total includes everything that is shown."""
    needs = needs_of(question(7e9, 4, 80), states.ZERO_2)
    assert needs.total == needs.states.total + needs.buffers
    assert not needs.whole
