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
    "Accelerator(dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True)) makes it "
    "exact"
)
_SET_EPOCH = "give it a method set_epoch(epoch) from which its order follows"


def loader_length(loader: Iterable[Any]) -> int | None:
    """Return how many batches a loader gives in an epoch; None where that is not known before."""
    try:
        return len(loader) if isinstance(loader, Sized) else None
    except TypeError:  # a DataLoader always has __len__, but an iterable dataset may have none
        return None


def common_loader_length(loader: Iterable[Any], processes: int) -> int:
    """Return how many batches this loader is sure to give.

    `sys.maxsize` means as many as all other ranks' loaders.
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
    """Name each loader whose order cannot be restored exactly, with the reason and what to do.

    Looked at are those that the Accelerator prepared and `more`. `replayed`: the state from which
    torch's samplers draw is kept (`EpochOrder`).
    """
    prepared = list(getattr(accelerator, "_dataloaders", ()))
    loaders = prepared + [one for one in more if all(one is not other for other in prepared)]
    warnings = []
    for position, loader in enumerate(loaders, 1):
        problem = find_order_problem(loader, replayed=replayed)
        if problem:
            which = (
                f"{position} of {len(prepared)}"
                if position <= len(prepared)
                else "that was not prepared"
            )
            text = (
                f"the order of DataLoader {which} ({_describe_loader(loader)}) cannot be restored "
                "exactly"
            )
            warnings.append(f"warning: {text}: {problem[0]}\n  hint: {problem[1]}")
    return warnings


def find_order_problem(loader: Iterable[Any], *, replayed: bool = False) -> tuple[str, str] | None:
    """Say why the order of a loader cannot be had again, and what to do; None where it can."""
    from torch.utils.data import IterableDataset

    if keeps_own_position(loader):
        return (
            "it is a StatefulDataLoader, of which one state is saved for all ranks",
            "use_stateful_dataloader=False",
        )
    if not hasattr(loader, "dataset"):
        unordered = not isinstance(loader, Sequence)
        return ("it is no DataLoader", "see that each epoch begins alike") if unordered else None
    if isinstance(loader.dataset, IterableDataset):
        return (
            "an iterable dataset is read again from its beginning, and may give another order",
            (
                "see that it gives the same samples in each pass, or in each epoch by its "
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
        return "its RandomSampler shuffles by what was drawn before", _SEEDABLE
    return f"nothing seeds its {type(sampler).__name__} for an epoch", _SET_EPOCH


def _list_samplers(loader: Any) -> Iterator[Any]:
    """List the batch samplers and samplers of a loader, the outermost first."""
    found = getattr(loader, "batch_sampler", None)
    found = getattr(loader, "sampler", None) if found is None else found
    while found is not None:
        yield found
        inner = getattr(found, "batch_sampler", None)
        found = getattr(found, "sampler", None) if inner is None else inner


def _order_samplers(loader: Any) -> Iterator[Any]:
    """List the samplers that decide the order, without torch's and accelerate's index grouping."""
    from accelerate.data_loader import BatchSamplerShard, SkipBatchSampler
    from torch.utils.data import BatchSampler

    for sampler in _list_samplers(loader):
        if type(sampler) not in {BatchSampler, BatchSamplerShard, SkipBatchSampler}:
            yield sampler
            return


def _set_epoch(loader: Any, epoch: int) -> None:
    # accelerate reaches a sampler or a dataset, not both, and no batch sampler that it has sharded
    for one in (loader, *_list_samplers(loader), getattr(loader, "dataset", None)):
        if hasattr(one, "set_epoch"):
            one.set_epoch(epoch)


def keeps_own_position(loader: Any) -> bool:
    """Whether a loader saves and restores its place itself, as a StatefulDataLoader does."""
    return (
        bool(getattr(loader, "use_stateful_dataloader", False))
        or type(loader).__name__ == "StatefulDataLoader"
    )


def _batches_per_read(loader: Any) -> int:
    """Return how many of the batches that accelerate's skip counts make one that a process gets."""
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
    number_text = "unknown length" if number is None else f"{number} batches an epoch"
    return f"{type(inner).__name__}, {number_text}"
