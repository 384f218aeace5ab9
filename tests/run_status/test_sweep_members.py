"""The members of a sweep as a table, the best of them, and the order of `list`."""

from __future__ import annotations

import csv
import json
import math
import time
from pathlib import Path

import pytest

from clusterrun.cli import main
from clusterrun.cli.output.sweep_table import format_sweep, write_csv
from clusterrun.errors import ClusterError, SpecError
from clusterrun.run_folder.index import Index
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import write_record
from clusterrun.run_status.best_member import best
from clusterrun.run_status.control import status
from clusterrun.run_status.sweep_members import read_sweep
from tests.support.sweep_folders import make_sweep

MEMBERS = [
    ({"args.lr": "1e-5"}, {"loss": [(100, 2.0), (200, 1.5)], "acc": [(100, 0.4), (200, 0.5)]}),
    ({"args.lr": "3e-5"}, {"loss": [(100, 1.0), (200, 1.75)], "acc": [(100, 0.9), (200, 0.6)]}),
    ({"args.lr": "1e-4"}, {"loss": [(100, math.nan)]}),
    ({"args.lr": "3e-4"}, {}),
]


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    return Index({"HOME": str(tmp_path)})


def order(index: Index, name: str, sort: str | None = None, **options: str) -> list[int]:
    return [row.member.number for row in read_sweep(status(name, index), sort, **options)]


@pytest.mark.parametrize(("metric", "sort", "expected"), [
    ("", None, [0, 1, 2, 3]),            # the last loss; then NaN and nothing
    ("", "best", [1, 0, 2, 3]),
    ("min loss", None, [1, 0, 2, 3]),
    ("max acc", None, [1, 0, 2, 3]),
    ("max acc", "last", [1, 0, 2, 3]),
    ("min acc", None, [0, 1, 2, 3]),
    ("max acc", "loss", [0, 1, 2, 3]),
    ("", "acc", [0, 1, 2, 3]),
    ("", "lr", [0, 1, 2, 3]),
    ("", "args.lr", [0, 1, 2, 3]),
    ("max acc", "number", [0, 1, 2, 3]),
])  # fmt: skip
def test_the_order_of_the_members(index, tmp_path, metric, sort, expected):
    """Members without the value come last, whatever the goal."""
    run = make_sweep(tmp_path, MEMBERS, metric)
    assert order(index, run.run_id, sort) == expected


def test_an_unknown_column_is_refused(index, tmp_path):
    run = make_sweep(tmp_path, MEMBERS)
    with pytest.raises(SpecError, match="'lrr' is not a column") as caught:
        order(index, run.run_id, "lrr")
    assert caught.value.problems[0].hint.endswith("state, step, args.lr, acc")


def test_the_table(index, tmp_path):
    """The metric has its last and its best value; the loss stays."""
    run = make_sweep(tmp_path, MEMBERS, "max acc")
    rows = read_sweep(status(run.run_id, index))
    lines = [line.split() for line in format_sweep(rows).splitlines()]
    assert lines[0] == "MEMBER lr STATE STEP LOSS ACC BEST AT STEP REASON".split()
    assert lines[1][:8] == "1 3e-5 COMPLETED 200/1000 1.7500 0.6000 0.9000 100".split()
    read = [*csv.DictReader(write_csv(rows).splitlines())]
    assert {key: read[0][key] for key in ("args.lr", "loss", "acc", "best", "best_step")} == {
        "args.lr": "3e-5", "loss": "1.75", "acc": "0.6", "best": "0.9", "best_step": "100",
    }  # fmt: skip
    assert [row["best"] for row in read] == ["0.9", "0.5", "", ""]
    written = json.loads(json.dumps([row.as_dict() for row in rows], allow_nan=False))
    assert (written[0]["metric"], written[0]["best"], written[3]["best"]) == ("acc", 0.9, None)


