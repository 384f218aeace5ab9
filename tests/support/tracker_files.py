"""What experiment trackers wrote on this machine, read with their own readers if they have one."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from tensorboard import context
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.data import server_ingester
from tensorboard.util import grpc_util
from wandb.proto import wandb_internal_pb2

_BLOCK, _HEADER = (
    32768,
    7,
)  # of LevelDB's log format, in which a .wandb file continues after its own first 7 bytes

Curve = list[tuple[int, float]]  # steps and values, as they were logged


class OfflineRun:
    """One folder `offline-run-...` of wandb: one attempt of a run."""

    def __init__(self, folder: Path) -> None:
        (file,) = folder.glob("run-*.wandb")
        self.records = list(_wandb_records(file.read_bytes()))
        self.run = next(record.run for record in self.records if record.HasField("run"))

    def curve(self, metric: str) -> Curve:
        rows = [
            {
                item.key or ".".join(item.nested_key): json.loads(item.value_json)
                for item in record.history.item
            }
            for record in self.records
            if record.HasField("history")
        ]
        return [(row["_step"], row[metric]) for row in rows if metric in row]


def _wandb_records(data: bytes) -> Iterator[wandb_internal_pb2.Record]:
    at, whole = _HEADER, b""
    while at + _HEADER <= len(data):
        if _BLOCK - at % _BLOCK < _HEADER:
            at += _BLOCK - at % _BLOCK
            continue
        _, size, kind = struct.unpack("<IHB", data[at : at + _HEADER])
        at += _HEADER + size
        whole += data[at - size : at]
        if kind in (1, 4):  # whole, or the last part
            yield wandb_internal_pb2.Record.FromString(whole)
            whole = b""


def tensorboard_curve(folder: Path, tag: str) -> Curve:
    """Every value of a tag in one run's folder, in the order of the files."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return [(scalar.step, scalar.value) for scalar in events.Scalars(tag)]


def tensorboard_shows(folder: Path) -> dict[str, dict[str, Curve]]:
    """The runs below a folder with their curves, as TensorBoard's server sends them to its page."""
    server = server_ingester.SubprocessServerDataIngester(
        server_binary=server_ingester.get_server_binary(),
        logdir=str(folder),
        reload_interval=1,
        channel_creds_type=grpc_util.ChannelCredsType.LOCAL,
    )
    server.start()  # it ends with this process
    deadline, found = time.monotonic() + 60, {}
    while not found and time.monotonic() < deadline:
        time.sleep(0.1)
        found = server.data_provider.read_scalars(
            context.RequestContext(), experiment_id="", plugin_name="scalars", downsample=1000
        )
    return {
        run: {tag: [(point.step, point.value) for point in curve] for tag, curve in tags.items()}
        for run, tags in found.items()
    }
