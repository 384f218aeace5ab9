"""A quick start (training_scripts/quick_start) equals any launch: ranks, job script, torchrun."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.training_scripts.launches import (
    Launch,
    clean_environment,
    free_port,
    node_words,
    quick_start,
    real_accelerate_launch,
)

REPORT = """
import json, os, signal, sys
from pathlib import Path
handlers = {number: str(signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
reports = {"environment": dict(os.environ), "argv": sys.argv, "name": __name__, "path": sys.path[0], "cwd": os.getcwd(),
        "handlers": handlers, "session": os.getsid(0) == os.getpid(), "comm": Path("/proc/self/comm").read_text(),
        "open": sorted(os.listdir("/proc/self/fd"))[:3]}
shown = Path("/proc/self/environ").read_text().split("\\0")
reports["marks"] = sorted(line for line in shown if line.startswith(("LOCAL_RANK=", "CLUSTERRUN_RUN_ID=")))
Path(sys.argv[1], os.environ.get("RANK", "alone")).write_text(json.dumps(reports))
"""
# a file for the agent's error report, in a folder with its own name; a port of this launch
OF_THE_LAUNCH = {"TORCHELASTIC_ERROR_FILE", "MASTER_PORT", "PYTHONPATH", "TORCHELASTIC_RUN_ID"}
ONE = "--num_machines 1 --num_processes 1 --mixed_precision no --dynamo_backend no".split()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    more = {"ACCELERATE_USE_CPU": "true", "GIVEN": "a b\n'c'", "CLUSTERRUN_RUN_ID": "run"}
    return clean_environment(tmp_path) | more


def launch(words: list[str], environment: dict[str, str], log: Path, *, quick: bool) -> Launch:
    variables = quick_start(environment) if quick else environment
    return real_accelerate_launch(
        words, environment={k: str(v) for k, v in variables.items()}, log=log
    )


@pytest.mark.parametrize("ranks", [1, 2])
def test_the_ranks_get_the_same_environment(
    tmp_path: Path, environment: dict[str, str], ranks: int
) -> None:
    """Environment, arguments, signals, session and name of a rank match, and its /proc entry."""
    script = tmp_path / "script.py"
    script.write_text(REPORT)
    reports: list[list[dict[str, Any]]] = []
    for quick in (False, True):
        folder = tmp_path / f"quick-{quick}"
        folder.mkdir()
        words = [*(ONE if ranks == 1 else node_words("1", 0, free_port())), str(script)]
        words += [str(folder), "two words"]
        ended = launch(words, environment, tmp_path / "log", quick=quick).wait()
        assert ended.code == 0, ended.output
        seen = [json.loads(path.read_text()) for path in sorted(folder.iterdir())]
        for rank in seen:
            rank["argv"].remove(str(folder))
            rank["environment"] = {
                name: rank["environment"][name]
                for name in rank["environment"].keys() - OF_THE_LAUNCH
            }
        reports.append(seen)
    assert len(reports[0]) == ranks
    assert reports[0] == reports[1]
    marks = ["LOCAL_RANK=0"] if ranks == 2 else []
    assert reports[1][0]["marks"] == ["CLUSTERRUN_RUN_ID=run", *marks]


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("raise ValueError('bad')", 1, "ValueError: bad"),
        ("import os; os._exit(7) if os.environ['RANK'] == '1' else __import__('time').sleep(600)", 1, "exitcode  : 7"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 1, "exitcode  : -9"),
        ("import datasets; print(datasets.Dataset.__name__, datasets.IterableDataset.__module__)", 0,
         "Dataset datasets.iterable_dataset"),
        ("import torch._dynamo as d; d.explain; print(d.utils.__name__, d.disable.__module__)", 0,
         "torch._dynamo.utils torch._dynamo.decorators"),
    ],
    ids=["error", "code", "killed", "datasets", "dynamo"],
)  # fmt: skip
def test_how_two_ranks_end(
    tmp_path: Path, environment: dict[str, str], line: str, code: int, words: str
) -> None:
    """torchrun reports the failure itself; a deferred module becomes the real one at first use."""
    script = tmp_path / "script.py"
    script.write_text(line)
    started = [*node_words("1", 0, free_port()), str(script)]
    ended = launch(started, environment, tmp_path / "log", quick=True).wait()
    assert ended.code == code, ended.output
    assert words in ended.output
    assert "leaving.py" not in ended.output


def test_a_launch_that_is_ended(tmp_path: Path, environment: dict[str, str]) -> None:
    """SIGTERM to the launcher ends its ranks, and torchrun reports it."""
    script = tmp_path / "script.py"
    script.write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)\n")
    launched = launch(
        [*node_words("1", 0, free_port()), str(script)], environment, tmp_path / "log", quick=True
    )
    while len(pids := launched.log.read_text().split() if launched.log.exists() else []) < 2:
        time.sleep(0.05)
    launched.end()
    assert f"got signal: {int(signal.SIGTERM)}" in launched.log.read_text()
    assert not [pid for pid in pids if pid.isdigit() and Path("/proc", pid).exists()]
