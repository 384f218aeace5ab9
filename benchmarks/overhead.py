"""Overhead of clusterrun.training: the stop check of a step, and the stall of a checkpoint.

The stall is compared with plain save_state, in two processes of a real `accelerate launch` on CPUs.
The ways to save take turns, so that a slow minute of the machine affects all of them; the medians
are compared. It needs neither Slurm nor root:

    python benchmarks/overhead.py
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent
RESULT = Path(__file__).resolve().parent / "results" / "overhead.md"
STEP = 0.1  # seconds, the step time that the check is compared with
BARE, FLUSHED, OURS = "`save_state`", "`save_state`, then fsync", "`clusterrun.training`"
STALL = "`clusterrun.training` with `async_save`: the stall"
RATIOS = ((OURS, FLUSHED, 1.2), (OURS, BARE, None), (FLUSHED, BARE, None), (STALL, BARE, 0.25))

Found = dict[str, list[float]]


def trainer(options: argparse.Namespace) -> None:
    """Measure in one of the two processes; the main one prints JSON."""
    import torch  # noqa: PLC0415 - not in the process that launches
    from accelerate import Accelerator  # noqa: PLC0415

    from clusterrun.training import TrainingRun  # noqa: PLC0415

    accelerator = Accelerator()
    width = int(
        (options.megabytes * 1e6 / 4 / 3) ** 0.5
    )  # the weights and two moments of each, in fp32
    model = torch.nn.Linear(width, width, bias=False)
    run = TrainingRun(accelerator, options.folder)
    model, optimizer = accelerator.prepare(model, torch.optim.AdamW(model.parameters(), lr=1e-3))
    run.resume()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    checks = time_checks(accelerator, run, options.steps)
    saves = time_saves(accelerator, run, Path(options.folder), options.rounds)
    if accelerator.is_main_process:
        print(json.dumps({"checks": checks, "saves": saves}))
    accelerator.end_training()


def time_checks(accelerator: Any, run: Any, steps: int) -> Found:
    """Time `step_done` without a save, once in each of `steps` steps of 100 ms.

    This includes the progress file, written each second, and two files, checked every 2 s.
    """
    import torch  # noqa: PLC0415

    from clusterrun.training import Position  # noqa: PLC0415

    position, matrix = Position(), torch.rand(256, 256)
    took: Found = {"wall": [], "processor": []}
    for _ in range(steps):
        end = time.perf_counter() + STEP
        while time.perf_counter() < end:
            matrix @ matrix
        accelerator.wait_for_everyone()  # as the gradients' all-reduce does
        position.step += 1
        started = time.perf_counter(), time.thread_time()
        run.step_done(position, total=steps, samples=1)
        took["wall"].append(time.perf_counter() - started[0])
        took["processor"].append(time.thread_time() - started[1])
    return took


def time_saves(accelerator: Any, run: Any, folder: Path, rounds: int) -> Found:
    """Time the ways of saving in turns, `rounds` times after a warm-up round."""
    from clusterrun.training import Position  # noqa: PLC0415

    plain = folder / "plain"
    turns: dict[str, Callable[[int], object]] = {
        BARE: lambda _: accelerator.save_state(str(plain)),
        FLUSHED: lambda _: save_and_flush(accelerator, plain),
        OURS: lambda number: run._state.save(Position(step=1_000_000 + number), exiting=True),  # noqa: SLF001
        STALL: lambda number: run._state.save(Position(step=2_000_000 + number)),  # noqa: SLF001 - without a step
    }
    found: Found = {name: [] for name in turns}
    for number in range(rounds + 1):
        for name, save in turns.items():
            if accelerator.is_main_process:
                run._state.finish_removal()  # noqa: SLF001 - pruned checkpoints are removed during training
                shutil.rmtree(plain, ignore_errors=True)
                os.sync()  # writes of the previous save do not count for this one
            accelerator.wait_for_everyone()
            started = time.perf_counter()
            save(number)
            accelerator.wait_for_everyone()
            if number:
                found[name].append(time.perf_counter() - started)
            run._state.finish_save()  # noqa: SLF001 - training would continue meanwhile
    return found


def save_and_flush(accelerator: Any, folder: Path) -> None:
    """Save with accelerate, and flush every file and folder to the disk."""
    accelerator.save_state(str(folder))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        for path in [*folder.rglob("*"), folder]:
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)


def launch(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run this script as two processes, as a job script would."""
    (folder / "events").mkdir()
    (folder / "stop").touch()
    (folder / "current").write_text("attempt=0001\n")
    environment = os.environ | {
        "ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(CHECKOUT), "CLUSTERRUN_PROTOCOL": "1", "CLUSTERRUN_RUN_ID": "overhead",
        "CLUSTERRUN_RUN_DIR": str(folder), "CLUSTERRUN_ATTEMPT": "0001",
        "CLUSTERRUN_STOP_FILE": str(folder / "signal"), "CLUSTERRUN_CHECKPOINT_KEEP": "1",
        "CLUSTERRUN_CHECKPOINT_ASYNC_SAVE": "true",
    }  # fmt: skip
    words = (
        "--multi_gpu --num_machines 1 --num_processes 2 --mixed_precision no --dynamo_backend no"
    )
    words += " --main_process_ip 127.0.0.1 --main_process_port 0"
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        *words.split(),
        str(Path(__file__).resolve()),
    ]
    command += ["--here", "--steps", str(options.steps), "--rounds", str(options.rounds)]
    command += ["--megabytes", str(options.megabytes), "--folder", str(folder)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def checks_table(checks: Found) -> list[str]:
    lines = ["| `step_done` without a save | a step | of 100 ms | aim | |", "|---|--:|--:|--:|---|"]
    rows = (
        ("wall clock, median", statistics.median(checks["wall"])),
        ("wall clock, mean", statistics.fmean(checks["wall"])),
        ("processor time, median", statistics.median(checks["processor"])),
        ("processor time, mean", statistics.fmean(checks["processor"])),
    )
    for name, seconds in rows:
        verdict = "met" if seconds / STEP < 0.001 else "**missed**"
        lines.append(
            f"| {name} | {seconds * 1e6:.0f} µs | {seconds / STEP:.3%} | 0.1 % | {verdict} |"
        )
    return lines


def saves_table(saves: Found) -> list[str]:
    median = {name: statistics.median(times) for name, times in saves.items()}
    lines = ["| a checkpoint | median | fastest | slowest |", "|---|--:|--:|--:|"]
    for name, times in saves.items():
        lines.append(f"| {name} | {median[name]:.3f} s | {min(times):.3f} | {max(times):.3f} |")
    lines += ["", "| ratio of medians | is | aim | |", "|---|--:|--:|---|"]
    for name, other, aim in RATIOS:
        ratio = median[name] / median[other]
        verdict = "" if aim is None else "met" if ratio <= aim else "**missed**"
        lines.append(f"| {name} / {other} | {ratio:.2f} | {aim or ''} | {verdict} |")
    return lines


def page(options: argparse.Namespace, found: dict[str, Any]) -> str:
    command = f"python benchmarks/overhead.py --steps {options.steps} --rounds {options.rounds}"
    command += f" --megabytes {options.megabytes}"
    machine = f"{os.cpu_count()} cores ({platform.machine()}, {platform.system()})"
    load = f"load average {os.getloadavg()[0]:.1f} at the end"
    versions = f"torch {version('torch')}, accelerate {version('accelerate')}"
    return "\n".join([
        "# Overhead of the training library", "",
        f"Made by `{command}` on {datetime.now(tz=timezone.utc):%Y-%m-%d}.",
        f"{machine}, {load}, Python {platform.python_version()}, {versions}.",
        "Two processes. Method: [README](../README.md).", "",
        "## The stop check", "", *checks_table(found["checks"]), "",
        f"## A checkpoint of {options.megabytes} MB", "", *saves_table(found["saves"]), "",
    ])  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300, help="steps of 100 ms with a stop check")
    parser.add_argument("--rounds", type=int, default=15, help="number of saves timed for each way")
    parser.add_argument("--megabytes", type=int, default=400, help="size of model and optimizer")
    parser.add_argument(
        "--folder", help="where to write; a disk, not memory (default: the temporary folder)"
    )
    parser.add_argument(
        "--here", action="store_true", help="be one of the two processes; used internally"
    )
    options = parser.parse_args()
    if options.here:
        trainer(options)
        return 0
    with tempfile.TemporaryDirectory(prefix="overhead", dir=options.folder) as place:
        text = page(options, launch(options, Path(place)))
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
