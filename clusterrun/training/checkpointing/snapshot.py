"""A snapshot of state: tensors are copied to memory, everything else is pickled at once."""

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
    """A placeholder for a tensor in a pickle."""

    number: int


class Snapshot:
    """Freezes values; `thaw` returns them with their tensors as they were at `copy`, on the CPU.

    Tensors that share a storage share its copy, so torch.save writes the same bytes. Before `copy`
    the tensors are the original ones.
    """

    def __init__(self) -> None:
        self._tensors: list[torch.Tensor] = []
        self._numbers: dict[int, int] = {}

    def freeze(self, value: object) -> bytes:
        """Pickle a value without its tensors, which are noted. Raises the errors of pickle."""
        file = io.BytesIO()
        _Pickler(file, self).dump(value)
        return file.getvalue()

    def thaw(self, frozen: bytes) -> Any:
        """Return a frozen value."""
        return _Unpickler(io.BytesIO(frozen), self).load()

    def storages(self) -> dict[Key, torch.UntypedStorage]:
        """Return the distinct storages of all tensors."""
        storages = (_local_part(tensor).untyped_storage() for tensor in self._tensors)
        return {storage_key(storage): storage for storage in storages}

    def copy(self, buffers: Buffers) -> None:
        """Copy all tensors as they are now, into buffers that have been grown for them."""
        copies = buffers.copy_from(self.storages())
        self._tensors = [_copy_tensor(tensor, copies) for tensor in self._tensors]

    def note(self, tensor: torch.Tensor) -> _Reference:
        """Note a tensor, once, and return its reference."""
        number = self._numbers.setdefault(id(tensor), len(self._tensors))
        if number == len(self._tensors):
            self._tensors.append(tensor)  # which keeps its id valid
        return _Reference(number)

    def get(self, reference: _Reference) -> torch.Tensor:
        """Return the noted tensor or its copy."""
        return self._tensors[reference.number]


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, snapshot: Snapshot) -> None:
        import torch

        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._snapshot, self._type = snapshot, torch.Tensor

    def persistent_id(self, obj: object) -> _Reference | None:
        # Other tensors (sparse, quantized, empty, subclasses) pickle themselves from plain ones.
        plain = isinstance(obj, self._type) and _is_plain(obj)
        return self._snapshot.note(obj) if plain else None  # type: ignore[arg-type]


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, snapshot: Snapshot) -> None:
        super().__init__(file)
        self._snapshot = snapshot

    def persistent_load(self, pid: _Reference) -> torch.Tensor:
        return self._snapshot.get(pid)


def _is_plain(tensor: torch.Tensor) -> bool:
    import torch

    if _is_dtensor(tensor):
        return _is_plain(_local_part(tensor))
    dense = type(tensor) in (torch.Tensor, torch.nn.Parameter) and tensor.layout == torch.strided
    lazy = dense and (tensor.is_quantized or tensor.is_conj() or tensor.is_neg() or tensor.is_meta)
    return dense and not lazy and tensor.untyped_storage().nbytes() > 0


def _is_dtensor(tensor: torch.Tensor) -> bool:
    # By name, because the import alone takes tenths of a second, even if nothing is sharded.
    return type(tensor).__name__ == "DTensor" and type(tensor).__module__.startswith(
        "torch.distributed"
    )


def _local_part(tensor: torch.Tensor) -> torch.Tensor:
    # not to_local, which would record a gradient
    local: torch.Tensor = getattr(tensor, "_local_tensor", tensor)
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
        # torch.distributed.checkpoint needs the spec of the whole tensor, but not its device.
        sharded: Callable[..., torch.Tensor] = type(tensor)
        return sharded(copy, getattr(tensor, "_spec"), requires_grad=False)  # noqa: B009 - torch has no public name
    if isinstance(tensor, torch.nn.Parameter):
        copy = torch.nn.Parameter(copy, requires_grad=tensor.requires_grad)
    copy.__dict__.update(vars(tensor))
    return copy
