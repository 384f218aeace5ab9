"""Host memory for copies of tensors, reused from one save to the next.

The system provides new memory slowly, when it is first accessed: a copy into new memory takes many
times as long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

Key = tuple[str, int, int]  # a storage's device, address and size
# a size in bytes, and whether the memory is pinned, to which GPUs copy several times as fast
_Kind = tuple[int, bool]


class Buffers:
    """One buffer for each storage of the saved state."""

    def __init__(self) -> None:
        self._held: dict[_Kind, list[torch.UntypedStorage]] = {}

    def missing_bytes(self, storages: Iterable[torch.UntypedStorage]) -> int:
        """Return how many bytes must be allocated before copies of these storages fit."""
        return sum(
            _allocated_bytes(*kind) * number
            for kind, number in self._count_missing(storages).items()
        )

    def grow(self, storages: Iterable[torch.UntypedStorage]) -> None:
        """Allocate missing buffers, and free those that are no longer needed.

        Raises MemoryError or RuntimeError if the system refuses.
        """
        storages = list(storages)
        self._held = {
            kind: self._held.get(kind, [])[:number]
            for kind, number in _count_kinds(storages).items()
        }
        for kind, number in self._count_missing(storages).items():
            self._held[kind] += [_allocate(*kind) for _ in range(number)]

    def copy_from(
        self, storages: dict[Key, torch.UntypedStorage]
    ) -> dict[Key, torch.UntypedStorage]:
        """Copy storages into the buffers, after `grow`; return when all bytes are copied."""
        import torch

        free = {kind: iter(buffers) for kind, buffers in self._held.items()}
        copies = {key: next(free[_kind_of(storage)]) for key, storage in storages.items()}
        pinned = {storage.device for storage in storages.values() if _kind_of(storage)[1]}
        for key, storage in storages.items():
            copies[key].copy_(storage, non_blocking=storage.device in pinned)
        for device in pinned:
            torch.cuda.synchronize(device)
        return copies

    def _count_missing(self, storages: Iterable[torch.UntypedStorage]) -> dict[_Kind, int]:
        held = {kind: len(buffers) for kind, buffers in self._held.items()}
        missing = {
            kind: number - held.get(kind, 0) for kind, number in _count_kinds(storages).items()
        }
        return {kind: number for kind, number in missing.items() if number > 0}


def storage_key(storage: torch.UntypedStorage) -> Key:
    """Return the identity of a storage."""
    return str(storage.device), storage.data_ptr(), storage.nbytes()


def _kind_of(storage: torch.UntypedStorage) -> _Kind:
    return storage.nbytes(), storage.device.type == "cuda"


def _count_kinds(storages: Iterable[torch.UntypedStorage]) -> Counter[_Kind]:
    return Counter(map(_kind_of, storages))


def _allocated_bytes(size: int, pinned: bool) -> int:
    # torch's allocator for pinned memory rounds up to a power of two.
    return 1 << (size - 1).bit_length() if pinned else size


def _allocate(size: int, pinned: bool) -> torch.UntypedStorage:
    import torch

    return torch.empty(size, dtype=torch.uint8, pin_memory=pinned).untyped_storage()
