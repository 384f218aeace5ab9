"""Draw status.svg, list.svg, why.svg and doctor.svg in docs/pictures: real runs in a terminal.

On the tests' cluster it takes about two minutes, as root:
`python tools/docs/pictures_of_commands.py`.
"""

# ruff: noqa: INP001 - a script, and no package

from __future__ import annotations

import functools
import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "pictures"
sys.path.insert(0, str(ROOT))
from tests.slurm.cluster import Cluster  # noqa: E402
from tests.slurm.desk import CLUSTERRUN, Desk, Submitted, until  # noqa: E402
from tests.slurm.survival import ONE_RANK, completes, preempt, reaches, survive  # noqa: E402

WIDTH = 124
# The picture's own letters would come from another machine; the reader's are as good.
FOREIGN = re.compile(r"@font-face \{.*?\}", re.DOTALL)


def typed(desk: Desk, *words: str) -> str:
    """Type a command at a terminal, and return what it shows, colours and all."""
    line = f"stty cols {WIDTH}; {CLUSTERRUN} {' '.join(words)}"
    environment = {
        "TERM": "xterm-256color",
        "COLUMNS": str(WIDTH),
        "SHELL": "/bin/bash",
        "CLUSTERRUN_PROFILE": str(desk.cluster.home(desk.user) / "site.yaml"),
    }
    answer = desk.cluster.run_as(
        desk.user, ["script", "-qec", line, "/dev/null"], env=environment, check=False
    )
    places = {str(desk.cluster.folder): "/cluster", sys.prefix: "~/.venv"}
    shown = answer.stdout.replace("\r\n", "\n")
    return functools.reduce(lambda text, place: text.replace(*place), places.items(), shown)


def draw(name: str, *shown: tuple[str, str]) -> None:
    """Draw commands, and what they showed, as a terminal."""
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    for command, text in shown:
        console.print(Text.assemble(("$ ", "bold"), (command, "bold")))
        console.print(Text.from_ansi(text.rstrip("\n")), no_wrap=True)
    drawn = console.export_svg(title="clusterrun")
    (PICTURES / f"{name}.svg").write_text(FOREIGN.sub("", drawn), encoding="utf-8")


def runs(desk: Desk) -> tuple[Submitted, Submitted]:
    """Let runs finish, give up, train and wait; returns those that train and gave up."""
    broken = desk.submit(
        "broken",
        script=str(ROOT / "tests/slurm/scripts/survivor.py"),
        args={"width": "wide"},
        slurm=ONE_RANK,
        accelerate={"use_cpu": True},
        requeue={"crashes": 0},
    )
    finished = survive(desk, "gpt2-small", ranks=1)
    trains = survive(desk, "gpt2-medium", args={"slow_at": [40, 90]}, slurm={"partition": "low"})
    reaches(trains, 1, 60)
    completes(desk, finished)
    desk.wait(broken, 120)
    preempt(desk, trains)
    reaches(trains, 2, 100)
    survive(desk, "gpt2-large", slurm={"partition": "main", "nodes": 4, "exclusive": True})
    until(lambda: "PENDING" in desk.cli("list").stdout, 30, "a run waits")
    return trains, broken


def main() -> None:
    """Draw them."""
    with Cluster.start() as cluster:
        desk = Desk(cluster, "alice")
        trains, broken = runs(desk)
        draw("status", ("clusterrun status gpt2-medium", typed(desk, "status", trains.run_id)))
        draw("list", ("clusterrun list", typed(desk, "list")))
        draw("why", ("clusterrun why gpt2-large", typed(desk, "why", "gpt2-large")),
             ("clusterrun why broken", typed(desk, "why", broken.run_id)))  # fmt: skip
        draw("doctor", ("clusterrun doctor", typed(desk, "doctor")))
        cluster.run_as("alice", ["scancel", "--me"])


if __name__ == "__main__":
    main()
