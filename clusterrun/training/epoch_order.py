"""The sample order of an epoch, saved so that a later attempt draws the same order.

torch's samplers draw an epoch's order when the epoch starts, from their own generator or from the
global one (torch.utils.data.sampler). A checkpoint in the middle of the epoch holds the random
state at that step, which does not reproduce the order. So the state at the start of the epoch is
saved with it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterrun.training.loaders import drawing_samplers

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

FILE = "epoch_order.bin"


class EpochOrder:
    """The order of the epoch under way, seen from one rank.

    Accelerate gives each sampler a generator and spreads the main process's state of it to all
    ranks when an epoch begins (accelerate.data_loader, synchronize_rng_states), so the main
    process's states are the ones to keep.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._main = bool(accelerator.is_main_process)
        self._folder: Path | None = None
        self._generators: list[torch.Generator] = []
        self._began: Mapping[str, Any] | None = None
        self._loaded: Mapping[str, Any] | None = None
        accelerator.register_save_state_pre_hook(self._write_with_state)

    def save_below(self, folder: Path) -> None:
        """Write the order with every state that is saved in this folder, and with no other."""
        self._folder = folder

    def load(self, checkpoint: Path) -> None:
        """Read the order that was saved with a verified checkpoint, if it has one."""
        import torch

        file = checkpoint / FILE
        if file.is_file():
            loaded = torch.load(file, map_location="cpu", weights_only=True)
            # pickle writes an interned key that equals a device's name only once; with the keys
            # interned again, a resumed run writes the same bytes as one that was never stopped.
            self._loaded = {sys.intern(key): value for key, value in loaded.items()}
            self._began = self._loaded

    def begin(self, loader: Iterable[Any]) -> None:
        """Record the random state at the start of an epoch; call it before the loader draws.

        Right after a resume, the samplers' generators first continue from their saved state.
        """
        import torch

        self._generators = _generators_of(loader)
        if self._loaded:
            _set_states(self._generators, self._loaded["now"])
            self._loaded = None
        self._began = {
            "cpu": torch.get_rng_state(),
            "began": [one.get_state() for one in self._generators],
        }

    def replay(self, loader: Iterable[Any]) -> bool:
        """Return to the state in which the resumed epoch began; the loader draws its order next.

        The caller puts the present random state back afterwards. False if the loader draws an order
        and the checkpoint does not hold the state for it.
        """
        import torch

        self._generators = _generators_of(loader)
        began, self._loaded = self._loaded, None
        if began is None or not _set_states(self._generators, began["began"]):
            return not drawing_samplers(loader)
        if self._main:
            torch.set_rng_state(began["cpu"])
        return True

    def _write_with_state(self, _models: object, _weights: object, folder: str) -> None:
        """Write the order into a folder of `accelerator.save_state`, which calls this first."""
        import torch

        if not self._main or not self._began or Path(folder).parent != self._folder:
            return
        now = [one.get_state() for one in self._generators]
        target = Path(folder) / FILE
        torch.save({**self._began, "now": now}, target)


def _generators_of(loader: Iterable[Any]) -> list[torch.Generator]:
    """List the generators from which a loader's samplers draw, each once."""
    generators: list[torch.Generator] = []
    for sampler in drawing_samplers(loader):
        generator = getattr(sampler, "generator", None)
        if generator is not None and all(generator is not one for one in generators):
            generators.append(generator)
    return generators


def _set_states(generators: list[torch.Generator], states: list[torch.Tensor]) -> bool:
    """Set the generators' states; False if there is not one for each: other samplers drew then."""
    if len(generators) != len(states):
        return False
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state)
    return True
