"""The random state of this process, to be taken and put back."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class RandomState:
    """The state of the global generators of Python, NumPy and torch, on CPU and device."""

    python: Any
    numpy: Any
    cpu: torch.Tensor
    device: torch.Tensor | None
    type: str

    @classmethod
    def now(cls, device: torch.device) -> RandomState:
        """Capture the state; `device` is this process's, of which the current index is used."""
        import numpy as np
        import torch

        module = torch.get_device_module(device.type)
        of_device = module.get_rng_state() if hasattr(module, "get_rng_state") else None
        return cls(
            random.getstate(), np.random.get_state(), torch.get_rng_state(), of_device, device.type
        )

    def restore(self) -> None:
        """Put the state back."""
        import numpy as np
        import torch

        random.setstate(self.python)
        np.random.set_state(self.numpy)
        torch.set_rng_state(self.cpu)
        if self.device is not None:
            torch.get_device_module(self.type).set_rng_state(self.device)
