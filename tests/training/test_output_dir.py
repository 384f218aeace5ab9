"""Which of the checkpoints in a Trainer's output_dir is resumed, and which are removed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from clusterrun.training.checkpointing import manifest
from clusterrun.training.hf_trainer.output_dir import OutputDir


def fake(folder: Path, step: int, *, sealed: bool = True, **facts: object) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    (path / "scheduler.pt").write_text("state")
    if sealed:
        manifest.seal(path, {"world_size": 1, "attempt": 1, **facts})
    return path


def chosen(folder: Path, **crashed: str) -> str | None:
    newest = OutputDir(folder, attempt=5, keep=None).newest(
        {str(folder / name): why for name, why in crashed.items()}
    )
    return newest.path.name if newest else None


def test_checkpoints_from_before_clusterrun_count(tmp_path):
    """Complete checkpoints without a manifest are resumed, and partly written ones are not."""
    fake(tmp_path, 10, sealed=False)
    (fake(tmp_path, 20, sealed=False) / "scheduler.pt").unlink()
    (fake(tmp_path, 30, sealed=False) / "scheduler.pt").write_text("")
    (fake(tmp_path, 40, sealed=False) / "trainer_state.json").unlink()
    assert chosen(tmp_path) == "checkpoint-10"


def test_unsealed_checkpoints_are_skipped_once_others_are_sealed(tmp_path, capsys):
    """A killed save leaves no manifest; only checkpoints older than all manifests need none."""
    fake(tmp_path, 10, sealed=False)
    fake(tmp_path, 20)
    fake(tmp_path, 30, sealed=False)
    assert chosen(tmp_path) == "checkpoint-20"
    assert "checkpoint-30: it has no manifest.json" in capsys.readouterr().err
    (tmp_path / "checkpoint-20" / "scheduler.pt").write_text("State")
    assert chosen(tmp_path) == "checkpoint-10"


def test_a_checkpoint_that_crashed_an_attempt_is_skipped(tmp_path, capsys):
    """A checkpoint that killed the attempt that loaded it is not tried again."""
    fake(tmp_path, 10)
    fake(tmp_path, 20)
    assert chosen(tmp_path, **{"checkpoint-20": "0003"}) == "checkpoint-10"
    assert "checkpoint-20: attempt 0003 crashed while loading it" in capsys.readouterr().err


def test_checkpoints_of_a_fenced_attempt_are_skipped(tmp_path):
    """Steps of an attempt that another had replaced do not count; those of another run in the
    folder do.
    """
    fake(tmp_path, 10, run="a", attempt=1)
    fake(tmp_path, 20, run="a", attempt=2)
    fake(tmp_path, 30, run="a", attempt=1)
    assert chosen(tmp_path) == "checkpoint-20"
    shutil.rmtree(tmp_path / "checkpoint-30")
    fake(tmp_path, 30, run="b", attempt=1)
    assert chosen(tmp_path) == "checkpoint-30"


def test_pruning_keeps_the_best_and_the_newest(tmp_path):
    """As in Trainer, both are among the number to keep."""
    paths = [fake(tmp_path, step) for step in (10, 20, 30, 40)]
    folder = OutputDir(tmp_path, attempt=1, keep=None)
    folder.limit, folder.best = 2, paths[0]
    folder.prune()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-40"]
