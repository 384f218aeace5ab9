"""`clusterrun logs` and `clusterrun why` over run folders, without Slurm.

tests/slurm/test_why.py runs both on a real Slurm.
"""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from clusterrun.job_spec.model import JobSpec
from clusterrun.planning.launch import Configs, make_launch
from clusterrun.run_folder.index import Index
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_logs.filters import LogFilter
from clusterrun.run_logs.reading import log_lines, logs
from tests.support.cli_desk import Desk

LOGS = Path(__file__).parents[1] / "logs"
SCRIPT = "main() {\n  num_processes=4\n  most_crashes=3 hang=auto\n  prepare_shell\n}\n"
ENDED = {"cause": "crash", "next": "end", "exit_code": "1", "reason": "", "ended": "1800000000"}


@pytest.fixture
def desk(tmp_path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def run(desk) -> RunPaths:
    """A run of four ranks on two nodes: attempt 1 crashed, attempt 2 labels each line."""
    paths = desk.run("many", job_id="", **{**ENDED, "next": "continue"})
    paths.begin("0001").write_text("nodes=n[1-2]\nbegan=1799999000\n")
    paths.begin("0002").write_text("nodes=n[1-2]\nbegan=1800000100\n")
    paths.end("0002").write_text("".join(f"{key}={value}\n" for key, value in ENDED.items()))
    paths.script.write_text(SCRIPT)
    paths.log("0001").write_text("attempt one\n")
    paths.log("0002").write_text(
        "clusterrun: n2: a word of its node\n[rank0]: zero\n[rank1]: one\n[rank2]: [rank2]: two\n[rank3]: three 10%\r three 20%\n"
        "[rank2]:[E1 02:07 ProcessGroupNCCL.cpp:607] [Rank 2] Watchdog\nnobody\n---- rank 3 on n2, process 7\n"
        '  File "train.py", line 3 in train\nclusterrun: it hangs\nsrun: error: n1: task 0: Exited with exit code 1\n'
    )
    return paths


def printed(desk, *words: str) -> list[str]:
    done = desk.type("logs", "many", *words)
    assert (done.returncode, done.stderr) == (0, "")
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
def test_what_is_unavailable_is_reported_with_a_hint(desk, run, words, code, error):
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
    colours = {found[2]: found[1] for found in re.finditer(r"(\x1b\[38[^m]*m)rank (\d)", text)}
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
    given = {**desk.environment, "TERM": "xterm", **environment}
    with subprocess.Popen(
        [sys.executable, "-m", "clusterrun", *words], env=given, stdout=theirs, stderr=theirs
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


def test_why_a_run_crashed(desk, run):
    """It shows the first failed rank, its node, its line and place in the log, and what comes next."""
    shutil.copy(LOGS / "one_rank_crashes.log", run.log("0002"))
    (run.folder / "ledger").write_text("attempt=0002\ncrashes=4\n")
    answer = json.loads(desk.type("why", "many", "--json").stdout)
    failure = answer["stopped"]["failure"]
    assert (failure["kind"], failure["rank"], failure["node"]) == ("exception", 1, "n1")
    line = run.log("0002").read_text().splitlines()[failure["line_number"] - 1]
    assert failure["line"] in line
    assert failure["line"] == "KeyError: 'labels'"
    assert answer["next"] == {
        "summary": "nothing by itself",
        "command": "clusterrun resume many", "crashes": 4, "crashes_left": 0,
    }  # fmt: skip
    text = desk.type("why", "many").stdout
    assert (
        f"first failure: rank 1 on n1: KeyError: 'labels'\n  {run.log('0002')}:{failure['line_number']}\n"
        in text
    )
    assert "to resume: clusterrun resume many" in text


def test_why_an_attempt_without_an_end_record(desk, run):
    """The end of an earlier attempt is not the answer; the newest log may be."""
    run.job.write_text("local=1\n")
    run.end("0002").unlink()
    run.log("0002").write_text("ValueError: the last word\n")
    answer = json.loads(desk.type("why", "many", "--json").stdout)
    assert (answer["state"], answer["stopped"]["attempt"], answer["stopped"]["cause"]) == (
        "LOST",
        2,
        "",
    )
    assert answer["stopped"]["failure"]["line"] == "ValueError: the last word"


def test_ranks_missing_from_a_collective_are_named(desk, run):
    """Two of four ranks report a collective timeout: the other two are named."""
    shutil.copy(LOGS / "published" / "nccl_watchdog.log", run.log("0002"))
    failure = json.loads(desk.type("why", "many", "--json").stdout)["stopped"]["failure"]
    assert failure["kind"] == "nccl-time-out"
    assert failure["fix"].endswith("; ranks that do not report it: 2-3")


def test_why_an_array_names_the_task_to_look_at(desk, run):
    """Each task is a run of its own; the first that did not end well is named."""
    run.intent.write_text("array=0-2\n")
    for number, cause in enumerate(("finished", "crash", "crash")):
        task = RunPaths(run.folder / f"task-{number}")
        task.events.mkdir(parents=True)
        task.begin("0001").write_text("nodes=n1\n")
        task.end("0001").write_text(f"cause={cause}\nnext=end\nexit_code=1\n")
    answer = json.loads(desk.type("why", "many", "--json").stdout)
    assert answer["state"] == "FAILED"
    assert "`clusterrun why many-1`" in answer["reason"]
    assert json.loads(desk.type("why", "many-1", "--json").stdout)["stopped"]["cause"] == "crash"


def test_a_kill_that_slurm_explains_in_its_own_file(desk, run):
    """The launcher names the rank, Slurm's file the reason; an unrelated file changes nothing."""
    shutil.copy(LOGS / "killed.log", run.log("0002"))
    run.begin("0002").write_text("nodes=n[1-2]\njob_id=7\n")
    slurm = run.logs / "slurm-7.out"
    slurm.write_text("clusterrun: attempt 0002\n")
    assert (
        json.loads(desk.type("why", "many", "--json").stdout)["stopped"]["failure"]["kind"]
        == "killed"
    )
    shutil.copy(LOGS / "published" / "oom_kill.log", slurm)
    failure = json.loads(desk.type("why", "many", "--json").stdout)["stopped"]["failure"]
    assert (failure["kind"], failure["rank"], failure["node"]) == ("host-out-of-memory", 1, "n1")
    assert failure["log"] == str(slurm)


def test_why_a_crash_without_an_error(desk, run):
    """Nothing is invented if the log has no error."""
    run.log("0002").write_text("step 1\n")
    answer = json.loads(desk.type("why", "many", "--json").stdout)
    assert answer["stopped"]["failure"] is None
    assert str(run.log("0002")) in answer["stopped"]["fix"]


@pytest.mark.parametrize(
    ("end", "means", "command"),
    [
        ({"cause": "finished", "next": "end", "exit_code": "0"}, "training is complete", ""),
        (
            {"cause": "time-limit", "next": "end", "exit_code": "1"},
            "reached its time limit",
            "clusterrun resume many",
        ),
        (
            {"cause": "stop", "next": "end", "exit_code": "0"},
            "a stop was requested",
            "clusterrun resume many",
        ),
        (
            {"cause": "no-restart", "next": "end", "exit_code": "1", "reason": "NaN"},
            "forbade",
            "clusterrun resume many",
        ),
    ],
)
def test_why_a_run_ended_without_a_crash(desk, run, end, means, command):
    """The recorded cause is the answer, and the log is not searched for errors."""
    run.end("0002").write_text("".join(f"{key}={value}\n" for key, value in end.items()))
    answer = json.loads(desk.type("why", "many", "--json").stdout)
    assert means in answer["stopped"]["meaning"]
    assert answer["stopped"]["failure"] is None
    assert answer["next"]["command"] == command


def test_why_a_hang(desk, run):
    """The ranks' stacks are shown in place of an error."""
    run.end("0002").write_text(
        "cause=hang\nnext=end\nexit_code=1\nreason=no sign of life for 40 s\n"
    )
    answer = desk.type("why", "many").stdout
    assert "no sign of life for 40 s" in answer
    assert "rank 3 on n2 was in train (train.py:3)" in answer
