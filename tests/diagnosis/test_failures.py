"""The first failure found in logs of failed runs.

The logs are real; tests/logs says how each was made.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterrun.diagnosis.failures import FAILURES
from clusterrun.diagnosis.findings import first_failure
from clusterrun.diagnosis.log_tail import read_tail
from clusterrun.diagnosis.stacks import read_hang_locations
from clusterrun.run_logs.attribution import attribute_lines

LOGS = Path(__file__).parents[1] / "logs"

# Each log: the failure class, the rank (None: unknown), and part of the line.
EXPECTED = {
    "import_error": ("missing-module", 0, "ModuleNotFoundError: No module named 'flash_attn_of_nobody'"),
    "bad_arguments": ("wrong-arguments", 0, "error: argument --learning_rate: invalid float value: 'x'"),
    "disk_full": ("disk-full", 0, "[Errno 28] No space left on device"),
    "disk_full_torch_save": ("disk-full", None, "unexpected pos"),
    "port_in_use": ("port-in-use", None, "EADDRINUSE"),
    "rendezvous_time_out": ("rendezvous", None, "timed out"),
    "unresolved_name": ("unresolved-name", None, "no-such-node.invalid"),
    "gloo_time_out": ("collective-time-out", 0, "Timed out waiting"),
    "one_rank_crashes": ("exception", 1, "KeyError: 'labels'"),
    "consequence_first": ("exception", 1, "IndexError: index out of range in self"),
    "killed": ("killed", 1, "Signal 9 (SIGKILL)"),
    "segmentation_fault": ("segmentation-fault", 0, "Segmentation fault"),
    "nan_loss": ("nan", 0, "ValueError: loss is"),
    "nan_anomaly": ("nan", None, "returned nan values in its 0th output"),
    "shape_mismatch": ("shape-mismatch", 0, "Error(s) in loading state_dict for Linear"),
    "file_not_found": ("file-not-found", 0, "No such file or directory: 'data/train.jsonl'"),
    "run_folder": ("run-folder", None, "the run folder was renamed or removed, or is read-only"),
    "permission": ("permission", None, "PermissionError: [Errno 13]"),
    "no_cuda": ("no-gpu", 0, "Torch not compiled with CUDA enabled"),
    "too_many_files": ("too-many-open-files", None, "Too many open files"),
    "hub_offline": ("hub-offline", 0, "OSError: We couldn't connect to 'https://huggingface.co'"),
    "tokenizer_missing": ("data-missing", None, "Couldn't instantiate the backend tokenizer"),
    "dataset_empty": ("data-missing", None, "SchemaInferenceError"),
    "dataset_missing": ("data-missing", None, "FileNotFoundError: Unable to find"),
    "dataset_offline": ("hub-offline", None, "Couldn't reach"),
    "shared_memory": ("shared-memory", None, "Bus error"),
    "host_memory": ("host-out-of-memory", None, "can't allocate memory"),
    "deepspeed_build": ("extension-build", None, "failed to build/load"),
    "silent_exit": ("exit", 0, "exitcode"),
    "tee": ("exception", 1, "KeyError: 'labels'"),
    "published/cuda_out_of_memory": ("cuda-out-of-memory", None, "CUDA out of memory"),
    "published/nccl_watchdog": ("nccl-time-out", 1, "Watchdog caught collective operation timeout"),
    "published/nccl_watchdog_old": ("nccl-time-out", 1, "Watchdog caught collective operation timeout"),
    "published/nccl_system_error": ("nccl-error", None, "unhandled system error"),
    "published/oom_kill": ("host-out-of-memory", None, "oom_kill event"),
    "published/oom_kill_old": ("host-out-of-memory", None, "oom-kill event"),
    "published/bus_error": ("shared-memory", None, "Bus error"),
    "published/ecc": ("gpu-fault", None, "uncorrectable ECC error"),
    "published/xid": ("gpu-fault", None, "Xid"),
    "published/gated_repo": ("hub-gated", None, "gated repo"),
    "published/old_driver": ("no-gpu", None, "driver on your system is too old"),
    "published/quota": ("quota", None, "Disk quota exceeded"),
    "published/device_assert": ("device-assert", None, "device-side assert triggered"),
    "published/ninja": ("extension-build", None, "Error building extension"),
}  # fmt: skip
# Of two ranks that fail in the same way at the same time, either may be the first.
EITHER = {"import_error", "bad_arguments", "nan_loss", "shape_mismatch", "file_not_found", "no_cuda", "hub_offline",
          "silent_exit"}  # fmt: skip


def test_every_log_has_an_expectation():
    """Every log has an expectation, and each of make.py's cases has its log."""
    assert {str(path.relative_to(LOGS).with_suffix("")) for path in LOGS.rglob("*.log")} == set(
        EXPECTED
    )


