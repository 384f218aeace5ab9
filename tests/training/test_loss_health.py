"""A loss that is NaN or infinite is reported, and is not written as a bare NaN into JSON.

Members of the kind: NaN, inf, -inf; a streak that ends; a loss that is not reported.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from clusterrun.cli.output.status_text import format_status
from clusterrun.diagnosis.run_diagnosis import why
from clusterrun.rehearsal.observation import _read_steps
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record
from clusterrun.run_status.file_status import status_from_files
from clusterrun.training.records.loss_health import LossHealth
from clusterrun.training.records.losses import Losses
from clusterrun.training.records.progress import Progress

NAN, INF = float("nan"), float("inf")


def test_a_streak_begins_with_its_first_step(capsys: pytest.CaptureFixture[str]) -> None:
    health = LossHealth()
    found = [
        health.note(step, loss).get("loss_not_finite_since")
        for step, loss in enumerate([1.0, NAN, INF, -INF, None, 2.0, NAN])
    ]
    assert found == [None, 1, 1, 1, None, None, 6]
    assert capsys.readouterr().err == (
        "clusterrun: warning: the loss is nan at step 1\n"
        "clusterrun: warning: the loss is nan at step 6\n"
    )


@pytest.mark.parametrize(("loss", "since"), [(NAN, 7), (INF, 7), (-INF, 7), (0.5, None)])
def test_status_and_why_report_a_loss_that_is_not_finite(
    tmp_path: Path, loss: float, since: int | None
) -> None:
    paths = RunPaths(tmp_path / "tiny-1")
    paths.events.mkdir(parents=True)
    paths.begin("0001").write_text("job_id=7\n")
    paths.end("0001").write_text("cause=finished\nnext=end\nexit_code=0\n")
    progress = Progress(paths.progress)
    progress.update(7, 10, loss, 1)
    progress.write()
    assert read_record(paths.progress).get("loss_not_finite_since") == (since and str(since))
    run = RunRef("tiny-1", paths, "7")
    found = status_from_files(run)
    assert found.loss_not_finite_since == since
    line = f"loss             {loss}, not finite since step 7\n"
    assert (line in format_status(found)) is (since is not None)
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["loss"] == (
        None if since else loss
    )
    index = Index({"HOME": str(tmp_path)})
    index.add(run)
    assert why("tiny-1", index).warning.startswith(f"the loss is {loss} since" if since else "")
    assert replace(found, loss_not_finite_since=None).as_dict() != found.as_dict() or not since


def test_the_losses_of_a_rehearsal_are_valid_json(tmp_path: Path) -> None:
    losses = Losses(tmp_path / "losses")
    for step, loss in enumerate([1.5, NAN, INF, None]):
        losses.note(step, loss)
    losses.write()
    text = (tmp_path / "losses").read_text()
    found = [json.loads(line, parse_constant=pytest.fail)["loss"] for line in text.splitlines()]
    assert found == [1.5, "nan", "inf", None]
    assert str([step.loss for step in _read_steps(tmp_path / "losses")]) == "[1.5, nan, inf, None]"
