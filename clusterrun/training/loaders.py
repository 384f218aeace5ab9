"""Inspect a DataLoader: its length, the rest of an epoch, and whether its order is reproducible."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")
_SEEDABLE = (
    "use Accelerator(dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True)) for an "
    "exact order"
)
_SET_EPOCH = "add a method set_epoch(epoch) that determines its order"


def loader_length(loader: Iterable[Any]) -> int | None:
    """Return the number of batches per epoch; None if it is not known in advance."""
    try:
        return len(loader) if isinstance(loader, Sized) else None
    except TypeError:  # a DataLoader always has __len__, but its iterable dataset may not
        return None


def common_loader_length(loader: Iterable[Any], processes: int) -> int:
    """Return the number of batches that this loader certainly yields.

    `sys.maxsize` means the same number as on all other ranks.
    """
    from accelerate.data_loader import DataLoaderDispatcher, IterableDatasetShard

    dataset = getattr(loader, "dataset", None)
    if (
        processes == 1
        or type(loader) is DataLoaderDispatcher
        or isinstance(dataset, IterableDatasetShard)
    ):
        return sys.maxsize
    return loader_length(loader) or 0


def remaining_batches(loader: Iterable[T], epoch: int, taken: int) -> Iterable[T]:
    """Return the remaining batches of an epoch after this process consumed `taken` of them."""
    _set_epoch(loader, epoch)
    if taken >= (loader_length(loader) or sys.maxsize):
        return ()
    if not taken or keeps_own_position(loader):
        return loader
    if not hasattr(loader, "dataset"):
        return islice(loader, taken, None)
    from accelerate import skip_first_batches

    rest: Iterable[T] = skip_first_batches(loader, taken * _batches_per_read(loader))
    _set_epoch(rest, epoch)  # before accelerate 1.15 it begins at epoch 0
    return rest


def list_order_warnings(
    accelerator: Accelerator, *more: Iterable[Any], replayed: bool = False
) -> list[str]:
    """List warnings for loaders whose order cannot be restored exactly, with a reason and a hint.

    They cover the loaders that the Accelerator prepared, and `more`. `replayed`: the state from
    which torch's samplers draw is kept (`EpochOrder`).
    """
    prepared = list(getattr(accelerator, "_dataloaders", ()))
    loaders = prepared + [one for one in more if all(one is not other for other in prepared)]
    warnings = []
    for position, loader in enumerate(loaders, 1):
        problem = find_order_problem(loader, replayed=replayed)
        if problem:
            number = f" {position} of {len(prepared)}" if position <= len(prepared) else ""
            unprepared = "" if number else "unprepared "
            text = (
                f"the order of {unprepared}DataLoader{number} ({_describe_loader(loader)}) cannot "
                "be restored exactly"
            )
            warnings.append(f"warning: {text}: {problem[0]}\n  hint: {problem[1]}")
    return warnings


def find_order_problem(loader: Iterable[Any], *, replayed: bool = False) -> tuple[str, str] | None:
    """Return why the order of a loader cannot be restored, and a hint; None if it can."""
    from torch.utils.data import IterableDataset

    if keeps_own_position(loader):
        return (
            "it is a StatefulDataLoader, for which accelerate saves one state for all ranks",
            "set use_stateful_dataloader=False",
        )
    if not hasattr(loader, "dataset"):
        if isinstance(loader, Sequence):
            return None
        return "it is not a DataLoader", "make sure that each epoch has the same order"
    if isinstance(loader.dataset, IterableDataset):
        return (
            "an iterable dataset is read again from its beginning, possibly in another order",
            (
                "make sure that it yields the same samples in each pass, or implement "
                "set_epoch(epoch)"
            ),
        )
    exact = drawing_samplers(loader) if replayed and _same_on_all_ranks(loader) else []
    others = (one for one in _order_samplers(loader) if one not in exact)
    return next(filter(None, map(_sampler_problem, others)), None)


def drawing_samplers(loader: Iterable[Any]) -> list[Any]:
    """List torch's own samplers of a loader that draw their order when an epoch begins."""
    from torch.utils.data import RandomSampler, SubsetRandomSampler, WeightedRandomSampler

    known = (RandomSampler, SubsetRandomSampler, WeightedRandomSampler)
    return [one for one in _order_samplers(loader) if type(one) in known]


def _same_on_all_ranks(loader: Iterable[Any]) -> bool:
    """Return whether the ranks draw one order: there is one, or Accelerate prepared the loader."""
    from accelerate.data_loader import DataLoaderStateMixin
    from accelerate.state import PartialState

    return PartialState().num_processes == 1 or isinstance(loader, DataLoaderStateMixin)


def _sampler_problem(sampler: Any) -> tuple[str, str] | None:
    from accelerate.data_loader import SeedableRandomSampler
    from torch.utils.data import RandomSampler, SequentialSampler

    if type(sampler) in {SequentialSampler, SeedableRandomSampler} or hasattr(sampler, "set_epoch"):
        return None
    if isinstance(sampler, RandomSampler):
        return "its RandomSampler shuffles depending on earlier random numbers", _SEEDABLE
    return f"its {type(sampler).__name__} is not seeded for each epoch", _SET_EPOCH


def _list_samplers(loader: Any) -> Iterator[Any]:
    """Yield the batch samplers and samplers of a loader, the outermost first."""
    sampler = getattr(loader, "batch_sampler", None)
    sampler = getattr(loader, "sampler", None) if sampler is None else sampler
    while sampler is not None:
        yield sampler
        inner = getattr(sampler, "batch_sampler", None)
        sampler = getattr(sampler, "sampler", None) if inner is None else inner


def _order_samplers(loader: Any) -> Iterator[Any]:
    """Yield the sampler that determines the order, skipping those that only group indices."""
    from accelerate.data_loader import BatchSamplerShard, SkipBatchSampler
    from torch.utils.data import BatchSampler

    for sampler in _list_samplers(loader):
        if type(sampler) not in {BatchSampler, BatchSamplerShard, SkipBatchSampler}:
            yield sampler
            return


def _set_epoch(loader: Any, epoch: int) -> None:
    # accelerate sets the epoch of a sampler or a dataset, not both, and of no sharded batch sampler
    for one in (loader, *_list_samplers(loader), getattr(loader, "dataset", None)):
        if hasattr(one, "set_epoch"):
            one.set_epoch(epoch)


def keeps_own_position(loader: Any) -> bool:
    """Return whether a loader saves and restores its position, as a StatefulDataLoader does."""
    return (
        bool(getattr(loader, "use_stateful_dataloader", False))
        or type(loader).__name__ == "StatefulDataLoader"
    )


def _batches_per_read(loader: Any) -> int:
    """Return how many batches, as `skip_first_batches` counts, make one batch of a process."""
    from accelerate.data_loader import DataLoaderDispatcher
    from torch.utils.data import IterableDataset

    if (
        type(loader) is not DataLoaderDispatcher
        or loader.split_batches
        or isinstance(loader.dataset, IterableDataset)
    ):
        return 1
    return int(loader.state.num_processes)


def _describe_loader(loader: Any) -> str:
    dataset = getattr(loader, "dataset", loader)
    inner = (
        getattr(dataset, "dataset", dataset)
        if type(dataset).__name__ == "IterableDatasetShard"
        else dataset
    )
    number = loader_length(loader)
    number_text = "unknown length" if number is None else f"{number} batches per epoch"
    return f"{type(inner).__name__}, {number_text}"
