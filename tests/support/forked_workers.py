"""A pytest plugin that collects all tests once, and forks processes that share their files
(work_queue.py).

`pytest -p tests.support.times -p tests.support.work_queue -p tests.support.forked_workers
--work-queue QUEUE --processes N --results FOLDER`: process K writes its output to
FOLDER/worker-K.log, its times to FOLDER/worker-K.jsonl, and its exit code is in
FOLDER/worker-K.code. Collecting takes 20 seconds of CPU time.
"""

from __future__ import annotations

import gc
import os
import sys
import warnings
from pathlib import Path

import pytest

from tests.support.times import Times

WITHOUT_CLUSTER = 1  # processes that first take the files without a cluster


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --processes and --results."""
    parser.addoption(
        "--processes", type=int, default=0, help="number of processes to fork after collecting"
    )
    parser.addoption("--results", type=Path, help="the folder for what each of them writes")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> object:
    """Fork, and wait for all; in a fork, None leaves the loop to the queue of files."""
    config = session.config
    number = config.option.processes
    if not number or config.option.collectonly or session.testsfailed:
        return None
    gc.collect()
    gc.freeze()  # pages that the garbage collector does not write to stay shared
    processes: dict[int, int] = {}
    for worker in range(1, number + 1):
        process = fork()
        if process == 0:
            become(worker, config)
            return None
        processes[process] = worker
    wait_for(processes, config.option.results)
    return True


def fork() -> int:
    """Fork this process, whose libraries' threads can cope with a fork."""
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def become(worker: int, config: pytest.Config) -> None:
    """Print to a separate log, measure times, and select among the files."""
    results = config.option.results
    capture = config.pluginmanager.getplugin("capturemanager")
    capture.stop_global_capturing()
    log = os.open(results / f"worker-{worker}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    capture.start_global_capturing()
    capture.suspend_global_capture()
    config.pluginmanager.register(Times(results / f"worker-{worker}.jsonl"))
    with_cluster = max(1, config.option.processes - WITHOUT_CLUSTER)
    config.option.cluster_files_first = worker <= with_cluster


def wait_for(processes: dict[int, int], results: Path) -> None:
    """Write each process's exit code when it has ended."""
    while processes:
        ended, status = os.wait()
        if worker := processes.pop(ended, None):
            code = os.waitstatus_to_exitcode(status)
            (results / f"worker-{worker}.code").write_text(f"{code}\n")
