"""The command line: one parser, one file a command, one error boundary.

Data go to stdout, everything else to stderr.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Sequence

from clusterrun.cli.help import format_commands, format_examples
from clusterrun.version import __version__

COMMANDS = {
    "doctor": "what this cluster allows, and what stands in a run's way",
    "init": "write a first job spec, also from an old sbatch script",
    "schema": "the JSON Schema of a job spec, or of a command's --json",
    "validate": "check a job spec and the files it names",
    "estimate": "what a run needs of each GPU's memory, and whether it fits",
    "render": "show the whole sbatch script, on any machine",
    "submit": "queue a run, or start it here with --local",
    "rehearse": "stop a run as Slurm would, and prove that it comes back",
    "status": "what a run does now",
    "why": "why a run does not start, or stopped, and what comes next",
    "list": "all your runs",
    "logs": "what a run printed",
    "report": "where a run's time went, and its curves as a page",
    "wait": "wait until a run has ended",
    "cancel": "end a run at once",
    "stop": "let a run save and leave",
    "resume": "let a run that stopped or was given up go on",
    "requeue": "let a run save and come back, in the same job",
    "checkpoints": "what a run could go on from",
    "clean": "remove old runs, or old checkpoints",
    "notify": "send a test of a run's notifications",
    "completion": "print what lets a shell complete commands and runs",
}

_DESCRIPTION = (
    "Train with Accelerate on Slurm: submit a job spec, and the run lasts until it is done."
)
_EPILOG = (
    "RUN is a run id, the beginning of one, a job id, `last`, or a run folder; "
    "of a job array's task, RUN-TASK.\n"
    "exit codes: 0 well; 1 Slurm or the run said no; 2 your input is wrong; "
    "3 a bug, with a log file; 124 --timeout is over.\n"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = [*(sys.argv[1:] if argv is None else argv)]  # `list` is a command of this package
    if sys.stdout is None:  # closed by the shell, `>&-`
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - to the end of the process
    try:
        code = _run_or_report(words)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # the reader of stdout went away, as `head` does; Python must not complain at exit
        _discard_stdout()
        return 141
    except OSError as error:  # all others were reported
        _discard_stdout()
        print(f"stdout cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    return code


def _run_or_report(words: list[str]) -> int:
    """Run a command and report its error. Raises OSError if the error cannot be printed either."""
    try:
        return _run_command(words)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the one boundary
        return _report_error(error, words)


def _discard_stdout() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run_command(words: list[str]) -> int:
    if "_ARGCOMPLETE" in os.environ:
        from clusterrun.cli.shell_completion import complete  # noqa: PLC0415 - only when a shell asks

        complete(_build_parser)
    parser = _build_parser(words)
    options = parser.parse_args(words)
    if options.command is None:
        parser.print_help()
        return 0
    module = importlib.import_module(f"clusterrun.cli.commands.{options.command}")
    return int(module.run(options))


def _build_parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """Build the parser; only the options of the command that is called are loaded."""
    parser = argparse.ArgumentParser(
        prog="clusterrun",
        usage="clusterrun [-h] [--version] command ...",
        description=f"{_DESCRIPTION}\n\n{format_commands(COMMANDS)}",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"clusterrun {__version__}")
    commands = parser.add_subparsers(
        prog="clusterrun", dest="command", metavar="command", help=argparse.SUPPRESS
    )
    called = next((word for word in words if not word.startswith("-")), None)
    for name, what in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=what,
            description=what,
            epilog=format_examples(name),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name == called:
            importlib.import_module(f"clusterrun.cli.commands.{name}").add_options(command)
    return parser


_WRONG_FILES = (
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTCONN,
    errno.ENXIO,
    errno.ENODEV,
)


def _report_error(error: Exception, words: Sequence[str]) -> int:
    """Print an error: a mistake or a refusal in its own words, others as internal errors."""
    # `--help` starts faster without these
    from clusterrun.errors import ClusterError, ClusterrunError  # noqa: PLC0415
    from clusterrun.files.control_characters import make_printable  # noqa: PLC0415

    if isinstance(error, OSError) and (described := _describe_os_error(error)):
        error = ClusterError(*described)
    if not isinstance(error, ClusterrunError):
        return _report_internal_error(error, words)
    print(make_printable(str(error)), file=sys.stderr)
    if any(
        len(word) > 3 and "--json".startswith(word) for word in words
    ):  # argparse takes its beginnings, too
        from clusterrun.cli.output.printed_json import print_failure  # noqa: PLC0415 - likewise

        print_failure(error)
    return error.exit_code


def _describe_os_error(error: OSError) -> tuple[str, str] | None:
    """Return what the operating system refused, and a hint; None if the cause is not the user's."""
    from clusterrun.files.reading import UnreadableFileError  # noqa: PLC0415 - only for an error

    where = f"{error.filename}: " if error.filename else "stdout, or a file: "
    what = where + (error.strerror or str(error)).lower()
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return what, "whose it is, `ls -ld` tells"
    if isinstance(error, UnreadableFileError) or error.errno in _WRONG_FILES:
        return what, "move away what is there"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return what, "raise the limit of open files with ulimit -n"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EFBIG):
        return what, "`df -h` and `quota -s` tell of room"
    try:
        os.getcwd()  # noqa: PTH109 - no path is needed
    except FileNotFoundError:
        return "the working folder is not there any more", "cd to one that is"
    return None


def _report_internal_error(error: Exception, words: Sequence[str]) -> int:
    """Write the traceback to a file, and print one line that names it."""
    import platform  # noqa: PLC0415 - only for a bug
    import tempfile  # noqa: PLC0415 - likewise
    import traceback  # noqa: PLC0415 - likewise

    with tempfile.NamedTemporaryFile(
        "w", prefix="clusterrun-", suffix=".log", delete=False
    ) as file:
        print(
            f"clusterrun {__version__}, Python {platform.python_version()}, {platform.platform()}",
            file=file,
        )
        print("clusterrun", *words, file=file)
        traceback.print_exception(error, file=file)
    print(
        f"clusterrun: a bug: {type(error).__name__}: {error}\n  hint: please report it with "
        f"{file.name}",
        file=sys.stderr,
    )
    return 3
