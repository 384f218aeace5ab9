"""A run folder for the job script's functions."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def run_dir(tmp_path) -> Path:
    (tmp_path / "events").mkdir()
    return tmp_path
