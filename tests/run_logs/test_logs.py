"""`clusterrun logs` over run folders, without Slurm.

tests/slurm/test_why.py has it on a real Slurm.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import threading
import time

import pytest

from clusterrun.job_spec.model import JobSpec
from clusterrun.planning.launch import Configs, make_launch
from clusterrun.run_folder.index import Index
from clusterrun.run_logs.filters import LogFilter
from clusterrun.run_logs.reading import log_lines, logs
from tests.run_logs.conftest import SCRIPT


def printed(desk, *words: str) -> list[str]:
    done = desk.type("logs", "many", *words)
    shown = "showing attempt 2; for earlier ones use --attempt 1, or --attempt all\n"
    assert (done.returncode, done.stderr) == (0, "" if "--attempt" in words else shown)
    return done.stdout.splitlines()


def test_lines_of_a_rank(desk, run):
    """Lines are found by the marks of torch, tee and NCCL, and in stack dumps; no others."""
    assert printed(desk, "--rank", "2") == [
        "[rank2]: [rank2]: two", "[rank2]:[E1 02:07 ProcessGroupNCCL.cpp:607] [Rank 2] Watchdog"
    ]  # fmt: skip
    assert printed(desk, "--rank", "3")[:2] == ["[rank3]: three 10%", " three 20%"]  # the bar's \r
    assert printed(desk, "--rank", "3")[-2:] == [
        "---- rank 3 on n2, process 7", '  File "train.py", line 3 in train'
    ]  # fmt: skip


def test_lines_of_a_node(desk, run):
    """Lines of its ranks, by the job script's numbers, and what srun and the job script report."""
    assert printed(desk, "--node", "n1") == [
        "[rank0]: zero", "[rank1]: one", "srun: error: n1: task 0: Exited with exit code 1"
    ]  # fmt: skip
    assert "clusterrun: n2: a word of its node" in printed(desk, "--node", "n2")


