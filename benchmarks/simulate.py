"""Goodput of large runs, modelled from the other benchmarks' results and published failure rates.

    python benchmarks/simulate.py

It reads benchmarks/results/handover.md and overhead.md, needs neither Slurm nor GPUs, and takes
half a minute.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from simulate_model import Answer, Way, World, fixed, formula, learned, mean_ettr, meta_formula

from clusterrun.training.checkpointing.optimum import best_interval

RESULTS = Path(__file__).resolve().parent / "results"
DAY, HOUR, MINUTE = 86400.0, 3600.0, 60.0
GPUS_PER_NODE = 8
SIZES = (16, 64, 256, 1024, 4096, 16384)
OURS = "clusterrun"
STOPS = {
    "failure": "node crash",
    "preemption": "preemption",
    "limit": "time limit",
}  # their names in handover.md
RATES = {  # failures per node and day, and the source
    "RSC-1": (
        6.50e-3,
        (
            "Meta's cluster RSC-1 of 16,000 A100: A. Kokolis and others, Revisiting Reliability "
            "in Large-Scale Machine Learning Research Clusters, HPCA 2025, arXiv 2410.21680"
        ),
    ),
    "Llama 3": (
        419 / 54 / (16384 / GPUS_PER_NODE),
        (
            "419 unexpected interruptions in 54 days on 16,384 H100: A. Grattafiori and others, "
            "The Llama 3 Herd of Models, arXiv 2407.21783, section 3.3.4 and table 5"
        ),
    ),
    "RSC-2": (
        2.34e-3,
        "Meta's cluster RSC-2 of 8,000 A100: Kokolis and others, as above",
    ),
}


@dataclass(frozen=True)
class Measured:
    """One row of handover.md: whether a way restarted, the steps lost, seconds to the next step."""

    back: bool
    lost: float
    seconds: float | None


@dataclass(frozen=True)
class Inputs:
    """The values that are read from the other results."""

    rows: dict[str, dict[str, Measured]]
    """By way and kind of stop."""
    delay: float
    """Seconds to add for Slurm's default requeue delay."""
    dearer: float
    """Time of a save of clusterrun.training, relative to a bare save_state."""
    check: float
    """Share of a step's time that the stop check takes."""


def read_inputs(results: Path) -> Inputs:
    """Read the tables of handover.md and overhead.md; raise ValueError for an unknown format."""
    handover, overhead = (
        (results / name).read_text(encoding="utf-8") for name in ("handover.md", "overhead.md")
    )
    rows: dict[str, dict[str, Measured]] = {}
    for line in handover.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        kind = next((kind for kind, name in STOPS.items() if cells[0].startswith(name)), None)
        if kind and line.startswith("|"):
            rows.setdefault(cells[1], {}).setdefault(kind, read_row(cells))
    rows = {name: found for name, found in rows.items() if set(found) == set(STOPS)}
    if OURS not in rows:
        raise ValueError(
            "results/handover.md lacks results of clusterrun for all stops: "
            "run benchmarks/handover.py"
        )
    return Inputs(
        rows,
        delay=figure(r"on most clusters add (\d+) s", handover),
        dearer=figure(r"\| `clusterrun\.training` / `save_state` \| ([\d.]+)", overhead),
        check=figure(r"\| wall clock, mean \|[^|]*\| ([\d.]+)%", overhead) / 100,
    )


def read_row(cells: list[str]) -> Measured:
    back, of = map(int, re.findall(r"\d+", cells[2]))
    lost, seconds = (
        [float(value) for value in re.findall(r"[\d.]+", cell.partition("(")[2])]
        for cell in cells[3:5]
    )
    return Measured(
        back == of, statistics.fmean(lost), statistics.fmean(seconds) if seconds else None
    )


def figure(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"no match in the results for {pattern}")
    return float(found.group(1))


def ways(inputs: Inputs, world: World, options: argparse.Namespace) -> list[Way]:
    """Return the ways to compare: as measured, and the others also with their best interval."""
    bare, ours = options.save, options.save * inputs.dearer
    best = best_interval(bare, 1 / (1 / world.between_failures + 1 / world.between_preemptions))
    made = []
    for name in inputs.rows:
        found = answers(inputs, name, options)
        if name.startswith(OURS):
            made.append(Way(name, found, learned(ours), ours, inputs.check))
        else:
            made.append(Way(name, found, fixed(options.every * MINUTE), bare))
            made.append(Way(f"{name}; the best interval", found, fixed(best), bare))
    return made


def answers(inputs: Inputs, name: str, options: argparse.Namespace) -> dict[str, Answer]:
    """Return how a way handles each stop; a person resubmits a job that does not restart.

    A way that lost more than one step at a stop, with a checkpoint every 50 steps, did not save
    because of the stop.
    """
    found = {}
    delay = 0.0 if "successor" in name else inputs.delay  # a successor is a new job: no delay
    for kind, row in inputs.rows[name].items():
        by_hand = options.person * MINUTE + (inputs.rows[OURS][kind].seconds or 0.0)
        restart = row.seconds + delay if row.back and row.seconds is not None else by_hand
        found[kind] = Answer(restart, saves=kind != "failure" and row.lost <= 1)
    return found


def world_of(gpus: int, rate: float, options: argparse.Namespace) -> World:
    nodes = gpus / GPUS_PER_NODE
    return World(
        DAY / (rate * nodes), options.preempted * HOUR, options.limit * HOUR, options.start * MINUTE
    )


