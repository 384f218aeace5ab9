"""A script without clusterrun.training receives its newest checkpoint as an argument."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from clusterrun.job_spec import load_spec
from clusterrun.planning.script import render
from tests.support.planned import START, script_of
from tests.support.planned import plan_of as planned


def bash(script: str, functions: str, *words: str, **variables: str) -> list[str]:
    """Run a script with some of its functions replaced; return its output, split at NUL."""
    text = script.removesuffix('main "$@"\n') + functions
    environment = {
        "PATH": os.environ["PATH"],
        "SLURM_JOB_ID": "7",
        "SLURM_SUBMIT_DIR": str(Path.cwd()),
        **variables,
    }
    answer = subprocess.run(
        ["bash", "-c", text, "bash", *words], env=environment, capture_output=True, check=False
    )
    assert (answer.returncode, answer.stderr) == (0, b"")
    return answer.stdout.decode().split("\0")


RESUMES = [
    ("", ["--resume_from_checkpoint", "NEWEST"]),
    ("resume: false", []),
    ("resume: --from={checkpoint} -v 'a b'", ["--from=NEWEST", "-v", "a b"]),
    ("resume: '{checkpoint}:{checkpoint}'", ["NEWEST:NEWEST"]),
    (
        "resume: [--from, '{checkpoint}', '', '$(touch canary)']",
        ["--from", "NEWEST", "", "$(touch canary)"],
    ),
]


@pytest.mark.parametrize(("line", "words"), RESUMES)
def test_a_script_gets_its_checkpoint(folder, line, words):
    """checkpoint.resume follows the arguments once a checkpoint exists; it is always one word."""
    script = script_of(f"script: train.py\nargs: {{lr: 3}}\ncheckpoint:\n  path: out/*\n  {line}\n")
    show = "accelerate() { printf '%s\\0' \"$@\"; }\ncheckpoint=$given\nlaunch\n"
    newest = """it's a "$(touch canary)" * \\ \n"""
    for checkpoint, arguments in (
        ("", []),
        (newest, [word.replace("NEWEST", newest) for word in words]),
    ):
        *argv, _ = bash(script, show, given=checkpoint)
        assert argv[argv.index("train.py") :] == ["train.py", "--lr", "3", *arguments]
    assert not (folder / "canary").exists()


def test_without_a_path_no_checkpoint_is_passed(folder):
    """A script that uses clusterrun.training, and a command, are launched as written."""
    for text in ("script: train.py\n", "command: hostname\ncheckpoint: {path: out/*}\n"):
        before, _, _ = script_of(text).partition(START)
        assert "resume_from" not in before
    assert "\ncheckpoint_path='out/*'\n" in script_of(text)


@pytest.mark.parametrize("root", ["runs", "a [b] *?", "it's $(touch canary)", "[", "50%", "数据"])
@pytest.mark.parametrize("path", ["{run_dir}/out put/checkpoint-*", "mine [1]*/checkpoint-?"])
def test_the_newest_match_of_a_pattern(folder, root, path):
    """A pattern finds the newest matching file and no other, for any characters in folders."""
    (folder / "job.yaml").write_text(
        json.dumps({"script": "train.py", "checkpoint": {"path": path}})
    )
    script = render(planned(load_spec("job.yaml").spec, run_root=root))
    run_dir = folder / root / "job-7"
    place = run_dir / "out put" if "{run_dir}" in path else folder / "mine 1[x]"
    show = "prepare_shell() { find_newest_match; printf '\\0'; find_newest_match \"$(find_newest_match)\"; exit; }\nmain\n"
    place.mkdir(parents=True)
    (place / "checkpoint-0").touch()  # empty: it was truncated
    assert bash(script, show) == ["", ""]
    for number, (name, age) in enumerate(
        {"checkpoint-1": 30, "checkpoint-2": 10, "checkpoint-3": 20, ".checkpoint-4": 0}.items()
    ):
        (place / name).write_text(str(number))
        os.utime(place / name, (1_000_000 - age, 1_000_000 - age))
    newest, other = bash(script, show)
    assert (folder / newest, folder / other) == (place / "checkpoint-2", place / "checkpoint-3")
    assert not (folder / "canary").exists()
