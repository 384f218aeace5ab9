"""The state of a Trainer: selected at the start, and sealed in output_dir after each save."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterrun.run_folder.paths import RunPaths
from clusterrun.training.checkpointing.disk import collect_write_errors
from clusterrun.training.checkpointing.saving import Saver
from clusterrun.training.checkpointing.store import Position
from clusterrun.training.checks import check_world_of_checkpoint
from clusterrun.training.hf_trainer.output_dir import (
    OutputDir,
    TrainerCheckpoint,
    discard_checkpoint,
    read_named_checkpoint,
)
from clusterrun.training.records.events import find_crashed_resumes
from clusterrun.training.state import TrainingState
from clusterrun.training.stopping.agreement import Agreement

if TYPE_CHECKING:
    from transformers import Trainer


class TrainerSaver(Saver):
    """Lets Trainer write a checkpoint, and seals it."""

    temporary = frozenset({"checkpoint-is-incomplete.txt"})  # from enable_jit_checkpoint
    write: Callable[[], None]  # Trainer's function
    more_facts: dict[str, object]

    def _write(self, draft: Path) -> None:  # noqa: ARG002 - Trainer chooses the folder
        with collect_write_errors() as errors:
            self.write()
        if errors:
            raise OSError(errors[0])

    def _facts(self, position: Position) -> dict[str, object]:
        import transformers

        facts = super()._facts(position)
        versions: Any = facts["versions"]
        return {
            **facts,
            **self.more_facts,
            "versions": {**versions, "transformers": transformers.__version__},
        }


class OutputDirState(TrainingState):
    """The state of a Trainer, which Trainer itself loads and writes."""

    newest: TrainerCheckpoint | None

    def __init__(
        self,
        trainer: Trainer,
        agreement: Agreement,
        paths: RunPaths | None,
        attempt: str | None,
        keep: int | None,
    ) -> None:
        folder = Path(trainer.args.output_dir or ".").absolute()
        super().__init__(trainer.accelerator, agreement, paths or RunPaths(folder), attempt, keep)
        self._trainer = trainer
        self._run = paths.folder.name if paths else ""
        self._checkpoints: OutputDir = OutputDir(folder, int(attempt or 1), keep)
        self._saver: TrainerSaver = TrainerSaver(
            trainer.accelerator, agreement, self._checkpoints, self._fence
        )

    def choose(self, named: Path | None) -> TrainerCheckpoint | None:
        """Return the checkpoint to load, on every rank; `named` is the one that the script names.

        That one is used in the first attempt and without clusterrun; later, only if output_dir has
        no newer one. Raises TrainingError if it is not valid or was saved by another number of
        processes, and SystemExit if another attempt has taken over.
        """
        checkpoint = self._agreement.share(
            self._find_named_or_newest(named) if self._main else None
        )
        self.exit_if_fenced()
        if checkpoint and checkpoint.world_size:
            check_world_of_checkpoint(
                checkpoint.name, checkpoint.world_size, int(self._accelerator.num_processes)
            )
        if self._main:
            self._checkpoints.set_aside(after=checkpoint.step if checkpoint else 0)
        self.newest = checkpoint
        if checkpoint:
            self._saver.expect(checkpoint.size)
            self._record_resume(checkpoint, loaded=False)
        return checkpoint

    def note_loaded(self) -> None:
        """Record that Trainer has loaded the checkpoint. Call it on every rank."""
        self._agreement.gather(None)
        self._record_resume(self.newest, loaded=True)
        name = self.newest.name if self.newest else None
        self._log_line(f"resumed from {name}" if name else "no checkpoint yet, starting at step 0")

    def save_trainer(
        self, write: Callable[[], None], position: Position, more_facts: dict[str, object]
    ) -> None:
        """Let Trainer `write` its checkpoint, and seal it with `more_facts`; else as `save`."""
        if self.newest and self.newest.step == position.step:
            self.newest = None  # Trainer overwrites it
        before, args = self.newest, self._trainer.args
        self._checkpoints.limit = args.save_total_limit

        def write_and_protect() -> None:
            write()
            self._protect_best()

        with _suspend_rotation(args, is_ours=bool(more_facts["asked"])):
            self._saver.write = write_and_protect
            self._saver.more_facts = {
                **more_facts,
                "run": self._run,
                "model_only": args.save_only_model,
            }
            self.save(position)
        if self._main and self.newest is before:
            discard_checkpoint(self._checkpoints.draft(position.step))

    def note_best(self) -> None:
        """Note that this step's checkpoint is the best, as Trainer does only when it writes one."""
        state, args = self._trainer.state, self._trainer.args
        folder = Path(args.output_dir or ".", f"checkpoint-{state.global_step}")
        # Trainer sets best_global_step only with some save strategies
        if state.best_global_step == state.global_step and folder.is_dir():
            state.best_model_checkpoint = str(folder)
            self._protect_best()

    def _protect_best(self) -> None:
        best = self._trainer.state.best_model_checkpoint
        self._checkpoints.best = Path(best).absolute() if best else None

    def _find_named_or_newest(self, named: Path | None) -> TrainerCheckpoint | None:
        explicit = read_named_checkpoint(named) if named else None
        is_first_attempt = self._attempt is None or int(self._attempt) == 1
        if explicit and is_first_attempt:
            return explicit
        newest = self._checkpoints.newest(
            find_crashed_resumes(self._paths, self._attempt) if self._attempt else None
        )
        return explicit if explicit and (not newest or newest.step < explicit.step) else newest


@contextmanager
def _suspend_rotation(args: Any, *, is_ours: bool) -> Iterator[None]:
    """Make Trainer keep old checkpoints until the new one is sealed, and save all state."""
    before = args.save_total_limit, args.save_only_model
    args.save_total_limit = None
    if is_ours:
        args.save_only_model = False
    try:
        yield
    finally:
        args.save_total_limit, args.save_only_model = before
