"""The losses that a rehearsal compares, recorded on request."""

from __future__ import annotations

import json
from pathlib import Path

from clusterrun.run_folder.paths import RunPaths
from clusterrun.training.protocol import AttemptContext
from clusterrun.training.records.losses import Losses, open_losses


def test_losses_are_recorded_on_request(tmp_path: Path) -> None:
    """With all digits; an unknown loss is null, and without a request there is no file."""
    (tmp_path / "events").mkdir()
    attempt = AttemptContext(RunPaths(tmp_path), "0001", tmp_path / "stop", 1, None, None)
    losses = open_losses(attempt, main=True, environment={"CLUSTERRUN_LOSSES": "1"})
    losses.note(1, 0.1 + 0.2)
    losses.note(2, None)
    losses.note(3, float("inf"), since=1)
    losses.write()
    lines = [
        json.loads(line) for line in RunPaths(tmp_path).losses("0001").read_text().splitlines()
    ]
    assert [(line["step"], line["since"], line["loss"]) for line in lines] == [
        (1, 0, 0.30000000000000004), (2, 1, None), (3, 1, "inf"),
    ]  # fmt: skip
    for other in (
        open_losses(attempt, main=False, environment={"CLUSTERRUN_LOSSES": "1"}),
        open_losses(attempt, main=True, environment={}),
        open_losses(None, main=True, environment={"CLUSTERRUN_LOSSES": "1"}),
        Losses(tmp_path / "no such folder" / "losses"),
    ):
        other.note(9, 1.0)
        other.write()
    assert len(RunPaths(tmp_path).losses("0001").read_text().splitlines()) == 3
