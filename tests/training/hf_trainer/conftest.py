"""Trainings of train_tiny.py, in this process or launched."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.training_scripts.launches import (
    attempt_of,
    clean_environment,
)
from tests.training_scripts.tiny_runs import BASIC

Train = Callable[..., Any]


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> dict[str, str]:
    return clean_environment(tmp_path_factory.mktemp("hf"))


@pytest.fixture
def train(tmp_path, monkeypatch) -> Iterator[Train]:
    """Train in this process, as the attempt of a run; if the attempt is None, without clusterrun."""
    import torch

    from clusterrun.training.hf_trainer import several_trainings
    from tests.training_scripts import train_tiny

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # like the launched processes, to compare bits

    def run(
        attempt: str | None, *flags: object, folder: Path = tmp_path, **protocol: object
    ) -> Any:
        words = [
            *BASIC,
            "--samples",
            "44",
            "--num_train_epochs",
            "2",
            "--output_dir",
            folder / "output",
            *flags,
        ]
        several_trainings._steps.clear()  # each call is a script of its own
        monkeypatch.setattr("sys.argv", ["train_tiny.py", *map(str, words)])
        with monkeypatch.context() as patch:
            for name, value in (attempt_of(folder, attempt, **protocol) if attempt else {}).items():
                patch.setenv(name, value)
            return train_tiny.main()

    yield run
    torch.set_num_threads(threads)
    from clusterrun.training.hf_trainer.session import mark_trained

    atexit.unregister(mark_trained)
