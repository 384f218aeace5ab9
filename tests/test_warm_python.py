"""A warm Python matches `python` and `accelerate launch`: environment, exit codes, signals."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.training_scripts.launches import (
    accelerate_launch,
    clean_environment,
    free_port,
    node_words,
    real_accelerate_launch,
    start,
    start_two,
)

REPORT = """
import json, os, sys
from pathlib import Path
reports = {"environment": dict(os.environ), "argv": sys.argv, "name": __name__, "path": sys.path[0], "cwd": os.getcwd()}
Path(sys.argv[1], os.environ.get("RANK", "alone")).write_text(json.dumps(reports))
"""
# The agent's own: its store, which a warm launch does not need, and a file for its error report.
OF_THE_AGENT = {"TORCHELASTIC_USE_AGENT_STORE", "TORCHELASTIC_ERROR_FILE", "MASTER_PORT"}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return clean_environment(tmp_path) | {"ACCELERATE_USE_CPU": "true", "GIVEN": "a b\n'c'"}


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "script.py"


def test_a_launch_gives_the_ranks_the_same_environment(
    tmp_path: Path, script: Path, environment: dict[str, str]
) -> None:
    """A rank sees the same launcher as in a real launch, except for the agent's own variables."""
    script.write_text(REPORT)
    reports = []
    for name, begin in (("real", real_accelerate_launch), ("warm", accelerate_launch)):
        (tmp_path / name).mkdir()
        words = [
            *node_words("1", 0, free_port()),
            str(script),
            str(tmp_path / name),
            "--word",
            "two words",
        ]
        heavy = {} if begin is real_accelerate_launch else {"heavy": False}
        ended = begin(words, environment=environment, log=tmp_path / f"{name}.log", **heavy).wait()  # type: ignore[operator]
        assert ended.code == 0, ended.output
        ranks = [json.loads((tmp_path / name / rank).read_text()) for rank in ("0", "1")]
        for rank in ranks:
            rank["argv"].remove(str(tmp_path / name))
            rank["environment"] = {
                key: rank["environment"][key] for key in rank["environment"].keys() - OF_THE_AGENT
            }
        reports.append(ranks)
    assert reports[0] == reports[1]


def test_one_process(tmp_path: Path, script: Path, environment: dict[str, str]) -> None:
    """A script without a launcher has exactly the given environment, and is __main__."""
    script.write_text(REPORT)
    ended = start(script, tmp_path, "--x", 1, environment=environment, log=tmp_path / "log").wait()
    assert (ended.code, ended.output) == (0, "")
    reports = json.loads((tmp_path / "alone").read_text())
    assert reports["environment"] == environment
    assert (reports["name"], reports["argv"]) == (
        "__main__",
        [str(script), str(tmp_path), "--x", "1"],
    )
    assert (reports["path"], reports["cwd"]) == (str(tmp_path), str(Path.cwd()))


@pytest.mark.parametrize(
    ("line", "code", "output"),
    [
        ("raise SystemExit(93)", 93, ""),
        ("raise SystemExit", 0, ""),
        ("raise SystemExit('no')", 1, "no\n"),
        ("raise ValueError('bad')", 1, "ValueError: bad\n"),
        ("import atexit; atexit.register(print, 'at the end'); print('first')", 0, "first\nat the end\n"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9, ""),
        ("import threading, time; threading.Thread(target=lambda: time.sleep(0.3) or print('late')).start()", 0, "late\n"),
    ],
    ids=["code", "nothing", "word", "error", "atexit", "killed", "thread"],
)  # fmt: skip
def test_how_a_script_ends(
    tmp_path: Path, script: Path, environment: dict[str, str], line: str, code: int, output: str
) -> None:
    """Exit codes, last messages and exit handlers are those of `python`."""
    script.write_text(line)
    ended = start(script, environment=environment, log=tmp_path / "log").wait()
    assert ended.code == code
    assert ended.output.endswith(output)


def test_a_rank_that_fails_ends_the_other(
    tmp_path: Path, script: Path, environment: dict[str, str]
) -> None:
    """One rank exits with 7, the other would sleep: the launcher ends it, and exits with 1."""
    script.write_text(
        "import os, sys, time\nif os.environ['RANK'] == '1': sys.exit(7)\ntime.sleep(600)\n"
    )
    ended = start_two(script, environment=environment, log=tmp_path / "log").wait()
    assert ended.code == 1
    assert "rank 1 ended with exit code 7\nrank 0 ended with exit code -15\n" in ended.output


def test_a_launch_that_is_ended(tmp_path: Path, script: Path, environment: dict[str, str]) -> None:
    """SIGTERM to the launcher ends its ranks."""
    script.write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)\n")
    launch = start_two(script, environment=environment, log=tmp_path / "log")
    while len(pids := launch.log.read_text().split() if launch.log.exists() else []) < 2:
        time.sleep(0.05)
    launch.end()
    assert launch.process.poll() == 1
    assert not [pid for pid in pids if Path("/proc", pid).exists()]
