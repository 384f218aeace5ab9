"""Recognize that an intact checkpoint belongs to another model, optimizer or set of objects."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clusterrun.errors import TrainingError

# torch.nn.Module.load_state_dict and torch.optim.Optimizer.load_state_dict (torch 2.13), and
# Accelerator.load_state for registered objects (accelerate 1.15)
_WORDS = re.compile(
    r"in loading state_dict|size mismatch for|loaded state dict|Number of custom checkpoints"
)


@contextmanager
def explain_mismatch(checkpoint: Path) -> Iterator[None]:
    """Turn the errors of a verified checkpoint that does not fit the script into a TrainingError.

    Its files are intact, so a retry fails in the same way, and older checkpoints do, too. Other
    errors pass: memory, connections and disks may recover.
    """
    try:
        yield
    except (RuntimeError, ValueError, OSError) as error:
        reason = _find_mismatch(error, checkpoint)
        if reason is None:
            raise
        raise TrainingError(
            f"checkpoint {checkpoint.name} is intact, but does not fit the script: {reason}",
            "the script must make the model, optimizers, schedulers and registered objects with "
            "which the checkpoint was saved; undo the change, or submit a new run",
        ) from error


def _find_mismatch(error: Exception, checkpoint: Path) -> str | None:
    if isinstance(error, FileNotFoundError) and error.filename:
        missing = Path(str(error.filename))
        if missing.parent.name == checkpoint.name:
            return f"it has no {missing.name}"
        return None
    text = " ".join(str(error).split())
    return text[:300] if _WORDS.search(text) and not isinstance(error, OSError) else None
