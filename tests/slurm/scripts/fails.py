"""Fails in the way that the first argument names, as training scripts do."""

from __future__ import annotations

import argparse
import os
import signal
import socket
from pathlib import Path

from accelerate import Accelerator


def disk_full() -> None:
    Path("/dev/full").write_text("a checkpoint")


def host_out_of_memory() -> None:
    bytearray(1 << 60)


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def nan() -> None:
    loss = float("inf") - float("inf")
    raise FloatingPointError(f"the loss is {loss} at step 3")


def port_in_use() -> None:
    first, second = socket.socket(), socket.socket()
    first.bind(("127.0.0.1", 0))
    second.bind(first.getsockname())


def file_not_found() -> None:
    Path("data/train.jsonl").read_text()


WAYS = {one.__name__.replace("_", "-"): one
        for one in (disk_full, host_out_of_memory, killed, nan, port_in_use, file_not_found)}  # fmt: skip

parser = argparse.ArgumentParser()
# an argument that cannot be found by reading this file, so that the run and not `validate` reports a wrong one
parser.add_argument("--" + "way", choices=WAYS, required=True)
way = parser.parse_args().way
Accelerator()
WAYS[way]()
