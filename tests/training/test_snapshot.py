"""What a copy of the state contains, and how much memory is available for it."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from clusterrun.training.checkpointing.buffers import Buffers
from clusterrun.training.checkpointing.memory import free_memory
from clusterrun.training.checkpointing.saves import Saves
from clusterrun.training.checkpointing.snapshot import Snapshot


def copied(value: object, buffers: Buffers | None = None) -> tuple[Snapshot, bytes]:
    snapshot, buffers = Snapshot(), buffers or Buffers()
    frozen = snapshot.freeze(value)
    buffers.grow(snapshot.storages().values())
    snapshot.copy(buffers)
    return snapshot, frozen


def test_a_copy_does_not_change_with_the_original():
    """Tensors and plain objects are restored unchanged, whatever was done to them in place since."""
    weight, words = torch.ones(3), ["one"]
    value = OrderedDict(
        weight=weight,
        words=words,
        parameter=torch.nn.Parameter(weight.clone(), requires_grad=False),
    )
    value._metadata = {"version": 1}
    snapshot, frozen = copied(value)
    weight.zero_()
    words.append("two")
    value["parameter"].zero_()
    thawed = snapshot.thaw(frozen)
    assert thawed["weight"].tolist() == thawed["parameter"].tolist() == [1, 1, 1]
    assert type(thawed["parameter"]) is torch.nn.Parameter
    assert not thawed["parameter"].requires_grad
    assert (thawed["words"], thawed._metadata) == (["one"], {"version": 1})


def test_shared_memory_stays_shared_in_a_copy():
    """Views keep their offset in the storage they share, which is copied once."""
    base = torch.arange(12.0).reshape(3, 4)
    snapshot, frozen = copied({"base": base, "again": base, "column": base[:, 1], "turned": base.T})
    assert len(snapshot.storages()) == 1
    thawed = snapshot.thaw(frozen)
    assert thawed["again"] is thawed["base"]
    assert thawed["column"].stride() == (4,)
    assert torch.equal(thawed["turned"], base.T)
    thawed["base"].fill_(7)
    assert thawed["column"].tolist() == [7, 7, 7]
    assert base[0, 0] == 0


def test_unusual_tensors_are_copied_too():
    """Empty, sparse, conjugated and half-precision tensors are restored unchanged."""
    half = torch.tensor([1.5, 2.5], dtype=torch.bfloat16)
    value = [torch.empty(0), torch.eye(2).to_sparse(), torch.tensor([1 + 2j]).conj(), half]
    snapshot, frozen = copied(value)
    half.zero_()
    empty, sparse, conjugated, copy = snapshot.thaw(frozen)
    assert empty.shape == (0,)
    assert torch.equal(sparse.to_dense(), torch.eye(2))
    assert conjugated.tolist() == [1 - 2j]
    assert copy.tolist() == [1.5, 2.5]


def test_memory_is_allocated_once():
    """A second copy of a state of the same shape reuses the memory of the first; another shape
    allocates what is missing.
    """
    buffers = Buffers()
    first, _ = copied([torch.zeros(1000), torch.zeros(500)], buffers)
    second = Snapshot()
    second.freeze([torch.ones(500), torch.ones(1000)])
    assert buffers.missing_bytes(second.storages().values()) == 0
    second.copy(buffers)
    assert second.storages().keys() == first.storages().keys()
    third = Snapshot()
    third.freeze([torch.ones(500), torch.ones(500), torch.ones(1000)])
    assert buffers.missing_bytes(third.storages().values()) == 2000


def machine(root: Path, available: int, cgroup: str, files: dict[str, str]) -> Path:
    """Write the files in which a machine reports its memory, with this many kB available."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(
        f"MemTotal:       99999999 kB\nMemAvailable:   {available} kB\nHugePages_Total: 0\n"
    )
    (root / "proc/self/cgroup").write_text(cgroup)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


STAT_1 = (
    "cache 500\ninactive_file 1\ntotal_inactive_file 300\ntotal_active_file 200\ntotal_dirty 100\n"
)
STAT_2 = "anon 700\nfile 500\nfile_dirty 100\ninactive_file 300\nactive_file 200\n"
JOB_1, JOB_2 = "memory/slurm/uid_7/job_1", "system.slice/slurmstepd.scope/job_1"


@pytest.mark.parametrize(
    ("cgroup", "files", "free"),
    [
        ("", {}, 4_096_000),
        ("4:cpuset:/\n9:memory:/slurm/uid_7/job_1/step_0\n0::/\n",
         {f"{JOB_1}/memory.limit_in_bytes": "10000\n", f"{JOB_1}/memory.usage_in_bytes": "9000\n",
          f"{JOB_1}/memory.stat": STAT_1, f"{JOB_1}/step_0/memory.limit_in_bytes": f"{2**63 - 4096}\n",
          f"{JOB_1}/step_0/memory.usage_in_bytes": "9000\n", f"{JOB_1}/step_0/memory.stat": STAT_1}, 1400),
        (f"0::/{JOB_2}/step_0/user/task_0\n",
         {f"{JOB_2}/memory.max": "10000\n", f"{JOB_2}/memory.current": "9000\n", f"{JOB_2}/memory.stat": STAT_2,
          f"{JOB_2}/step_0/memory.max": "max\n", f"{JOB_2}/step_0/memory.current": "9000\n",
          f"{JOB_2}/step_0/memory.stat": STAT_2}, 1400),
        (f"0::/{JOB_2}\n",
         {f"{JOB_2}/memory.max": "1000\n", f"{JOB_2}/memory.current": "2000\n", f"{JOB_2}/memory.stat": ""}, 0),
    ],
    ids=["no cgroup", "version 1", "version 2", "over the limit"],
)  # fmt: skip
def test_the_smallest_limit_counts(cgroup, files, free, tmp_path):
    """The job's cgroup limits its steps, in either version; clean pages of the file cache count as
    free.
    """
    assert free_memory(machine(tmp_path, 4000, cgroup, files)) == free


def test_this_machine_reports_its_free_memory():
    """The files are at their paths, and the answer has a plausible size."""
    assert 2**24 < (free_memory() or 0) < 2**50


def test_the_record_has_the_facts_for_a_stop_and_an_interval(tmp_path):
    """A stop may wait for a save and then make its own; an interval depends on how long training
    paused.
    """
    saves = Saves(tmp_path / "saves")
    saves.published("one", 1, 30.0)
    assert (saves.last, saves.longest) == (30.0, 30.0)
    saves.published("two", 2, 40.0, stall=1.0)
    assert (saves.last, saves.longest) == (4.0, 80.0)
    saves.published("three", 3, 5.0, stall=1.0)
    assert (Saves(tmp_path / "saves").last, Saves(tmp_path / "saves").longest) == (1.0, 80.0)
    saves.published("four", 4, 5.0)
    assert (Saves(tmp_path / "saves").last, saves.longest) == (5.0, 80.0)
