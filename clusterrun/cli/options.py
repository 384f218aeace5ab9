"""Options that several commands share, and option types for amounts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from clusterrun import units

TYPE_CHECKING = False  # importing `typing` adds 6 ms to each start
if TYPE_CHECKING:
    from clusterrun.planning.preparation import Prepared, Request


def option_type(read: Callable[[str], float]) -> Callable[[str], float]:
    """Make the type of an option from a parser of its text.

    The parser raises ValueError with the error, and a hint on the next line.
    """

    def reader(text: str) -> float:
        try:
            return read(text.strip())
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error).replace("\n", "\n  hint: ")) from error

    return reader


duration_option = option_type(units.seconds_of_duration)
timeout_option = option_type(lambda text: units.seconds_of_duration(text, bare="s"))
"""A number without a unit means seconds, as for timeout(1)."""
count_option = option_type(units.whole_number)


def add_spec_options(parser: argparse.ArgumentParser) -> None:
    """Add the job spec, its profile, its overrides and its templates."""
    parser.add_argument("job", metavar="JOB.yaml", help="the job spec")
    add_overrides(
        parser,
        "override one value, written as YAML, such as slurm.nodes=4; may be repeated",
    )
    add_parameters(parser)
    add_profile(parser)
    parser.add_argument(
        "--templates",
        metavar="FOLDER",
        action="append",
        default=[],
        help="a folder with your own templates, searched first; may be repeated",
    )
    parser.add_argument(
        "--member",
        type=count_option,
        metavar="N",
        help="one member of the spec's sweep, from 0, as a run of its own",
    )


def add_overrides(
    parser: argparse.ArgumentParser,
    description: str = "override one value, as for submit; may be repeated",
) -> None:
    """Add `--set`, which may be repeated."""
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help=description,
    )


def add_parameters(parser: argparse.ArgumentParser) -> None:
    """Add `--param`, which overrides a value below `parameters`."""
    parser.add_argument(
        "--param",
        dest="overrides",
        metavar="NAME=VALUE",
        action="append",
        type=_override_of_parameter,
        help="set one of the spec's parameters; may be repeated",
    )


def _override_of_parameter(text: str) -> str:
    name, equals, _ = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not NAME=VALUE\n  hint: write it as in lr=3e-4"
        )
    return f"parameters.{text}"


def add_metric(parser: argparse.ArgumentParser) -> None:
    """Add what runs are compared by."""
    parser.add_argument(
        "--metric",
        metavar="NAME",
        help="compare by this metric (default: that of the sweep, or the loss)",
    )
    parser.add_argument(
        "--goal", choices=("min", "max"), help="which values of the metric are better"
    )


def add_profile(parser: argparse.ArgumentParser) -> None:
    """Add the path of the site's defaults."""
    parser.add_argument(
        "--profile",
        help="the site's defaults (default: CLUSTERRUN_PROFILE, ~/.config/clusterrun/profile.yaml)",
    )


def request_from_options(options: argparse.Namespace) -> Request:
    """Return the preparation request of the command line."""
    from clusterrun.planning.preparation import Request  # noqa: PLC0415 - `wait` does not need planning

    return Request(
        options.job,
        tuple(options.overrides),
        options.profile,
        tuple(options.templates),
        member=options.member,
    )


def print_notes(prepared: Prepared) -> None:
    """Print on stderr what the spec leaves open and the user should know."""
    for note in prepared.notes:
        print(f"note: {note}", file=sys.stderr)