def test_lines_that_match(desk, run):
    """A regular expression searches one or all attempts, and combines with other filters."""
    assert printed(desk, "--grep", "^attempt|zero$", "--attempt", "all") == [
        "attempt one",
        "[rank0]: zero",
    ]
    assert printed(desk, "--grep", "t[wh]", "--rank", "2") == ["[rank2]: [rank2]: two"]
    assert printed(desk, "--attempt", "1") == ["attempt one"]
    assert printed(desk, "--attempt", "all")[:2] == [
        "attempt one",
        "clusterrun: n2: a word of its node",
    ]


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (("--grep", "("), 2, "--grep: '(' is not a regular expression"),
        (
            ("--rank", "9"),
            1,
            "no line of this log shows rank 9; ranks in this log: 0-3",
        ),
        (("--rank", "0", "--attempt", "1"), 1, "accelerate: {tee: 3}"),
        (
            ("--node", "n7"),
            1,
            "no line of this log is from node n7; nodes in this log: n1, n2",
        ),
        (("--attempt", "none"), 2, "neither an attempt number nor `all`"),
        (("--attempt", "0"), 2, "neither an attempt number nor `all`"),
        (("--attempt", "7"), 1, "has no attempt 7"),
    ],
)
def test_unavailable_lines_are_reported_with_a_hint(desk, run, words, code, error):
    """The error goes to stderr with a hint, without a traceback."""
    done = desk.type("logs", "many", *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert error in done.stderr
    assert "Traceback" not in done.stderr


def test_a_single_rank(desk, run):
    """In a run of one process every line belongs to its rank."""
    run.begin("0001").write_text("nodes=n5\n")
    run.script.write_text(SCRIPT.replace("4", "1"))
    assert printed(desk, "--attempt", "1", "--rank", "0") == ["attempt one"]
    assert printed(desk, "--attempt", "1", "--node", "n5") == ["attempt one"]


def test_on_a_terminal_each_rank_has_its_colour(desk, run):
    """A label with rank and node precedes labelled lines only; a pipe gets none."""
    text = terminal(desk, "logs", "many")
    assert re.search(r"\x1b\[38;2;\d+;\d+;\d+mrank 1 n1 \|\x1b\[0m one\r\n", text)
    colours = {match[2]: match[1] for match in re.finditer(r"(\x1b\[38[^m]*m)rank (\d)", text)}
    assert len(set(colours.values())) == 4
    assert "\nnobody\r\n" in text
    assert "\x1b" not in "".join(printed(desk))
    assert "\x1b" not in terminal(desk, "logs", "many", NO_COLOR="1")


def test_following_shows_a_moving_progress_bar(run):
    """It is printed before its line ends, exactly as it was drawn."""
    run.end("0002").unlink()
    run.log("0002").write_bytes(b"\r 10%|#\r 20%|##")
    first = next(log_lines(str(run.folder), LogFilter(), follow=True))
    assert first.raw == "\r 10%|#\r 20%|##"


def terminal(desk, *words: str, **environment: str) -> str:
    """Return what a command prints on a terminal."""
    ours, theirs = pty.openpty()
    env = {**desk.environment, "TERM": "xterm", **environment}
    with subprocess.Popen(
        [sys.executable, "-m", "clusterrun", *words], env=env, stdout=theirs, stderr=theirs
    ):
        os.close(theirs)
        text = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:
                break
            text += piece
            if not piece:
                break
    os.close(ours)
    return text.decode()


def test_following_continues_over_attempts_and_ends_with_the_run(desk, run):
    """Only complete lines and letters are printed; it follows the next attempt, then ends."""
    end = run.end("0002").read_text()
    run.end("0002").unlink()
    run.end("0001").unlink()
    run.log("0002").unlink()
    run.begin("0002").unlink()
    found: list[str] = []
    index = Index(desk.environment)
    reader = threading.Thread(
        target=lambda: found.extend(logs("many", follow=True, grep="ä|two", index=index))
    )
    reader.start()
    with run.log("0001").open("ab") as log:
        log.write("half a lettär".encode()[:-2])
        log.flush()
        time.sleep(1.2)
        log.write("är\n".encode()[1:])
    run.begin("0002").write_text("nodes=n[1-2]\n")
    run.log("0002").write_text("one\ntwo\n")
    run.end("0001").write_text("cause=preemption\nnext=continue\nexit_code=1\n")
    run.end("0002").write_text(end)
    reader.join(30)
    assert not reader.is_alive()
    assert found == ["half a lettär\n", "two\n"]


def test_tee_marks_each_line_with_its_rank():
    """It uses accelerate's own flag, with torch's template for the rank, only if requested."""
    spec = {"name": "x", "script": "train.py", "accelerate": {"num_processes": 2}}
    without = make_launch(JobSpec.model_validate(spec), Configs(), gpus_requested=False)
    spec["accelerate"]["tee"] = 3
    launch = make_launch(JobSpec.model_validate(spec), Configs(), gpus_requested=False)
    (added,) = set(launch.lines) - set(without.lines)
    assert tuple(map(str, added[:3])) == ("--tee", "3", "--log_dir")
    assert launch.variables["TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE"] == "[rank${rank}]: "
    assert launch.config == without.config


def test_tee_works_with_a_config_file(desk):
    """It is a launch flag, not a key of accelerate's file; a wrong value is reported."""
    (desk.folder / "train.py").touch()
    (desk.folder / "mine.yaml").write_text("distributed_type: MULTI_GPU\nuse_cpu: true\n")
    spec = "script: train.py\naccelerate: {config_file: mine.yaml, num_processes: 2, tee: %s}\n"
    desk.write(spec % 3)
    shown = desk.type("render", "job.yaml")
    assert shown.returncode == 0, shown.stderr
    assert '--tee 3 --log_dir "$node_dir/ranks"' in shown.stdout
    assert "TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE='[rank${rank}]: '" in shown.stdout
    desk.write(spec % "all")
    assert (
        "'all' is not 0 to 3, or 0:3,1:2 by local rank" in desk.type("validate", "job.yaml").stderr
    )