@pytest.mark.parametrize("name", EXPECTED)
def test_the_first_failure_of_a_real_log(name):
    """Class, rank and line are right, and so is the line's number in the file."""
    text = (LOGS / f"{name}.log").read_text(encoding="utf-8")
    kind, rank, fragment = EXPECTED[name]
    failure = first_failure(text)
    assert failure is not None
    assert failure.failure.name == kind, failure.line
    assert failure.rank in (
        (0, 1) if name in EITHER else (rank,) if rank is not None else (None, 0)
    )
    assert fragment in failure.line
    assert failure.line in text.split("\n")[failure.number - 1]


def test_every_class_has_a_real_log_or_a_reason():
    """Three classes are tested elsewhere or nowhere, as are those that report another's failure."""
    elsewhere = {
        "launcher": "never the first", "world-size": "below: our own message", "peer-lost": "below: only an echo",
    }  # fmt: skip
    assert {one.name for one in FAILURES} - {kind for kind, _, _ in EXPECTED.values()} == set(
        elsewhere
    )


def test_an_error_that_a_rank_survived_does_not_count():
    """Of one rank's errors the last counts; a warning's traceback an hour earlier does not."""
    survived = "Traceback (most recent call last):\n  File 'x'\nOSError: [Errno 28] No space left on device\n"
    steps = "step 1\n" * 500
    ended = (
        "Traceback (most recent call last):\n  File 'y'\nRuntimeError: CUDA out of memory. Tried\n"
    )
    failure = first_failure(survived + steps + ended)
    assert failure is not None
    assert (failure.failure.name, failure.number) == ("cuda-out-of-memory", 506)


def test_a_traceback_that_others_print_into():
    """A traceback ends with an exception's name, even a custom one; lines of others are skipped."""
    text = (
        "Traceback (most recent call last):\nstep 3: loss 2.1\n  File 'x', line 1\nINFO:root:step 4\nloss: 2.0\n"
        "mine.OutOfLuck: the dice\nstep 5: loss 2.0\n"
    )
    failure = first_failure(text)
    assert failure is not None
    assert (failure.failure.name, failure.line) == ("exception", "mine.OutOfLuck: the dice")


def test_consequences_of_another_failure_count_last():
    """Errors that follow from another rank's failure rank last, even if they are printed first."""
    echo = "[rank0]: RuntimeError: [gloo] Connection closed by peer [10.0.0.2]:1\n"
    cause = "[rank3]: ValueError: the batch is empty\n"
    failure = first_failure(echo + cause)
    assert failure is not None
    assert (failure.rank, failure.line) == (3, "ValueError: the batch is empty")
    alone = first_failure(echo)
    assert alone is not None
    assert alone.failure.name == "peer-lost"


def test_of_several_nodes_the_earliest_summary_counts():
    """Each node's launcher names its own first failure; the timestamps decide which was first."""

    def summary(host: str, rank: int, second: int) -> str:
        return (
            f"Root Cause (first observed failure):\n[0]:\n  time      : 2026-11-21_10:00:{second:02d}\n  host      : {host}\n"
            f"  rank      : {rank} (local_rank: 0)\n  exitcode  : 1 (pid: 7)\n  error_file: <N/A>\n"
        )

    lines = "[rank0]: TypeError: from node one\n[rank2]: TypeError: from node two\n"
    failure = first_failure(lines + summary("n1", 0, 9) + summary("n2", 2, 8))
    assert failure is not None
    assert (failure.rank, failure.node, failure.line) == (2, "n2", "TypeError: from node two")


