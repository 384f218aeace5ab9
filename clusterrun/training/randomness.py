"""The random state of this process, to capture and restore."""

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
        """Capture the state; of `device`, the type counts, and the current index is used."""
        import numpy as np
        import torch

        module = torch.get_device_module(device.type)
        device_state = module.get_rng_state() if hasattr(module, "get_rng_state") else None
        return cls(
            random.getstate(),
            np.random.get_state(),
            torch.get_rng_state(),
            device_state,
            device.type,
        )

    def restore(self) -> None:
        """Restore the captured state."""
        import numpy as np
        import torch

        random.setstate(self.python)
        np.random.set_state(self.numpy)
        torch.set_rng_state(self.cpu)
        if self.device is not None:
            torch.get_device_module(self.type).set_rng_state(self.device)
