"""Draw the terminals in docs/pictures and write the recorded ones into the pages, from real runs.

On the tests' cluster it takes about eight minutes, as root:
`python tools/docs/pictures_of_commands.py`, or with the names of single scenes.
"""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "pictures"
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(ROOT))
from recorded import anonymous, record  # noqa: E402

from tests.slurm.cluster import Cluster  # noqa: E402
from tests.slurm.desk import CLUSTERRUN, Desk, Submitted, until  # noqa: E402
from tests.slurm.survival import ONE_RANK, completes, preempt, reaches, survive  # noqa: E402
from tests.support.page_blocks import blocks  # noqa: E402

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
    return anonymous(desk, answer.stdout.replace("\r\n", "\n"))


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
    trains = survive(desk, "gpt2-medium", args={"slow_at": [50, 90], "pace": 1.0},
                    slurm={"partition": "low"})  # fmt: skip
    reaches(trains, 1, 60)
    completes(desk, finished)
    desk.wait(broken, 120)
    preempt(desk, trains)
    reaches(trains, 2, 100)
    survive(desk, "gpt2-large", slurm={"partition": "low", "nodes": 4, "exclusive": True})
    until(lambda: "PENDING" in desk.cli("list").stdout, 30, "a run waits")
    return trains, broken


def first_run_files(desk: Desk) -> None:
    """Write the files of docs/start/first-run.md."""
    home = desk.cluster.home(desk.user)
    for name in ("examples", "configs"):
        desk.cluster.run_as(desk.user, ["ln", "-sfn", ROOT / name, home / name])
    page = ROOT / "docs" / "start" / "first-run.md"
    (spec,) = [block for block in blocks(page) if block.language == "yaml"]
    desk.write("tiny-gpt2.yaml", spec.text)


def first_run(desk: Desk) -> None:
    """Let the run of docs/start/first-run.md train, be requeued, and be stopped."""
    first_run_files(desk)
    record(desk, "submit")
    run = Submitted(**desk_json(desk, "status", "tiny-gpt2"))
    logs_step(run, 1, 20)
    desk.cli("requeue", run.run_id)
    logs_step(run, 2, 40)
    record(desk, "status")
    desk.cli("stop", run.run_id)
    desk.wait(run, 120)
    record(desk, "report")


def logs_step(run: Submitted, attempt: int, step: int) -> None:
    """Wait until an attempt has logged the loss of a step."""
    metrics = run.folder / "output" / "metrics.jsonl"

    def is_logged() -> bool:
        lines = run.metrics() if metrics.exists() else []
        return any(int(line["attempt"]) >= attempt and line["step"] >= step for line in lines)

    until(is_logged, 300, f"attempt {attempt} logs step {step}")


def desk_json(desk: Desk, *words: str) -> dict[str, Any]:
    """Return the id, job and folder of a run."""
    found = json.loads(desk.cli(*words, "--json").stdout)
    return {"run_id": found["run_id"], "job_id": found["job_id"], "folder": Path(found["folder"])}


def variables(desk: Desk) -> None:
    """Let a command print the variables that docs/guides/nodes-with-command.md names."""
    line = "echo node $SLURM_NODEID of $SLURM_JOB_NUM_NODES, $SLURM_CPUS_PER_TASK CPUs:"
    line += " attempt $CLUSTERRUN_ATTEMPT, $CLUSTERRUN_WORLD_SIZE processes,"
    line += " rendezvous $MASTER_ADDR:$MASTER_PORT"
    slurm = {"partition": "main", "nodes": 2, "cpus-per-task": 2}
    run = desk.submit("variables", command=line, slurm=slurm)
    desk.wait(run, 120)
    record(desk, "variables")


def long_runs(desk: Desk) -> None:
    """Draw and record runs that train, wait, and gave up."""
    trains, broken = runs(desk)
    for name in ("why-pending", "why-failed", "list"):
        record(desk, name)
    draw("status", ("clusterrun status gpt2-medium", typed(desk, "status", trains.run_id)))
    draw("list", ("clusterrun list", typed(desk, "list")))
    draw("why", ("clusterrun why gpt2-large", typed(desk, "why", "gpt2-large")),
         ("clusterrun why broken", typed(desk, "why", broken.run_id)))  # fmt: skip
    desk.cluster.run_as("alice", ["scancel", "--me"])


def doctor(desk: Desk) -> None:
    """Draw and record what `doctor` finds."""
    record(desk, "doctor", timeout=300)
    draw("doctor", ("clusterrun doctor", typed(desk, "doctor")))


def rehearsal(desk: Desk) -> None:
    """Record a rehearsal, in a partition that is preempted with a grace time."""
    first_run_files(desk)
    spec = desk.cluster.home(desk.user) / "tiny-gpt2.yaml"
    desk.write("tiny-gpt2.yaml", spec.read_text().replace("partition: main", "partition: low"))
    record(desk, "rehearse", timeout=900)


SCENES = (doctor, variables, first_run, rehearsal, long_runs)


def main() -> None:
    """Draw and record the scenes that the command line names, or all."""
    names = set(sys.argv[1:])
    with Cluster.start() as cluster:
        desk = Desk(cluster, "alice")
        profile = f"run_root: {desk.run_root}\nenvironment: {{venv: {sys.prefix}, "
        desk.write("site.yaml", profile + "variables: {OMP_NUM_THREADS: 1, HF_HUB_OFFLINE: 1}}\n")
        for scene in SCENES:
            if not names or scene.__name__ in names:
                scene(desk)


if __name__ == "__main__":
    main()
