"""`clusterrun report RUN`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from clusterrun.cli.output.printed_json import add_json, print_json
from clusterrun.cli.output.screen import draw_bar, print_table
from clusterrun.cli.output.status_text import HEADINGS, attempt_row, describe_loss
from clusterrun.reporting.goodput import PARTS
from clusterrun.reporting.run_report import RunReport, is_array, report, write_page
from clusterrun.units import format_duration

_ETTR = "effective training time ratio: productive training / wall time"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run", metavar="RUN", nargs="?", default="last")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument(
        "--html",
        metavar="FILE",
        help="write a self-contained page with all curves; of a sweep, with those of all members",
    )
    add_json(shape)


def run(options: argparse.Namespace) -> int:
    """Print where a run's time went, or write a page with its curves."""
    if options.html and is_array(options.run):
        from clusterrun.cli.commands.compare import write_comparison  # noqa: PLC0415 - only for a sweep

        write_comparison(Path(options.html), [options.run], None, None)
        return 0
    run_report = report(options.run)
    if options.html:
        _write_html(Path(options.html), run_report)
    elif options.json:
        print_json(run_report.as_dict())
    else:
        _print_report(run_report)
    return 0


def _write_html(path: Path, run_report: RunReport) -> None:
    from clusterrun.reporting.page.drawing import render_page  # noqa: PLC0415 - it needs Jinja2

    write_page(path, render_page(run_report))
    print(f"wrote {path}", file=sys.stderr)


def _print_report(run_report: RunReport) -> None:
    split = run_report.time_split
    unknown = (
        "unknown: the script does not use clusterrun.training" if split.unknown else "not known yet"
    )
    ettr = unknown if split.ettr is None else f"{split.ettr:.1%}"
    facts = {
        "run": run_report.status.run_id,
        "state": run_report.status.state.value,
        "wall": format_duration(split.wall),
        "ETTR": f"{ettr} ({_ETTR})",
        "GPU hours": _format_hours(run_report.gpu_hours.used, run_report.gpu_hours.wasted)
        if run_report.gpu_hours
        else "",
        "node hours": _format_hours(run_report.node_hours.used, run_report.node_hours.wasted),
        "speed": f"{run_report.samples_per_second:.4g} samples/s"
        if run_report.samples_per_second
        else "",
        "loss": describe_loss(run_report.status),
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
    if run_report.attempts:
        print()
        print_table(
            [HEADINGS, *(attempt_row(one, run_report.status) for one in run_report.attempts)]
        )


def _format_hours(used: float, wasted: float | None) -> str:
    return f"{used:.2f} used" + ("" if wasted is None else f", {wasted:.2f} wasted")
