"""Plans of attempts for plain_loop.py, and the files that they write."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from tests.training_scripts.launches import (
    PLAIN_LOOP,
    attempt_of,
    marker,
    start,
    start_two,
)

Attempts = list[dict[str, object]]


def attempts(
    folder: Path, events: list[tuple[str, int, int]], clusterrun: bool = True, **more: object
) -> Attempts:
    """Plan one attempt for each event; names in capitals are variables of clusterrun."""
    variables = {key: value for key, value in more.items() if key.isupper()}
    options = {key: value for key, value in more.items() if not key.isupper()}
    plans: Attempts = []
    for number, (event, rank, at) in enumerate(events, 1):
        environment = attempt_of(folder, f"{number:04d}", **variables) if clusterrun else {}
        if clusterrun:
            environment["CLUSTERRUN_STOP_FILE"] += "-{rank}"  # as if each rank were on another node
        folder.mkdir(exist_ok=True)
        happens = {"event": event, "rank": rank, "at": at}
        plans.append({"folder": str(folder), "environment": environment, **happens, **options})
    return plans


def free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def train(root: Path, plans: Attempts, environment: Mapping[str, str], processes: int) -> None:
    for plan, port in zip(plans, free_ports(len(plans)), strict=True):
        plan["port"] = port
    path = root / "plan.json"
    path.write_text(json.dumps(plans))
    launch = start_two if processes == 2 else start
    end = launch(PLAIN_LOOP, path, environment=dict(environment), log=root / "log").wait()
    assert end.code == 0, end.output


def lines(folder: Path, kind: str, rank: int = 0) -> list[str]:
    path = folder / f"{kind}-{rank}"
    return path.read_text().splitlines() if path.exists() else []


def markers(folder: Path, key: str) -> list[str]:
    return [
        marker(folder, f"{number:04d}")[key] for number in range(1, len(lines(folder, "codes")) + 1)
    ]
