"""Which checkpoints `checkpoints` lists, and which of them a resume uses."""

from __future__ import annotations

import json
import re
from pathlib import Path

from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import write_record
from clusterrun.run_status.control import cancel, wait
from clusterrun.run_status.saved_checkpoints import checkpoints
from clusterrun.submission.requeuing import requeue
from clusterrun.training.checkpointing import manifest
from tests.support.counting_runs import count, reaches, typed
from tests.support.laptop import Laptop, until


def test_a_corrupt_checkpoint_is_found_and_another_is_used(laptop: Laptop) -> None:
    """Without --verify sizes are compared; with it every byte is read; damage has an exit code."""
    run = count(laptop, "damaged")
    for attempt in (1, 2):
        reaches(run, attempt)
        requeue(run.run_id, laptop.index)
        until(
            lambda number=attempt: len(checkpoints(run.run_id, index=laptop.index)) == number,
            60,
            "it has saved",
        )
    cancel(run.run_id, laptop.index)
    wait(run.run_id, 60, laptop.index)
    older, newer = checkpoints(run.run_id, index=laptop.index)
    assert (older.used_on_resume, newer.used_on_resume, newer.attempt, newer.verified) == (
        False,
        True,
        2,
        None,
    )
    state = Path(newer.path) / "count"
    state.write_bytes(bytes(byte ^ 1 for byte in state.read_bytes()))  # the size stays

    assert checkpoints(run.run_id, index=laptop.index)[1].fault == ""
    listed = checkpoints(run.run_id, verify=True, index=laptop.index)
    assert [(one.verified, one.fault, one.used_on_resume) for one in listed] == [
        (True, "", True), (False, "count's checksum differs", False)
    ]  # fmt: skip
    shown = typed(laptop, "checkpoints", run.run_id, "--verify")
    assert shown.returncode == 1
    assert re.search(r"^step-\d+-0001 .* yes +<- resumes here$", shown.stdout, re.MULTILINE)
    assert re.search(r"^step-\d+-0002 .* no: count's checksum differs$", shown.stdout, re.MULTILINE)
    state.unlink()
    quick = typed(laptop, "checkpoints", run.run_id, "--json")
    assert (quick.returncode, json.loads(quick.stdout)[1]["fault"]) == (0, "count is missing")


def test_the_checkpoints_of_any_script(laptop: Laptop) -> None:
    """If checkpoint.path is set, the files are listed by age, and not verified."""
    command = 'cd "$CLUSTERRUN_RUN_DIR"; mkdir -p out; for i in 30 4; do echo $i > out/model-$i; sleep 0.1; done; : > out/model-5'
    run = laptop.submit(
        "plain", command=command, checkpoint={"path": "{run_dir}/out/model-*", "resume": False}
    )
    wait(run.run_id, 60, laptop.index)
    listed = checkpoints(run.run_id, verify=True, index=laptop.index)
    assert [(one.name, one.step, one.used_on_resume, one.verified) for one in listed] == [
        ("model-30", 30, False, None), ("model-4", 4, True, None), ("model-5", 5, False, None)
    ]  # fmt: skip
    shown = typed(laptop, "checkpoints", run.run_id, "--verify")
    assert shown.returncode == 0
    assert shown.stdout.count("cannot be verified (written by the script)") == 2


def test_the_checkpoints_of_transformers_trainer(tmp_path: Path) -> None:
    """They are in its output_dir, which the run records; one without a manifest is incomplete."""
    run, output = RunPaths(tmp_path / "runs" / "trained"), tmp_path / "output"
    run.events.mkdir(parents=True)
    for step in (100, 20, 90):
        folder = output / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_text("weights")
        if step < 100:
            manifest.seal(folder, {"attempt": 2, "step": step})
    write_record(run.saves, {"checkpoint": output / "checkpoint-90", "step": 90})
    listed = checkpoints(str(run.folder), verify=True)
    assert [(one.name, one.kind, one.step, one.attempt, one.verified, one.used_on_resume) for one in listed] == [
        ("checkpoint-20", "Trainer", 20, 2, True, False), ("checkpoint-90", "Trainer", 90, 2, True, True),
        ("checkpoint-100", "Trainer", 100, None, False, False),
    ]  # fmt: skip
    assert listed[2].fault == "it has no manifest.json"
