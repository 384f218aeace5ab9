"""`clusterrun doctor`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from clusterrun.cli.options import add_overrides, add_profile, timeout_option
from clusterrun.cli.output.printed_json import add_json, print_json
from clusterrun.cli.output.screen import STYLES, print_table
from clusterrun.planning.preparation import Request
from clusterrun.site_checks.examination import Examination, doctor
from clusterrun.site_checks.finding import OK, Finding

_HEADINGS = ("", "TOPIC", "FINDING")
_STYLES = {"ok": STYLES["good"], "warning": STYLES["warning"], "problem": STYLES["bad"]}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add = parser.add_argument
    add(
        "--on-nodes",
        action="store_true",
        help="also check the nodes, in a small job on two nodes if possible",
    )
    add(
        "--timeout",
        type=timeout_option,
        default=600.0,
        metavar="TIME",
        help="cancel that job after this time (default: 10min)",
    )
    add_overrides(
        parser, "override one value of the profile, such as slurm.partition=gpu; may be repeated"
    )
    add_profile(parser)
    add(
        "--write-profile",
        metavar="FILE",
        nargs="?",
        const="",
        help="write a first profile for this cluster (default: ~/.config/clusterrun/profile.yaml)",
    )
    add("--force", action="store_true", help="let --write-profile overwrite a file")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the findings; return 1 if one of them keeps runs from working."""
    request = Request("", tuple(options.overrides), options.profile, own_python=True)
    examination = doctor(
        request, on_nodes=options.on_nodes, timeout=options.timeout, report_progress=_print_progress
    )
    if options.json:
        print_json(
            {
                "findings": examination.findings,
                "problems": examination.problems,
                "warnings": examination.warnings,
            }
        )
    else:
        print_table(
            [
                _HEADINGS,
                *(row for finding in examination.findings for row in _finding_rows(finding)),
            ],
            _STYLES,
        )
    if options.write_profile is not None:
        _write_profile(examination, options.write_profile, force=options.force)
    problems = _format_count(examination.problems, "problem")
    print(
        f"{problems}, {_format_count(examination.warnings, 'warning')}",
        file=sys.stderr,
    )
    return 1 if examination.problems else 0


def _print_progress(line: str) -> None:
    print(f"on nodes: {line}", file=sys.stderr)


def _format_count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'s' * (number != 1)}"


def _finding_rows(finding: Finding) -> list[tuple[str, str, str]]:
    rows = [(finding.verdict, finding.topic, finding.message)]
    label = "hint" if finding.verdict == OK else "fix"
    return [*rows, ("", "", f"  {label}: {finding.fix}")] if finding.fix else rows


def _write_profile(examination: Examination, name: str, *, force: bool) -> None:
    from clusterrun.job_spec.profile import own_profile  # noqa: PLC0415
    from clusterrun.site_checks.first_profile import first_profile, write_profile  # noqa: PLC0415 - only with --write-profile

    path = Path(name).expanduser() if name else own_profile(os.environ)
    write_profile(path, first_profile(examination.site, os.environ), force=force)
    print(f"wrote {path}; review it, its values are guesses", file=sys.stderr)
