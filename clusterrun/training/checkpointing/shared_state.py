"""Compare the state that a checkpoint holds once, although each rank has it: it may differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING
from zlib import crc32

from clusterrun.training.stopping.agreement import Agreement

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

# Saves at which the ranks are compared: the state may be equal by chance at the first one, as with
# accelerate.LocalSGD right after the ranks have averaged their weights.
_COMPARED_SAVES = 2
_MOST_ELEMENTS = 1 << 20  # of a tensor on a CPU; a GPU reads all of it in milliseconds


class SharedState:
    """The parameters, optimizers, schedulers and registered objects of an Accelerator.

    Accelerate saves them from the main process only (accelerate.checkpointing, accelerate 1.15), so
    they must be the same on all ranks. Sharded strategies save each rank's part, and buffers of DDP
    differ until its next forward pass, which spreads the main process's: neither is compared.
    """

    def __init__(self, accelerator: Accelerator, agreement: Agreement) -> None:
        self._accelerator, self._agreement = accelerator, agreement
        kind = str(accelerator.distributed_type.value)
        is_replicated = kind.startswith("MULTI_") and int(accelerator.num_processes) > 1
        self._remaining = _COMPARED_SAVES if is_replicated else 0

    def find_difference(self) -> str | None:
        """Return a warning, once, if the ranks differ; call it on every rank before a save."""
        if not self._remaining:
            return None
        self._remaining -= 1
        differing = list_differences(self._agreement.gather(digest_parts(self._accelerator)))
        if not differing:
            return None
        self._remaining = 0
        return (
            f"warning: the ranks differ in {' and '.join(differing)}; the checkpoint has only the "
            "state of rank 0, with which all ranks resume\n"
            "  hint: pass it to accelerator.prepare, or average over the ranks what it depends on; "
            "if it must differ, save and load a file for each rank"
        )


def list_differences(digests: list[Mapping[str, int]]) -> list[str]:
    """Return the parts whose digests differ, given the digests of each rank."""
    first = digests[0]
    return [
        part
        for part in first
        if any(part in other and other[part] != first[part] for other in digests[1:])
    ]


def digest_parts(accelerator: Accelerator) -> dict[str, int]:
    """Return a checksum of each part of the state that a checkpoint holds once."""
    digests = {}
    for part, state in _list_parts(accelerator):
        with suppress(RuntimeError):  # some optimizers have no state to show between saves
            digests[part] = crc32(repr(_outline(state())).encode())
    return digests


def _list_parts(accelerator: Accelerator) -> Iterator[tuple[str, Callable[[], object]]]:
    kinds = {
        "model": accelerator._models,  # noqa: SLF001 - what save_state saves
        "optimizer": accelerator._optimizers,  # noqa: SLF001
        "scheduler": accelerator._schedulers,  # noqa: SLF001
        "registered object": accelerator._custom_objects,  # noqa: SLF001
    }
    for kind, objects in kinds.items():
        for number, one in enumerate(objects, 1):
            inner = getattr(one, "module" if kind == "model" else kind, one)
            state = partial(_parameters, one) if kind == "model" else one.state_dict
            yield f"{kind} {number} ({type(inner).__name__})", state


def _parameters(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    return dict(model.named_parameters())


def _outline(value: object) -> object:
    """Return a state as names and numbers, with a sum for each tensor."""
    import torch

    if isinstance(value, torch.Tensor):
        return _sum_bits(value)
    if isinstance(value, Mapping):
        return [(repr(key), _outline(one)) for key, one in value.items()]
    if isinstance(value, (list, tuple)):
        return [_outline(one) for one in value]
    return value if isinstance(value, (int, float, str, bytes)) else type(value).__name__


def _sum_bits(tensor: torch.Tensor) -> object:
    """Return the sum of a tensor's elements, taken as integers: exact in any order."""
    import torch

    tensor = tensor.detach()
    plain = type(tensor) in {torch.Tensor, torch.nn.Parameter} and tensor.layout == torch.strided
    if not plain or tensor.is_meta or tensor.is_quantized:
        return type(tensor).__name__
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    if tensor.device.type == "cpu" and tensor.dim():
        tensor = tensor[:: -(-tensor.numel() // _MOST_ELEMENTS) or 1]
    sizes = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    bits = tensor.view(sizes[tensor.element_size()])
    return tuple(tensor.shape), str(tensor.dtype), int(bits.sum(dtype=torch.int64))
