"""`clusterrun init`: a first job spec, from a few answers or from an old sbatch script."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from clusterrun.cli.options import add_profile
from clusterrun.cli.output.printed_json import add_json, print_json
from clusterrun.errors import Problem, SpecError

if TYPE_CHECKING:
    from clusterrun.results import NewSpec

_SLURM = {
    "nodes": ("N", "number of nodes"),
    "gpus-per-node": ("N", "GPUs per node; 0 for none"),
    "cpus-per-task": ("N", "CPUs per node"),
    "mem": ("SIZE", "memory per node, such as 64G"),
    "partition": ("NAME", "partition (default: the profile's, or the cluster's)"),
    "account": ("NAME", "account to charge"),
    "qos": ("NAME", "quality of service"),
    "time": ("TIME", "time limit per attempt, such as 12:00:00"),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    without = (
        "On a terminal it prompts for missing values; elsewhere, and with --yes, it uses the "
        "defaults."
    )
    parser.description = f"{parser.description}. {without}"
    parser.add_argument(
        "--from-sbatch", metavar="FILE", help="an sbatch script to translate; it is read, not run"
    )
    parser.add_argument(
        "--check",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="with --from-sbatch: compare what the script and the spec would start, without "
        "running either (default); --no-check writes the spec in any case",
    )
    parser.add_argument(
        "arguments",
        nargs="*",
        metavar="ARGUMENT",
        help="with --from-sbatch: the script's own arguments, after --",
    )
    parser.add_argument("--script", metavar="FILE", help="the training script")
    parser.add_argument(
        "--strategy",
        metavar="NAME",
        help="ddp, fsdp, zero1, zero2 or zero3, also with -offload, such as fsdp-offload",
    )
    for name, (metavar, what) in _SLURM.items():
        parser.add_argument(f"--{name}", metavar=metavar, help=what)
    parser.add_argument("--name", help="name of the run (default: the script's name)")
    add_profile(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="where to write the spec; - for stdout (default: NAME.yaml)",
    )
    parser.add_argument("--force", action="store_true", help="overwrite an existing file")
    parser.add_argument("--yes", action="store_true", help="use the defaults without prompting")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Write a job spec, and print the next commands."""
    from clusterrun.starter import new_file  # noqa: PLC0415 - `--help` starts faster without

    if options.json and options.output == new_file.STDOUT:
        raise SpecError(
            [
                Problem(
                    "--json",
                    "",
                    "cannot be combined with -o -, which writes the spec to stdout",
                    "use -o FILE",
                )
            ]
        )
    new_file.check_names(options.name, options.script)
    if options.arguments and options.from_sbatch is None:
        what = f"unexpected argument {options.arguments[0]!r}"
        raise SpecError([Problem("init", "", what, "add --script or --from-sbatch before it")])
    slurm = {name: getattr(options, name.replace("-", "_")) for name in _SLURM}
    target = new_file.Target(options.output, options.force, options.profile)
    if options.from_sbatch is not None:
        given = {
            "script": options.script,
            "strategy": options.strategy,
            "name": options.name,
            **slurm,
        }
        new_file.refuse_options(name for name, value in given.items() if value is not None)
        made = new_file.write_translation(
            options.from_sbatch, target, arguments=options.arguments, check=options.check
        )
    else:
        from clusterrun.cli.init_questions import ask_for_request  # noqa: PLC0415 - only for a first spec

        made = new_file.write_new_spec(ask_for_request(options, slurm), target)
    if options.output == new_file.STDOUT:
        sys.stdout.write(made.text)
        _print_problems(made)
    elif options.json:
        print_json(made)
    else:
        _print_next_commands(made, translated=options.from_sbatch is not None)
    return 0


def _describe_check(check: str) -> str:
    same, _, rest = check.partition("; ")
    if same != "same":
        return check
    what = "checked: the spec starts the same as the old script"
    return f"{what}; {rest}" if rest else what


def _print_problems(made: NewSpec) -> None:
    """Print the mistakes of the old script, and what the new run does differently."""
    if made.mistakes:
        from clusterrun.starter.from_sbatch.refused import count_mistakes  # noqa: PLC0415 - as above

        print(f"{count_mistakes(made.mistakes)}:\n", file=sys.stderr)
    for problem in made.mistakes:
        print(problem, file=sys.stderr)
    if made.notes:
        print(
            "\nWhat the new run does differently, or what could not be translated:\n",
            file=sys.stderr,
        )
    for problem in made.notes:
        print(problem, file=sys.stderr)


def _print_next_commands(made: NewSpec, *, translated: bool) -> None:
    _print_problems(made)
    print(f"{chr(10) * translated}wrote {made.file}", file=sys.stderr)
    if made.check:
        print(_describe_check(made.check), file=sys.stderr)
    for problem in made.problems:
        print(f"fix: {problem}", file=sys.stderr)
    for command, what in (
        ("validate", "check the spec"),
        ("render", "read the sbatch script"),
        ("submit", "queue the run"),
    ):
        print(f"  clusterrun {command} {made.file}".ljust(50) + f"  {what}", file=sys.stderr)
    print(made.file)
