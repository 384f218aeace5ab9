"""Which DataLoader's order can be restored, and that the rest of an epoch is exactly its rest."""

from __future__ import annotations

import sys
from itertools import count

import pytest
import torch
from accelerate import Accelerator, DataLoaderConfiguration, PartialState
from accelerate.data_loader import DataLoaderDispatcher, prepare_data_loader
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
)

from clusterrun.training.loaders import (
    common_loader_length,
    find_order_problem,
    list_order_warnings,
    loader_length,
    remaining_batches,
)

DATA = TensorDataset(torch.arange(40))


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(40))


class Unseeded(SequentialSampler):
    """A sampler that has no set_epoch."""

    __iter__ = RandomSampler.__iter__


class WithEpoch(BatchSampler):
    """A batch sampler of the user's with set_epoch."""

    epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        order = torch.randperm(40, generator=torch.Generator().manual_seed(self.epoch)).tolist()
        return iter([order[start : start + 4] for start in range(0, 40, 4)])


class WithoutEpoch(BatchSampler):
    """A batch sampler of the user's that shuffles, without set_epoch."""

    def __iter__(self):
        order = torch.randperm(40).tolist()
        return iter([order[start : start + 4] for start in range(0, 40, 4)])


class StatefulDataLoader(list):
    """A loader with this name, which restores its position from its own state."""


def spread(sampler=None, **more):
    return DataLoader(DATA, batch_size=4, sampler=sampler, **more)


def prepared(loader, processes=1, seedable=True):
    PartialState(cpu=True)
    return prepare_data_loader(
        loader, num_processes=processes, process_index=0, use_seedable_sampler=seedable, data_seed=3
    )


def values(batches):
    return [batch[0].tolist() if isinstance(batch, list) else batch.tolist() for batch in batches]


EXACT = {
    "sequential": spread,
    "shuffled by a seedable sampler": lambda: spread(shuffle=True),
    "shuffled with its own generator": lambda: spread(
        shuffle=True, generator=torch.Generator().manual_seed(1)
    ),
    "workers": lambda: spread(shuffle=True, num_workers=1),
    "a sampler with set_epoch": lambda: spread(DistributedSampler(DATA, num_replicas=1, rank=0)),
    "a batch sampler with set_epoch": lambda: DataLoader(
        DATA, batch_sampler=WithEpoch(range(40), 4, drop_last=False)
    ),
}
INEXACT = {
    "an iterable dataset is read again": lambda: DataLoader(Stream(), batch_size=4),
    "its SubsetRandomSampler is not seeded": lambda: spread(SubsetRandomSampler(range(40))),
    "its Unseeded is not seeded": lambda: spread(Unseeded(DATA)),
    "its WithoutEpoch is not seeded": lambda: DataLoader(
        DATA, batch_sampler=WithoutEpoch(range(40), 4, drop_last=False)
    ),
}


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("make", EXACT.values(), ids=EXACT)
def test_a_loader_that_can_be_restored_is_not_named(make, processes):
    """There is no false alarm, prepared for one process or for two, before and after its use."""
    assert find_order_problem(prepared(make(), processes)) is None


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("reason", INEXACT)
def test_a_loader_that_cannot_be_restored_is_named_with_the_reason(reason, processes):
    """Anything that decides the order, and has no set_epoch, is named."""
    problem = find_order_problem(prepared(INEXACT[reason](), processes))
    assert problem is not None
    assert reason in problem[0]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_random_sampler_is_distinguished_from_a_seedable_one(processes):
    """shuffle=True alone is not exact, and the hint is the one line that makes it so."""
    problem = find_order_problem(prepared(spread(shuffle=True), processes, seedable=False))
    assert problem is not None
    assert "its RandomSampler shuffles depending on earlier random numbers" in problem[0]
    assert "DataLoaderConfiguration(use_seedable_sampler=True)" in problem[1]


def test_other_iterables_are_exact_only_in_a_fixed_order():
    """A list always has the same order; any other source may change."""
    assert find_order_problem([1, 2, 3]) is None
    assert find_order_problem({1, 2, 3}) is not None


def test_a_warning_identifies_the_loader():
    """By its number among the prepared loaders, its dataset and its length."""
    accelerator = Accelerator(
        cpu=True, dataloader_config=DataLoaderConfiguration(use_seedable_sampler=False)
    )
    accelerator.prepare(spread(), spread(shuffle=True))
    (warning,) = list_order_warnings(accelerator)
    assert (
        "the order of DataLoader 2 of 2 (TensorDataset, 10 batches per epoch) cannot be restored exactly"
        in warning
    )
    warnings = list_order_warnings(accelerator, DataLoader(Stream()))
    assert "unprepared DataLoader (Stream, unknown length) cannot" in warnings[1]
    accelerator.free_memory()


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("make", EXACT.values(), ids=EXACT)
def test_the_rest_of_an_epoch_is_its_rest(make, processes):
    """The batches from the middle of epoch 2 are those of a process that trained epochs 0, 1 and 2."""
    check_rest(prepared(make(), processes), prepared(make(), processes))


@pytest.mark.parametrize(
    "name", [name for name in EXACT if not name.startswith(("shuffled", "workers"))]
)
def test_the_rest_of_an_epoch_of_a_loader_that_was_not_prepared(name):
    """A loader that the Accelerator does not know gets set_epoch, too."""
    check_rest(EXACT[name](), EXACT[name]())


def check_rest(whole, fresh):
    epochs = [values(remaining_batches(whole, epoch, 0)) for epoch in range(3)]
    assert values(remaining_batches(fresh, 2, 3)) == epochs[2][3:]
    assert values(remaining_batches(fresh, 2, len(epochs[2]))) == []
    assert values(remaining_batches(fresh, 0, 0)) == epochs[0]


def test_the_rest_of_any_iterable():
    """A stream and a list continue where they were left."""
    stream = prepared(DataLoader(Stream(), batch_size=4))
    assert values(remaining_batches(stream, 0, 8)) == [list(range(32, 36)), list(range(36, 40))]
    assert list(remaining_batches([1, 2, 3], 0, 2)) == [3]


def test_an_ended_epoch_has_no_rest():
    """No batch of it is read, even if the loader's length is unknown, or the loader keeps its
    position itself.
    """
    assert list(remaining_batches(count(), 0, sys.maxsize)) == []
    assert list(remaining_batches(StatefulDataLoader([1, 2, 3]), 0, 3)) == []
    assert list(remaining_batches(StatefulDataLoader([1, 2, 3]), 0, 2)) == [1, 2, 3]


def test_a_length_is_known_or_unknown():
    """A loader's length counts if it has one; a stream has __len__ only by its class."""
    assert loader_length(spread()) == 10
    assert loader_length(DataLoader(Stream(), batch_size=4)) is None
    assert loader_length(iter([1])) is None


def test_only_certain_lengths_are_common_to_all_ranks():
    """Batches that Accelerate distributes reach all ranks alike; an unknown length gives no
    certainty.
    """
    assert common_loader_length(spread(), 2) == 10
    assert common_loader_length(DataLoader(Stream()), 2) == 0
    PartialState(cpu=True)
    shared = prepare_data_loader(DataLoader(Stream()), torch.device("cpu"), put_on_device=True)
    assert type(shared) is DataLoaderDispatcher
    assert common_loader_length(shared, 2) > 10**9
    assert common_loader_length(prepared(DataLoader(Stream()), 2), 2) > 10**9
