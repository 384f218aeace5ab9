"""Which DataLoader's order can be had again, and that the rest of an epoch is its rest."""

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


class OnItsOwn(SequentialSampler):
    """A sampler that nobody can tell an epoch."""

    __iter__ = RandomSampler.__iter__


class Told(BatchSampler):
    """A batch sampler of the user's, told the epoch."""

    epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        order = torch.randperm(40, generator=torch.Generator().manual_seed(self.epoch)).tolist()
        return iter([order[start : start + 4] for start in range(0, 40, 4)])


class Untold(BatchSampler):
    """A batch sampler of the user's that shuffles."""

    def __iter__(self):
        order = torch.randperm(40).tolist()
        return iter([order[start : start + 4] for start in range(0, 40, 4)])


class StatefulDataLoader(list):
    """A loader that goes on by itself where its state says, by its name."""


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
    "a sampler that is told the epoch": lambda: spread(
        DistributedSampler(DATA, num_replicas=1, rank=0)
    ),
    "a batch sampler that is told the epoch": lambda: DataLoader(
        DATA, batch_sampler=Told(range(40), 4, drop_last=False)
    ),
}
INEXACT = {
    "an iterable dataset is read again": lambda: DataLoader(Stream(), batch_size=4),
    "its SubsetRandomSampler is not seeded": lambda: spread(SubsetRandomSampler(range(40))),
    "its OnItsOwn is not seeded": lambda: spread(OnItsOwn(DATA)),
    "its Untold is not seeded": lambda: DataLoader(
        DATA, batch_sampler=Untold(range(40), 4, drop_last=False)
    ),
}


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("make", EXACT.values(), ids=EXACT)
def test_a_loader_that_can_be_restored_is_not_named(make, processes):
    """There is no false alarm, prepared for one process or for two, before and after it was used."""
    assert find_order_problem(prepared(make(), processes)) is None


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("reason", INEXACT)
def test_a_loader_that_cannot_be_restored_is_named_with_the_reason(reason, processes):
    """Whatever decides the order, and cannot be told an epoch, is named."""
    problem = find_order_problem(prepared(INEXACT[reason](), processes))
    assert problem is not None
    assert reason in problem[0]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_random_sampler_is_told_from_a_seedable_one(processes):
    """shuffle=True alone is not exact, and the hint is the one line that makes it so."""
    problem = find_order_problem(prepared(spread(shuffle=True), processes, seedable=False))
    assert problem is not None
    assert "its RandomSampler shuffles depending on earlier random numbers" in problem[0]
    assert "DataLoaderConfiguration(use_seedable_sampler=True)" in problem[1]


def test_what_is_no_loader_is_exact_only_in_a_fixed_order():
    """A list is what it is; any other source may be different each time."""
    assert find_order_problem([1, 2, 3]) is None
    assert find_order_problem({1, 2, 3}) is not None


def test_a_warning_says_which_loader():
    """The place among the prepared loaders, the dataset and the length lead to the loader."""
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
    """The batches from the middle of epoch 2 are those that a process has that came through epochs 0, 1 and 2."""
    check_rest(prepared(make(), processes), prepared(make(), processes))


@pytest.mark.parametrize(
    "name", [name for name in EXACT if not name.startswith(("shuffled", "workers"))]
)
def test_the_rest_of_an_epoch_of_a_loader_that_was_not_prepared(name):
    """A loader that the Accelerator does not know is told the epoch all the same."""
    check_rest(EXACT[name](), EXACT[name]())


def check_rest(whole, fresh):
    epochs = [values(remaining_batches(whole, epoch, 0)) for epoch in range(3)]
    assert values(remaining_batches(fresh, 2, 3)) == epochs[2][3:]
    assert values(remaining_batches(fresh, 2, len(epochs[2]))) == []
    assert values(remaining_batches(fresh, 0, 0)) == epochs[0]


def test_the_rest_of_anything_iterable():
    """A stream and a list are read on from where they were left."""
    stream = prepared(DataLoader(Stream(), batch_size=4))
    assert values(remaining_batches(stream, 0, 8)) == [list(range(32, 36)), list(range(36, 40))]
    assert list(remaining_batches([1, 2, 3], 0, 2)) == [3]


def test_nothing_is_left_of_an_epoch_that_has_ended():
    """No batch of it is read, also where the end of the loader is not known, or the loader keeps its place itself."""
    assert list(remaining_batches(count(), 0, sys.maxsize)) == []
    assert list(remaining_batches(StatefulDataLoader([1, 2, 3]), 0, 3)) == []
    assert list(remaining_batches(StatefulDataLoader([1, 2, 3]), 0, 2)) == [1, 2, 3]


def test_a_length_is_known_or_not():
    """A loader's length counts where it has one; a stream has __len__ by its class only."""
    assert loader_length(spread()) == 10
    assert loader_length(DataLoader(Stream(), batch_size=4)) is None
    assert loader_length(iter([1])) is None


def test_only_what_all_ranks_have_for_certain_is_a_common_length():
    """Batches that Accelerate shares out come alike to all ranks; of an unknown length nothing is certain."""
    assert common_loader_length(spread(), 2) == 10
    assert common_loader_length(DataLoader(Stream()), 2) == 0
    PartialState(cpu=True)
    shared = prepare_data_loader(DataLoader(Stream()), torch.device("cpu"), put_on_device=True)
    assert type(shared) is DataLoaderDispatcher
    assert common_loader_length(shared, 2) > 10**9
    assert common_loader_length(prepared(DataLoader(Stream()), 2), 2) > 10**9