def test_an_oom_kill_explains_a_sigkill():
    """The launcher knows only the signal; slurmstepd reports the reason later."""
    text = (LOGS / "killed.log").read_text(encoding="utf-8") + (
        LOGS / "published" / "oom_kill.log"
    ).read_text(encoding="utf-8")
    failure = first_failure(text)
    assert failure is not None
    assert (failure.failure.name, failure.rank) == ("host-out-of-memory", 1)


def test_a_job_of_another_size():
    """The message is our own, as clusterrun.training raises it."""
    failure = first_failure(
        "[rank0]: RuntimeError: this job is for 8 processes (CLUSTERRUN_WORLD_SIZE), but has 4"
    )
    assert failure is not None
    assert failure.failure.name == "world-size"


@pytest.mark.parametrize(
    "why", ["[Errno 111] Connection refused", "[Errno -2] Name or service not known"]
)
def test_an_unreachable_hub_is_not_a_rendezvous_failure(why):
    """The same network errors have another class if the Hub was contacted."""
    failure = first_failure(
        "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='huggingface.co', port=443): Max retries exceeded "
        f"with url: /gpt2/resolve/main/config.json (Caused by NewConnectionError('{why}'))"
    )
    assert failure is not None
    assert failure.failure.name == "hub-offline"


def test_a_log_without_a_failure():
    """The output of a healthy run contains no failure."""
    healthy = "step 1 loss 2.0\nWARNING: Error bars are wide\nUserWarning: lr_scheduler.step()\nerrors: 0, nan: 0\n"
    assert first_failure(healthy) is None
    assert first_failure("") is None


def test_a_progress_bar_before_an_error():
    """A progress bar redraws its line; the error is the last text on the line."""
    failure = first_failure("10%|#| 1/9\r20%|##| 2/9\rValueError: bad\n")
    assert failure is not None
    assert (failure.failure.name, failure.line) == ("exception", "ValueError: bad")


def test_a_long_log_is_read_from_its_end(tmp_path):
    """Only the last part is read; line numbers are right, and the skipped part is reported."""
    log = tmp_path / "long.log"
    log.write_text("step\n" * 100_000 + "ValueError: the end\n")
    tail = read_tail(log, window=5_000)
    assert len(tail.text) <= 5_000
    assert tail.skipped >= log.stat().st_size - 5_000
    failure = first_failure(tail.text)
    assert failure is not None
    assert tail.first is not None
    assert tail.first + failure.number - 1 == 100_001
    assert read_tail(log, window=5_000, counted=1_000).first is None
    assert read_tail(log).first == 1


def test_the_stacks_of_a_hang():
    """Each rank shows its current call and the script line that led there, without helper frames."""
    text = (
        "clusterrun: no sign of life for 40 s\n"
        "\n---- rank 0 on n1, process 11\nThread 0x00 (most recent call first):\n"
        '  File "/usr/lib/python3.11/threading.py", line 5 in wait\n\n'
        "Current thread 0x01 (most recent call first):\n"
        '  File "/opt/venv/lib/python3.11/site-packages/torch/distributed/distributed_c10d.py", line 28 in all_reduce\n'
        '  File "/home/alice/train.py", line 40 in train\n  File "/home/alice/train.py", line 50 in <module>\n'
        "\n---- rank 0 on n1, process 12\nCurrent thread 0x01 (most recent call first):\n"
        '  File "/usr/lib/python3.11/queue.py", line 1 in get\n'
        "\n---- rank 1 on n2, process 21\nCurrent thread 0x01 (most recent call first):\n"
        '  File "/home/alice/train.py", line 12 in evaluate\n'
        "clusterrun: hang detected: terminating\n"
    )
    first, second = read_hang_locations(attribute_lines(text.split("\n")))
    assert (first.rank, first.node) == (0, "n1")
    assert first.innermost_call.startswith("all_reduce (")
    assert first.script_call == "train (/home/alice/train.py:40)"
    assert (second.rank, second.node, second.innermost_call) == (
        1,
        "n2",
        "evaluate (/home/alice/train.py:12)",
    )
