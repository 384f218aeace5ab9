"""The tiny training with Accelerate alone: `save_state` every 50 steps, resume from the newest."""

from __future__ import annotations

import os
from pathlib import Path

from accelerate import Accelerator, DataLoaderConfiguration, skip_first_batches
from accelerate.utils import ProjectConfiguration
from tiny import SAVE_EVERY, Steps, prepared


class Counter:
    """The number of completed steps, saved and loaded with the rest of the state."""

    def __init__(self) -> None:
        self.step = 0

    def state_dict(self) -> dict[str, int]:
        """Return the state for `save_state`."""
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Set the state that `load_state` has loaded."""
        self.step = state["step"]


class Training:
    """A training that saves into `<folder>/checkpoints` and resumes from there."""

    def __init__(self, folder: Path) -> None:
        self.project = ProjectConfiguration(
            str(folder), automatic_checkpoint_naming=True, total_limit=3
        )
        order = DataLoaderConfiguration(use_seedable_sampler=True)
        self.accelerator = Accelerator(project_config=self.project, dataloader_config=order)
        self.done = Counter()
        self.accelerator.register_for_checkpointing(self.done)
        self.model, self.optimizer, self.loader = prepared(self.accelerator)

    @property
    def checkpoints(self) -> Path:
        """The folder in which automatic naming saves."""
        return Path(str(self.project.project_dir), "checkpoints")

    def resume(self) -> None:
        """Load the newest checkpoint and continue its number: accelerate would restart at 0."""
        saved = [
            int(path.name.removeprefix("checkpoint_"))
            for path in self.checkpoints.glob("checkpoint_*")
        ]
        if saved:
            self.accelerator.load_state(str(self.checkpoints / f"checkpoint_{max(saved)}"))
            self.project.iteration = max(saved) + 1

    def run(self) -> None:
        """Resume and train to the end."""
        self.resume()
        steps = Steps(self.accelerator, self.model, self.optimizer)
        for batch in skip_first_batches(self.loader, self.done.step):
            steps.take(batch, self.done.step + 1)
            self.done.step += 1
            if self.done.step % SAVE_EVERY == 0:
                self.accelerator.save_state()

    def save_alone(self) -> None:
        """Save from the main process only: automatic naming would wait for the other ranks."""
        self.project.automatic_checkpoint_naming = False
        self.accelerator.save_state(str(self.checkpoints / f"checkpoint_{self.project.iteration}"))


if __name__ == "__main__":
    Training(Path(os.environ["TRAINING_DIR"])).run()
