"""The saved order of an epoch, without a training."""

from pathlib import Path

from accelerate import Accelerator
from torch.utils.data import DataLoader

from clusterrun.training.epoch_order import FILE, EpochOrder


def write(order: EpochOrder, accelerator: Accelerator, folder: Path) -> bytes:
    """Save the state as a training does, and return the bytes of the order."""
    order.save_below(folder.parent)
    folder.mkdir(parents=True)
    accelerator.save_state(str(folder))
    return (folder / FILE).read_bytes()


def test_a_resumed_run_writes_the_same_bytes(tmp_path: Path) -> None:
    """`rehearse` compares the files of two checkpoints byte by byte."""
    accelerator = Accelerator(cpu=True)
    loader = DataLoader(list(range(8)), shuffle=True)  # type: ignore[arg-type]
    first = EpochOrder(accelerator)
    first.begin(loader)
    uninterrupted = write(first, accelerator, tmp_path / "a" / "state")
    resumed = EpochOrder(accelerator)
    resumed.load(tmp_path / "a" / "state")
    assert resumed.replay(loader)
    assert write(resumed, accelerator, tmp_path / "b" / "state") == uninterrupted
