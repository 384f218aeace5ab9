"""A stop request to a training that cannot handle it: what `stop` and `requeue` print."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterrun.planning.preparation import Request, prepare
from clusterrun.planning.stop_handling import reads_stop_file
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_status.stop_handling import describe_request

SCRIPTS = {
    "script: train.py": ({"train.py": "print('trains')"}, False),
    "script: train.py  # by the library": (
        {"train.py": "from clusterrun.training import TrainingRun"},
        True,
    ),
    "script: train.py  # in its own module": (
        {"train.py": "from loop import train", "loop.py": "import clusterrun.training"},
        True,
    ),
    "module: pack.train": (
        {"pack/train.py": "import pack.stop", "pack/pack/stop.py": "CLUSTERRUN_STOP_FILE"},
        True,
    ),
    "command: bash train.sh --epochs 3": ({"train.sh": "[ -e $CLUSTERRUN_STOP_FILE ]"}, True),
    "command: bash other.sh": ({"train.sh": "[ -e $CLUSTERRUN_STOP_FILE ]"}, False),
    'command: while [ ! -e "$CLUSTERRUN_STOP_FILE" ]; do sleep 1; done': ({}, True),
}


@pytest.mark.parametrize("run", SCRIPTS)
def test_the_text_shows_whether_a_training_reads_the_stop_file(tmp_path: Path, run: str) -> None:
    files, reads = SCRIPTS[run]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "job.yaml").write_text(f"name: x\n{run}\nslurm: {{nodes: 1}}\n")
    prepared = prepare(Request(str(tmp_path / "job.yaml"), cwd=tmp_path))
    assert reads_stop_file(prepared.loaded, tmp_path, prepared.script) is reads
    assert prepared.reads_stop_file is reads


@pytest.mark.parametrize(
    ("settings", "resumed", "handles"),
    [
        ("handles_stop=0\n", False, False),
        ("handles_stop=0\n", True, True),  # its first attempt used the library after all
        ("handles_stop=1\n", False, True),
        ("nodes=1\n", False, True),  # a run of an older version
    ],
)
def test_a_request_says_what_it_does(
    tmp_path: Path, settings: str, resumed: bool, handles: bool
) -> None:
    run = RunRef("tiny-1", RunPaths(tmp_path), "7")
    (tmp_path / "events").mkdir()
    run.paths.settings.write_text(settings)
    run.paths.begin("0001").write_text("job_id=7\n")
    if resumed:
        run.paths.resumed("0001").write_text("state=resumed\n")
    words = describe_request(run, "stop", "it saves a checkpoint and exits")
    assert (words == "stop requested: it saves a checkpoint and exits") is handles
    assert ("`clusterrun cancel tiny-1` ends the run now" in words) is not handles
