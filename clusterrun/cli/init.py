"""`clusterrun init`: the first job spec, from a few answers or from an old sbatch script."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterrun.cli.as_json import add_json, print_json
from clusterrun.errors import Problem, SpecError

if TYPE_CHECKING:
    from clusterrun.old_script.draft import Draft

_SLURM = {
    "nodes": ("N", "how many nodes"),
    "gpus-per-node": ("N", "GPUs of each node; 0 for none"),
    "cpus-per-task": ("N", "CPUs of each node"),
    "mem": ("SIZE", "memory of each node, such as 64G"),
    "partition": ("NAME", "the partition (default: the profile's, or the site's)"),
    "account": ("NAME", "the account that is charged"),
    "qos": ("NAME", "the quality of service"),
    "time": ("TIME", "the time limit of one attempt, such as 12:00:00"),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    without = "On a terminal it asks for what is not given; elsewhere, and with --yes, the defaults are taken."
    parser.description = f"{parser.description}. {without}"
    parser.add_argument("--from-sbatch", metavar="FILE", help="an sbatch script of yours: it is read, and not run")
    parser.add_argument("--script", metavar="FILE", help="the training script")
    parser.add_argument(
        "--strategy", metavar="NAME", help="ddp, fsdp, zero1, zero2, zero3; or fsdp-offload and the like"
    )
    for name, (metavar, what) in _SLURM.items():
        parser.add_argument(f"--{name}", metavar=metavar, help=what)
    parser.add_argument("--name", help="what the run is called (default: as the script)")
    parser.add_argument(
        "--profile", help="the site's defaults (default: CLUSTERRUN_PROFILE, ~/.config/clusterrun/profile.yaml)"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="the spec; - for stdout (default: NAME.yaml)")
    parser.add_argument("--force", action="store_true", help="write over a file that is there")
    parser.add_argument("--yes", action="store_true", help="ask nothing: take the defaults")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Write a job spec, and say what to type next."""
    from clusterrun.starter import files, script  # noqa: PLC0415 - `--help` starts faster without

    _refuse_what_cannot_be(options)
    slurm = {name: getattr(options, name.replace("-", "_")) for name in _SLURM}
    draft: Draft | None = None
    if options.from_sbatch is not None:
        _refuse_both(options, slurm)
        from clusterrun.starter.sbatch import from_sbatch  # noqa: PLC0415

        draft = from_sbatch(options.from_sbatch)
        name = str(draft.values["name"])
    else:
        from clusterrun.cli.answers import filled  # noqa: PLC0415

        wish = filled(options, slurm)
        name = wish.name or script.name_of(wish.script)
    path = Path(options.output or f"{name}.yaml")
    if options.output != "-":
        _refuse_overwriting(path, force=options.force)
    folder = Path.cwd() if options.output == "-" else path.absolute().parent
    if draft is not None:
        text = files.spec_of_draft(draft, options.from_sbatch, cwd=Path.cwd(), folder=folder)
    else:
        text = files.spec_of_wish(wish, cwd=Path.cwd(), folder=folder)
    if options.output == "-":
        sys.stdout.write(text)
        _tell(draft)
        return 0
    _write(path, text)
    files.write_schema(folder)
    problems = files.problems_of(str(path), options.profile)
    _finish(options, path, draft, problems)
    return 0


def _refuse_what_cannot_be(options: argparse.Namespace) -> None:
    from clusterrun.spec.values import NAME, NAME_FORM  # noqa: PLC0415 - `--help` starts faster without

    if options.json and options.output == "-":
        raise SpecError([Problem("--json", "", "the spec itself is asked for on stdout", "-o FILE")])
    if options.name is not None and not NAME.fullmatch(options.name):
        raise SpecError([Problem("--name", "", f"{options.name!r} is not {NAME_FORM}")])
    if options.script is not None and not options.script.isprintable():  # also what is no UTF-8
        raise SpecError([Problem("--script", "", f"{options.script!r} cannot stand in a spec", "rename the file")])


def _refuse_both(options: argparse.Namespace, slurm: dict[str, Any]) -> None:
    given = [name for name in ("script", "strategy", "name") if getattr(options, name) is not None]
    given += [name for name, value in slurm.items() if value is not None]
    if given:
        what = f"stands beside --{given[0]}: the old script says it"
        raise SpecError([Problem("--from-sbatch", "", what, "change the spec that is written")])


def _refuse_overwriting(path: Path, *, force: bool) -> None:
    if path.exists() and not force:
        raise SpecError([Problem("--output", "", f"{path} is there already", "another -o FILE, or --force")])


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SpecError([Problem("--output", "", f"{path}: {(error.strerror or str(error)).lower()}")]) from error


def _tell(draft: Draft | None) -> None:
    """Say what was wrong in the old script, and what the new run does otherwise."""
    if draft is None:
        return
    count = len(draft.mistakes)
    if count:
        print(f"{count} mistake{'s' * (count > 1)} in the old script:\n", file=sys.stderr)
    for problem in draft.mistakes:
        print(problem, file=sys.stderr)
    if draft.notes:
        print("\nWhat the new run does otherwise, or could not take over:\n", file=sys.stderr)
    for problem in draft.notes:
        print(problem, file=sys.stderr)


def _finish(options: argparse.Namespace, path: Path, draft: Draft | None, problems: list[Problem]) -> None:
    if options.json:
        mistakes, notes = (draft.mistakes, draft.notes) if draft else ([], [])
        print_json({"file": path, "mistakes": mistakes, "notes": notes, "problems": problems})
        return
    _tell(draft)
    print(f"{chr(10) * (draft is not None)}written: {path}", file=sys.stderr)
    for problem in problems:
        print(f"to mend: {problem}", file=sys.stderr)
    for command, what in (
        ("validate", "check it"),
        ("render", "read the script that it becomes"),
        ("submit", "queue it"),
    ):
        print(f"  clusterrun {command} {path}".ljust(50) + f"  {what}", file=sys.stderr)
    print(path)
