"""What a training process is doing, in words; a process between two steps needs none."""

from __future__ import annotations

ACTIVITIES = {
    "start": "starting, no step done yet",
    "evaluation": "evaluating",
    "save": "saving a checkpoint",
    "epoch": "between two epochs",
    "end": "exiting",
    "other": "training done, the script is still running",
}
"""The words for an `Activity` of the training library, as `doing` in `progress` names it."""
