"""`clusterrun report RUN`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from clusterrun.cli.output.printed_json import add_json, print_json
from clusterrun.cli.output.screen import draw_bar, print_table
from clusterrun.cli.output.status_text import HEADINGS, attempt_row, describe_loss
from clusterrun.reporting.goodput import PARTS
from clusterrun.reporting.run_report import RunReport, report, write_page
from clusterrun.units import format_duration


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run", metavar="RUN", nargs="?", default="last")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--html", metavar="FILE", help="write a self-contained page with all curves")
    add_json(shape)


def run(options: argparse.Namespace) -> int:
    """Print where a run's time went, or write a page with its curves."""
    found = report(options.run)
    if options.html:
        _write_html(Path(options.html), found)
    elif options.json:
        print_json(found.as_dict())
    else:
        _print_report(found)
    return 0


def _write_html(path: Path, found: RunReport) -> None:
    from clusterrun.reporting.page.drawing import render_page  # noqa: PLC0415 - it needs Jinja2

    write_page(path, render_page(found))
    print(f"wrote {path}", file=sys.stderr)


def _print_report(found: RunReport) -> None:
    split = found.time_split
    ettr = (
        "unknown: the script does not use clusterrun.training" if split.unknown else "not known yet"
    )
    facts = {
        "run": found.status.run_id,
        "state": found.status.state.value,
        "wall": format_duration(split.wall),
        "ETTR": ettr
        if split.ettr is None
        else f"{split.ettr:.1%} of the wall time was productive training",
        "GPU hours": _format_hours(found.gpu_hours.used, found.gpu_hours.wasted)
        if found.gpu_hours
        else "",
        "node hours": _format_hours(found.node_hours.used, found.node_hours.wasted),
        "loss": describe_loss(found.status),
        "speed": f"{found.samples_per_second:.4g} samples/s" if found.samples_per_second else "",
    }
    print("\n".join(f"{name:<12}{value}" for name, value in facts.items() if value), end="\n\n")
    seconds = {
        words: float(getattr(split, kind))
        for kind, words in PARTS.items()
        if getattr(split, kind) > 0
    }
    wall = max(split.wall, 1e-9)
    rows = [
        (words, format_duration(part), f"{part / wall:.1%}", draw_bar(part / wall, 1.0, 20))
        for words, part in seconds.items()
    ]
    print_table([("WHERE THE TIME WENT", "TIME", "SHARE", ""), *rows])
    if found.attempts:
        print()
        print_table([HEADINGS, *(attempt_row(one, found.status) for one in found.attempts)])


def _format_hours(used: float, wasted: float | None) -> str:
    return f"{used:.2f} used" + ("" if wasted is None else f", {wasted:.2f} wasted")
