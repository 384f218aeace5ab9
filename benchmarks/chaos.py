"""Checkpoints under SIGKILL and random corruption, compared with plain `accelerator.save_state`.

Training processes are forked from a warm parent, save a small state in an endless loop, and are
killed at some point in a cycle of writing, publishing and pruning. The next one resumes. It needs
neither Slurm nor root:

    python benchmarks/chaos.py
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
RESULT = Path(__file__).resolve().parent / "results" / "chaos.md"
sys.path.insert(0, str(CHECKOUT))

from chaos_damages import spoil  # noqa: E402 - the checkout comes first
from chaos_kills import Story, kill_clusterrun, kill_plain  # noqa: E402
from chaos_trainers import async_trainer, clusterrun_trainer, warm_up  # noqa: E402

Counts = Counter[tuple[str, str]]
Stories = tuple[Story, Story]  # one for each of WAYS
WAYS = "clusterrun.training", "with `async_save`"


def kills_table(ours: Stories, plain: Story) -> list[str]:
    stories = [*ours, plain]
    rows: list[tuple[str, list[object]]] = [
        ("kills", [story.kills for story in stories]),
        ("resumes", [story.resumes for story in stories]),
        ("**failed resumes**", [_with_words(story.failed) for story in stories]),
        (
            "resumes from before the newest reported save",
            [story.behind for story in stories],
        ),
        ("kills that left no valid checkpoint", [*(story.without for story in ours), ""]),
        ("save cycle, median", [_milliseconds(story) for story in stories]),
    ]
    return [
        f"| | {' | '.join(WAYS)} | `accelerator.save_state`, automatic naming |",
        "|---|--:|--:|--:|",
        *(f"| {name} | {' | '.join(map(str, cells))} |" for name, cells in rows),
    ]


def _with_words(failed: Counter[str]) -> str:
    words = ", ".join(f"{name} {count}" for name, count in failed.most_common())
    return f"**{failed.total()}** ({words})" if words else "0"


def _milliseconds(story: Story) -> str:
    return f"{statistics.median(story.spans) * 1e3:.1f} ms"


def moments_table(stories: Stories) -> list[str]:
    lines = [f"| where the kill fell | {' | '.join(WAYS)} |", "|---|--:|--:|"]
    moments = stories[0].moments + stories[1].moments
    cells = {
        moment: " | ".join(str(story.moments[moment]) for story in stories)
        for moment, _ in moments.most_common()
    }
    return lines + [f"| {moment} | {cell} |" for moment, cell in cells.items()]


def damages_table(made: Counts, found: Counts) -> list[str]:
    kinds = list(dict.fromkeys(kind for _, kind in made))
    lines = [f"| found of made | {' | '.join(kinds)} |", f"|---|{'--:|' * len(kinds)}"]
    for name in dict.fromkeys(name for name, _ in made):
        cells = (f"{found[name, kind]} of {made[name, kind]}" for kind in kinds)
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return [*lines, "", f"{found.total()} of {made.total()} damages were found."]


def page(
    options: argparse.Namespace,
    ours: Stories,
    plain: Story,
    damages: tuple[Counts, Counts],
    seconds: float,
) -> str:
    command = (
        f"python benchmarks/chaos.py --kills {options.kills} --damages {options.damages} "
        f"--seed {options.seed}"
    )
    made = f"Made by `{command}` on {datetime.now(tz=timezone.utc):%Y-%m-%d}, in {seconds:.0f} s."
    versions = f"torch {version('torch')}, accelerate {version('accelerate')}"
    kind = f"{os.cpu_count()} cores ({platform.machine()}, {platform.system()})"
    machine = f"{kind}, load average {os.getloadavg()[0]:.1f}"
    return "\n".join([
        "# Kills and corruption", "",
        made, f"{machine} at the end, Python {platform.python_version()}, {versions}.",
        "Method and limitations: [README](../README.md).", "",
        "## SIGKILL at a random moment of a save", "", *kills_table(ours, plain), "",
        "Derived from the files that were left on the disk:", "", *moments_table(ours), "",
        "## Random corruption", "", *damages_table(*damages), "",
    ])  # fmt: skip


def measure(options: argparse.Namespace) -> tuple[Stories, Story, tuple[Counts, Counts]]:
    random.seed(options.seed)
    with tempfile.TemporaryDirectory(prefix="chaos", dir=options.folder) as place:
        folders = [Path(place, name) for name in ("clusterrun", "async", "plain")]
        for folder in folders:
            (folder / "events").mkdir(parents=True)
        warm_up(Path(place, "warm"))
        with Path(place, "log").open("wb") as log:
            ours = kill_clusterrun(clusterrun_trainer, folders[0], options.kills, log.fileno())
            later = kill_clusterrun(async_trainer, folders[1], options.kills, log.fileno())
            plain = kill_plain(folders[2], options.kills, log.fileno())
        newest = max((folders[0] / "checkpoints").iterdir(), key=lambda path: path.name)
        return (ours, later), plain, spoil(newest, options.damages)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=1200, help="for each of the three ways")
    parser.add_argument("--damages", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--folder",
        type=Path,
        help="where to write; a disk, not memory (default: the temporary folder)",
    )
    options = parser.parse_args()
    started = time.monotonic()
    ours, plain, damages = measure(options)
    text = page(options, ours, plain, damages, time.monotonic() - started)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(text, encoding="utf-8")
    print(text)
    bad = sum(story.failed.total() + story.behind + story.without for story in ours)
    bad += damages[0].total() - damages[1].total()
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
