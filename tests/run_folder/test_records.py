"""Records are written atomically, reach the disk, and are read strictly."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clusterrun.run_folder.records import (
    locked,
    number,
    read_record,
    whole,
    write_record,
    write_whole,
)
from tests.support.disk_calls import DiskCalls, open_descriptors


def test_a_record_is_read_as_it_was_written(tmp_path):
    """The first `=` ends the key; a line without one is ignored."""
    record = tmp_path / "record"
    write_record(record, {"job_id": 7, "command": "a=b=c", "empty": ""})
    assert record.read_text() == "job_id=7\ncommand=a=b=c\nempty=\n"
    record.write_text(record.read_text() + "no value\n")
    assert read_record(record) == {"job_id": "7", "command": "a=b=c", "empty": ""}
    assert read_record(tmp_path / "missing") == {}
    assert read_record(record / "below a file") == {}


def test_only_the_owner_reads_a_record(tmp_path):
    """This holds even with a permissive umask."""
    before = os.umask(0)
    try:
        write_record(tmp_path / "record", {})
        write_whole(tmp_path / "open", "", mode=0o666)
        with locked(tmp_path / "lock"):
            pass
    finally:
        os.umask(before)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()}
    assert modes == {"record": "0o600", "lock": "0o600", "open": "0o666"}


def test_a_text_is_on_the_disk_before_it_is_renamed(tmp_path, monkeypatch):
    """After a power failure a file has its old or its new content; otherwise no draft remains."""
    record = tmp_path / "record"
    write_whole(record, "old")
    calls = DiskCalls(monkeypatch)
    write_whole(record, "new")
    draft = f".record.{os.getpid()}"
    assert calls.made == [("fsync", draft, "new"), ("rename", draft, "record")]
    assert record.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["record"]


HOLD = """
import sys
from pathlib import Path
from clusterrun.run_folder.records import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_process_at_a_time_holds_a_lock(tmp_path):
    """Another process is refused at once without `wait`, and gets the lock after its release."""
    lock = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout
        assert holder.stdin
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError), locked(lock, wait=False):
            pass
        holder.stdin.close()
        with locked(lock):  # waits for the other's end
            assert holder.wait(timeout=60) == 0
    with locked(lock, wait=False):
        pass


def test_a_lock_waits_by_default(tmp_path):
    """The second process gets it once the first has released it, without an error."""
    with locked(tmp_path / "lock") as held:
        waiter = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path / "lock")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert waits_for_a_lock(waiter.pid)
        assert os.get_inheritable(held) is False  # sbatch gets it by name, everything else does not
    out, err = waiter.communicate("", timeout=60)
    assert (waiter.returncode, out, err) == (0, "held\n", "")


def waits_for_a_lock(pid: int) -> bool:
    """Return whether a process starts to wait for flock; False if it ends before."""
    for _ in range(3000):
        locks = Path("/proc/locks").read_text().splitlines()
        if any("->" in line and f" {pid} " in line for line in locks):
            return True
        if not Path(f"/proc/{pid}").exists():
            return False
        time.sleep(0.02)
    return False


def test_a_lock_is_released_after_an_error(tmp_path):
    """The file is closed however the block ends."""
    descriptors = open_descriptors()
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "lock"):
        1 / 0  # noqa: B018
    with locked(tmp_path / "lock", wait=False):
        pass
    assert open_descriptors() == descriptors


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("-12", -12), ("1.5", None), ("1e3", None), ("", None), (None, None), ("x", None),
     ("9" * 15, int("9" * 15)), ("9" * 16, None), ("٣", None)],
)  # fmt: skip
def test_whole_numbers(text, expected):
    """A value that is not a whole number, or too long to be ours, is None."""
    assert whole(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("0", 0.0), ("1.5", 1.5), ("1e3", 1000.0), ("", None), (None, None), ("x", None)]
)  # fmt: skip
def test_numbers(text, expected):
    """A value that is not a number is None."""
    assert number(text) == expected