def test_the_best_member_and_its_checkpoint(index, tmp_path, capsys):
    run = make_sweep(tmp_path, MEMBERS, "max acc")
    checkpoints = run.paths.folder / "task-1" / "checkpoints"
    for step in (100, 200):
        place = checkpoints / f"step-{step}-0001"
        place.mkdir(parents=True)
    found = best(run.run_id, index=index)
    assert (found.run_id, found.value, found.value_step) == (f"{run.run_id}-1", 0.9, 100)
    assert found.checkpoint is None  # both are incomplete
    assert main(["best", run.run_id]) == 0
    shown = capsys.readouterr().out
    assert "acc         0.9 at step 100\n" in shown
    assert "checkpoint  none yet\n" in shown
    assert main(["best", run.run_id, "--json", "--metric", "loss"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["number"], answer["value"], answer["goal"]) == (1, 1.0, "min")


def test_without_a_metric_the_last_loss_decides(index, tmp_path):
    found = best(make_sweep(tmp_path, MEMBERS).run_id, index=index)
    assert (found.number, found.value, found.value_step) == (0, 1.5, None)


def test_a_checkpoint_of_the_best_step_is_preferred(index, tmp_path, monkeypatch):
    """Of complete ones; an incomplete one at that step is skipped."""
    from clusterrun.run_status import best_member
    from clusterrun.run_status.saved_checkpoints import SavedCheckpoint

    def saved(step: int, fault: str = "") -> SavedCheckpoint:
        return SavedCheckpoint(f"step-{step}", f"/c/{step}", step, 1, 1, 1.0, "script", None, fault)

    run = make_sweep(tmp_path, MEMBERS, "max acc")
    for listed, step in [([saved(100), saved(200)], 100), ([saved(100, "x"), saved(150), saved(200)], 200),
                         ([saved(100, "x")], None)]:  # fmt: skip
        monkeypatch.setattr(best_member, "checkpoints", lambda *_, listed=listed, **__: listed)
        assert best(run.run_id, index=index).checkpoint_step == step


def test_runs_without_members_or_values_are_refused(index, tmp_path):
    run = make_sweep(tmp_path, [({"args.lr": "1"}, {}), ({"args.lr": "2"}, {})], "min f1")
    with pytest.raises(ClusterError, match="has logged f1"):
        best(run.run_id, index=index)
    with pytest.raises(SpecError, match="has no members"):
        best(f"{run.run_id}-0", index=index)


def test_list_sorts_by_the_metric(index, tmp_path, capsys):
    for number, (_, curves) in enumerate(MEMBERS[:2]):
        make_sweep(tmp_path, [({}, curves)], name=f"r{number}")
        paths = RunPaths(tmp_path / "runs" / f"r{number}-20261121-215156-4a5c")
        write_record(paths.intent, {"run_id": paths.folder.name, "number": 1})
        (paths.folder / "task-0" / "progress").rename(paths.progress)
        (paths.folder / "task-0" / "events" / "attempt-0001.begin").rename(paths.begin("0001"))
        (paths.folder / "task-0" / "events" / "attempt-0001.end").rename(paths.end("0001"))
    for words, first in [([], "r1"), (["--sort", "last"], "r0"), (["--sort", "best"], "r1"),
                         (["--sort", "best", "--metric", "acc"], "r0"),
                         (["--sort", "best", "--metric", "acc", "--goal", "max"], "r1")]:  # fmt: skip
        assert main(["list", *words]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[1].startswith(f"{first}-"), words
    assert lines[0].split() == "RUN STATE JOB ATTEMPT STEP ACC BEST REASON".split()
    assert lines[1].split()[-3:-1] == ["0.6000", "0.9000"]


def test_two_hundred_members_are_read_at_once(index, tmp_path):
    """One small record a member, apart from its end; the limit is far above what a machine needs."""
    curves = {"loss": [(100, 1.0)], "eval_loss": [(100, 0.5)]}
    run = make_sweep(tmp_path, [({"args.seed": str(n)}, curves) for n in range(200)])
    started = time.process_time()
    assert len(read_sweep(status(run.run_id, index))) == 200
    assert time.process_time() - started < 1.0