def table(inputs: Inputs, rate: float, options: argparse.Namespace) -> list[str]:
    """Return the ETTR of each way at each size."""
    columns: dict[str, list[float]] = {}
    errors = []
    for gpus in SIZES:
        world = world_of(gpus, rate, options)
        for way in ways(inputs, world, options):
            mean, error = mean_ettr(way, world, options.days * DAY, options.runs, options.seed)
            columns.setdefault(way.name, []).append(mean)
            errors.append(error)
    hours = [DAY / (rate * gpus / GPUS_PER_NODE) / HOUR for gpus in SIZES]
    lines = [
        "| | " + " | ".join(f"{gpus:,} GPUs" for gpus in SIZES) + " |",
        "|---|" + "--:|" * len(SIZES),
    ]
    lines.append(
        "| hours between failures | " + " | ".join(f"{value:,.1f}" for value in hours) + " |"
    )
    lines += [
        f"| {name} | " + " | ".join(f"{value:.1%}" for value in row) + " |"
        for name, row in columns.items()
    ]
    for name, row in columns.items():
        if name != OURS:
            ratios = " | ".join(
                f"{ours / other:.2f}" for ours, other in zip(columns[OURS], row, strict=True)
            )
            lines.append(f"| clusterrun / {name} | {ratios} |")
    return [*lines, "", f"Standard error of a mean: at most {max(errors):.2%}."]


def agreement(options: argparse.Namespace) -> list[str]:
    """Compare the simulation with the formulas for the case they cover: failures, one interval."""
    lines = [
        "| hours between failures | simulated | Daly | first order (Kokolis) |",
        "|--:|--:|--:|--:|",
    ]
    restart, interval, save = 10 * MINUTE, 30 * MINUTE, options.save
    same = dict.fromkeys(STOPS, Answer(restart, saves=False))
    for hours in (100.0, 24.0, 8.0, 2.0):
        way, world = Way("", same, fixed(interval), save), World(hours * HOUR)
        mean, error = mean_ettr(
            way, world, max(options.days, hours * 10) * DAY, options.runs, options.seed
        )
        exact, first = (f(hours * HOUR, interval, save, restart) for f in (formula, meta_formula))
        lines.append(f"| {hours:g} | {mean:.2%} ± {error:.2%} | {exact:.2%} | {first:.2%} |")
    return lines


def inputs_table(inputs: Inputs) -> list[str]:
    lines = [
        "| way | stop | restarts | saves at the stop | last step to first step |",
        "|---|---|---|---|--:|",
    ]
    for name, row in inputs.rows.items():
        for kind, found in row.items():
            saves = "yes" if kind != "failure" and found.lost <= 1 else "no"
            seconds = (
                f"{found.seconds:.1f} s" if found.back and found.seconds is not None else "by hand"
            )
            lines.append(
                f"| {name} | {STOPS[kind]} | {'yes' if found.back else '**no**'} | {saves} | "
                f"{seconds} |"
            )
    return lines


def page(inputs: Inputs, options: argparse.Namespace) -> str:
    given = " ".join(f"--{name} {value:g}" for name, value in vars(options).items())
    today = f"{datetime.now(tz=timezone.utc):%Y-%m-%d}"
    lines = [
        "# Goodput of large runs: a model", "",
        f"Made by `python benchmarks/simulate.py {given}` on {today}.",
        "**Computed, not measured.** Inputs, assumptions and limitations: [README](../README.md).",
        ("ETTR, the effective training time ratio: the share of the wall clock time that becomes "
        "training that counts."), "",
        (f"Assumptions for all: a preemption every {options.preempted:g} hours on average and a "
        f"time limit of {options.limit:g} hours, both announced; {options.start:g} minutes from "
        f"the processes' start to the first step; a bare `save_state` takes {options.save:g} s; a "
        f"person resubmits after {options.person:g} minutes. "
        f"The others save every {options.every:g} minutes, clusterrun as `every: auto` decides "
        "from the run so far."),
        "", "## Inputs from the other results", "", *inputs_table(inputs), "",
        (f"{inputs.delay:g} s are added to each time for Slurm's default requeue delay. A save of "
        f"clusterrun takes {inputs.dearer:g} times as long as a bare one (it is flushed), the "
        f"stop check {inputs.check:.3%} of the time."),
        "",
    ]  # fmt: skip
    for name, (rate, source) in RATES.items():
        lines += [
            f"## Failure rate of {name}",
            "",
            f"{rate * 1000:.2f} per thousand node-days. {source}.",
            "",
        ]
        lines += [*table(inputs, rate, options), ""]
    lines += ["## Comparison of the simulation with closed formulas", ""]
    lines += [
        "Failures alone, a checkpoint every 30 minutes, 10 minutes to restart.",
        "",
        *agreement(options),
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--preempted", type=float, default=24, help="mean hours between preemptions"
    )
    parser.add_argument("--limit", type=float, default=24, help="the time limit, in hours")
    parser.add_argument(
        "--start", type=float, default=5, help="minutes from start to first step of a large job"
    )
    parser.add_argument("--save", type=float, default=10, help="seconds of a bare save_state")
    parser.add_argument(
        "--every", type=float, default=60, help="minutes between the others' checkpoints"
    )
    parser.add_argument(
        "--person", type=float, default=60, help="minutes until a person resubmits the job"
    )
    parser.add_argument("--days", type=float, default=30, help="length of a run in days")
    parser.add_argument("--runs", type=int, default=200, help="simulated runs per value")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    text = page(read_inputs(RESULTS), options)
    (RESULTS / "simulate.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
