"""Launch training scripts like a job script, and read what they left behind."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clusterrun.run_folder.records import read_record
from clusterrun.training.checkpointing.manifest import seal

from .warm import WarmProcess, start_warm

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples" / "train_causal_lm.py"
COUNT_STEPS = Path(__file__).parent / "count_steps.py"
PLAIN_LOOP = Path(__file__).parent / "plain_loop.py"
QUICK_START = Path(__file__).parent / "quick_start"
PATIENCE = 300.0  # seconds; alone a launch takes ten, together with all other tests it took 122


def clean_environment(hf_home: Path) -> dict[str, str]:
    """Return an environment with nothing of clusterrun, accelerate or Slurm in it."""
    ours = ("CLUSTERRUN_", "ACCELERATE_", "SLURM_", "HF_", "WORLD_SIZE", "RANK", "LOCAL_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return kept | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "HF_HOME": str(hf_home),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }


def attempt_of(folder: Path, attempt: str = "0001", **more: object) -> dict[str, str]:
    """Return what the job script of a run in `folder` puts into the environment; make its files."""
    (folder / "events").mkdir(parents=True, exist_ok=True)
    (folder / "stop").touch()
    return {
        "CLUSTERRUN_PROTOCOL": "1",
        "CLUSTERRUN_RUN_ID": folder.name,
        "CLUSTERRUN_RUN_DIR": str(folder),
        "CLUSTERRUN_ATTEMPT": attempt,
        "CLUSTERRUN_STOP_FILE": str(folder / f"signal-{attempt}"),
        **{f"CLUSTERRUN_{key}": str(value) for key, value in more.items()},
    }


def quick_start(variables: Mapping[str, object]) -> dict[str, object]:
    """Add the variables with which `accelerate launch` starts in a third of the CPU time
    (quick_start/sitecustomize.py).
    """
    paths = [str(QUICK_START), str(variables.get("PYTHONPATH", ""))]
    return {**variables, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


@dataclass
class Ended:
    """How a process ended."""

    code: int
    output: str


@dataclass
class Launch:
    """A running launch, with its output in a file."""

    process: subprocess.Popen[bytes] | WarmProcess
    log: Path

    def wait(self) -> Ended:
        try:
            code = self.process.wait(PATIENCE)
        finally:
            self.end()
        return Ended(code, self.log.read_text(errors="replace"))

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()  # torchrun ends its workers
            self.process.wait(PATIENCE)


def start(script: Path, *arguments: object, environment: dict[str, str], log: Path) -> Launch:
    """Start a script as one process, a fork of a warm Python."""
    words = [str(script), *map(str, arguments)]
    return Launch(
        start_warm(words, environment=environment, log=log, launch=False, heavy=is_heavy(script)),
        log,
    )


def start_two(script: Path, *arguments: object, environment: dict[str, str], log: Path) -> Launch:
    """Start a script as two CPU processes of `accelerate launch`."""
    words = [*node_words("1", 0, free_port()), str(script), *map(str, arguments)]
    return accelerate_launch(words, environment=environment, log=log, heavy=is_heavy(script))


def start_two_nodes(
    script: Path, *arguments: object, environment: dict[str, str], log: Path
) -> list[Launch]:
    """Start a script as two launchers with a process each, as on two nodes; the second's output
    goes next to `log`.
    """
    port, logs = free_port(), [log, log.with_suffix(".second")]
    return [
        accelerate_launch([*node_words("2", rank, port), str(script), *map(str, arguments)],
                          environment=environment, log=logs[rank], heavy=is_heavy(script))
        for rank in (0, 1)
    ]  # fmt: skip


def node_words(machines: str, rank: int, port: int) -> list[str]:
    """Return the options of `accelerate launch` for two CPU processes on one or two nodes."""
    words = f"--multi_gpu --num_machines {machines} --machine_rank {rank} --num_processes 2 --mixed_precision no"
    return f"{words} --dynamo_backend no --main_process_ip 127.0.0.1 --main_process_port {port}".split()


def accelerate_launch(
    words: list[str], *, environment: dict[str, str], log: Path, heavy: bool
) -> Launch:
    """Start `accelerate launch WORD...` as forks of a warm Python, without torchrun's agent."""
    return Launch(
        start_warm(words, environment=environment, log=log, launch=True, heavy=heavy), log
    )


def real_accelerate_launch(words: list[str], *, environment: dict[str, str], log: Path) -> Launch:
    """Start `accelerate launch WORD...` itself."""
    command = [sys.executable, "-m", "accelerate.commands.launch", *words]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    return Launch(process, log)


def is_heavy(script: Path) -> bool:
    """Return whether a script imports transformers."""
    return "transformers" in script.read_text()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def count_steps(folder: Path, *options: object, environment: dict[str, str]) -> Ended:
    """Run count_steps.py as one process."""
    return start(COUNT_STEPS, folder, *options, environment=environment, log=folder / "log").wait()


def fake_checkpoint(folder: Path, step: int, attempt: int) -> str:
    path = folder / f"step-{step:08d}-{attempt:04d}"
    path.mkdir(parents=True)
    seal(path, {"step": step, "attempt": attempt, "epoch": 0, "batch": 0, "world_size": 1})
    return path.name


def result_of_rank(folder: Path, rank: int = 0) -> dict[str, object]:
    return json.loads((folder / f"rank-{rank}.json").read_text())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def manifest(folder: Path, name: str) -> dict[str, object]:
    return json.loads((folder / "checkpoints" / name / "manifest.json").read_text())


def marker(folder: Path, attempt: str) -> dict[str, str]:
    return read_record(folder / "events" / f"attempt-{attempt}.trainer")
