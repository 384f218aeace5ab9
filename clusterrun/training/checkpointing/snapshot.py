"""Snapshot what is to be saved: tensors are copied into memory, all else is pickled at once."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clusterrun.training.checkpointing.buffers import Buffers, Key, storage_key

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class _Reference:
    """Stands in a pickle for a tensor."""

    number: int


class Snapshot:
    """Freezes values; `thaw` returns each with its tensors as they were at `copy`, on the CPU.

    Tensors that share a storage share its copy, so torch.save writes the same bytes. Until `copy`
    they are the live ones.
    """

    def __init__(self) -> None:
        self._tensors: list[torch.Tensor] = []
        self._numbers: dict[int, int] = {}

    def freeze(self, value: object) -> bytes:
        """Pickle a value without its tensors, which are noted. Raises as pickle does."""
        file = io.BytesIO()
        _Pickler(file, self).dump(value)
        return file.getvalue()

    def thaw(self, frozen: bytes) -> Any:
        """Return a value that was frozen."""
        return _Unpickler(io.BytesIO(frozen), self).load()

    def storages(self) -> dict[Key, torch.UntypedStorage]:
        """Return the storages of all tensors, each once."""
        found = (_local_part(tensor).untyped_storage() for tensor in self._tensors)
        return {storage_key(storage): storage for storage in found}

    def copy(self, buffers: Buffers) -> None:
        """Copy all tensors as they are now, into buffers that have grown for them."""
        copies = buffers.filled_from(self.storages())
        self._tensors = [_copy_tensor(tensor, copies) for tensor in self._tensors]

    def note(self, tensor: torch.Tensor) -> _Reference:
        """Take a tensor in; the same one is taken once."""
        number = self._numbers.setdefault(id(tensor), len(self._tensors))
        if number == len(self._tensors):
            self._tensors.append(tensor)  # which keeps it, and so its id
        return _Reference(number)

    def noted(self, reference: _Reference) -> torch.Tensor:
        """Return a tensor that was taken in, or what stands in for it."""
        return self._tensors[reference.number]


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, snapshot: Snapshot) -> None:
        import torch

        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._snapshot, self._type = snapshot, torch.Tensor

    def persistent_id(self, obj: object) -> _Reference | None:
        # The rest (sparse, quantized, empty ones, classes of their own) pickles itself, from parts
        # that are tensors.
        plain = isinstance(obj, self._type) and _is_plain(obj)
        return self._snapshot.note(obj) if plain else None  # type: ignore[arg-type]


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, snapshot: Snapshot) -> None:
        super().__init__(file)
        self._snapshot = snapshot

    def persistent_load(self, pid: _Reference) -> torch.Tensor:
        return self._snapshot.noted(pid)


def _is_plain(tensor: torch.Tensor) -> bool:
    import torch

    if _is_dtensor(tensor):
        return _is_plain(_local_part(tensor))
    usual = type(tensor) in (torch.Tensor, torch.nn.Parameter) and tensor.layout == torch.strided
    odd = usual and (tensor.is_quantized or tensor.is_conj() or tensor.is_neg() or tensor.is_meta)
    return usual and not odd and tensor.untyped_storage().nbytes() > 0


def _is_dtensor(tensor: torch.Tensor) -> bool:
    # By name: where nothing is sharded, the import alone would cost tenths of a second.
    return type(tensor).__name__ == "DTensor" and type(tensor).__module__.startswith(
        "torch.distributed"
    )


def _local_part(tensor: torch.Tensor) -> torch.Tensor:
    local: torch.Tensor = getattr(
        tensor, "_local_tensor", tensor
    )  # to_local would record a gradient
    return local


def _copy_tensor(tensor: torch.Tensor, copies: dict[Key, torch.UntypedStorage]) -> torch.Tensor:
    import torch

    local = _local_part(tensor)
    copy = torch.empty(0, dtype=local.dtype, device="cpu")
    copy.set_(
        copies[storage_key(local.untyped_storage())],
        local.storage_offset(),
        local.size(),
        local.stride(),
    )
    if _is_dtensor(tensor):
        # torch.distributed.checkpoint needs to know of which whole this is a part, and nothing of
        # its device.
        sharded: Callable[..., torch.Tensor] = type(tensor)
        return sharded(copy, getattr(tensor, "_spec"), requires_grad=False)  # noqa: B009 - torch has no public name
    if isinstance(tensor, torch.nn.Parameter):
        copy = torch.nn.Parameter(copy, requires_grad=tensor.requires_grad)
    copy.__dict__.update(vars(tensor))
    return copy
