"""The command line: one parser, one file per command, one error boundary.

Data goes to stdout, everything else to stderr.
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
    "doctor": "check what this cluster allows and what would keep runs from working",
    "init": "write a first job spec, or translate an old sbatch script",
    "schema": "print the JSON Schema of a job spec, or of a command's --json",
    "validate": "check a job spec and the files it names",
    "estimate": "estimate the memory that a run needs on each GPU, and whether it fits",
    "render": "print the complete sbatch script, on any machine",
    "submit": "queue a run, or start it on this machine with --local",
    "rehearse": "preempt a short run as Slurm would, and check that it resumes",
    "status": "show what a run is doing",
    "why": "explain why a run is pending or has stopped, and what comes next",
    "list": "list your runs",
    "best": "print the best member of a sweep, and its checkpoint",
    "compare": "compare runs, or the members of a sweep; --html writes a page with their curves",
    "logs": "print a run's output",
    "report": "show where a run's time went; --html writes a page with its curves",
    "diff": "show what differs between two runs, or between a run and the code now",
    "wait": "wait until a run has ended",
    "cancel": "cancel a run at once, without a checkpoint",
    "stop": "checkpoint a run and stop it",
    "resume": "resume a run that has stopped or failed",
    "requeue": "checkpoint a run and restart it in the same job",
    "checkpoints": "list a run's checkpoints",
    "clean": "remove old runs or old checkpoints",
    "notify": "send a test message to a run's notification targets",
    "completion": "print the shell code that completes commands and runs",
}

_DESCRIPTION = (
    "Train with Accelerate on Slurm: submit a job spec, and the run continues until it is done."
)
_EPILOG = (
    "RUN is a run id, the start of one, a job id, `last`, or a run folder.\n"
    "A task of a job array is RUN-TASK.\n"
    "exit codes: 0 success; 1 refused or failed; 2 invalid input; 3 internal error; "
    "124 timed out.\n"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = [*(sys.argv[1:] if argv is None else argv)]  # `list` is a command of this package
    if sys.stdout is None:  # closed by the shell, `>&-`
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - until the process exits
    try:
        code = _run_or_report(words)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # the reader of stdout has exited, like `head`; Python must print no error at exit
        _discard_stdout()
        return 141
    except OSError as error:  # _run_or_report has reported all others
        _discard_stdout()
        print(f"cannot write to stdout: {error.strerror}", file=sys.stderr)
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
    if (called := _find_command(words)) and called not in COMMANDS:
        _refuse_command(parser, called)
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
    called = _find_command(words)
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


def _find_command(words: Sequence[str]) -> str | None:
    """Return the first word that is not an option."""
    return next((word for word in words if not word.startswith("-")), None)


def _refuse_command(parser: argparse.ArgumentParser, called: str) -> None:
    """Exit with code 2, and propose a command with a similar name."""
    from difflib import get_close_matches  # noqa: PLC0415 - only for a mistyped command

    near = get_close_matches(called, COMMANDS, 1, 0.5)
    hint = f"did you mean {near[0]}?" if near else "see `clusterrun --help` for all commands"
    parser.exit(2, f"{called!r} is not a clusterrun command\n  hint: {hint}\n")


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
    """Print a known error as its message, and any other exception as an internal error."""
    # `--help` starts faster without these
    from clusterrun.errors import ClusterError, ClusterrunError  # noqa: PLC0415 - only for an error
    from clusterrun.files.control_characters import make_printable  # noqa: PLC0415 - same reason

    if isinstance(error, OSError) and (described := _describe_os_error(error)):
        error = ClusterError(*described)
    if not isinstance(error, ClusterrunError):
        return _report_internal_error(error, words)
    print(make_printable(str(error)), file=sys.stderr)
    if any(
        len(word) > 3 and "--json".startswith(word) for word in words
    ):  # argparse accepts its abbreviations, too
        from clusterrun.cli.output.printed_json import print_failure  # noqa: PLC0415 - same reason

        print_failure(error)
    return error.exit_code


def _describe_os_error(error: OSError) -> tuple[str, str] | None:
    """Describe what the operating system refused, with a hint; None for an internal error."""
    from clusterrun.files.reading import UnreadableFileError  # noqa: PLC0415 - only for an error

    where = f"{error.filename}: " if error.filename else "stdout or a file: "
    what = where + (error.strerror or str(error)).lower()
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return what, "check the owner with `ls -ld`"
    if isinstance(error, UnreadableFileError) or error.errno in _WRONG_FILES:
        return what, "move or replace that file"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return what, "raise the limit of open files with `ulimit -n`"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EFBIG):
        return what, "check the free space with `df -h` and `quota -s`"
    try:
        os.getcwd()  # noqa: PTH109 - no path is needed
    except FileNotFoundError:
        return "the working directory no longer exists", "cd to an existing directory"
    return None


def _report_internal_error(error: Exception, words: Sequence[str]) -> int:
    """Write the traceback to a file, and print the path of the file."""
    from clusterrun.cli.error_report import write_report  # noqa: PLC0415 - only for an error

    path, described = write_report(error, words)
    print(
        f"clusterrun: internal error: {described}\n  hint: please report it and attach {path}",
        file=sys.stderr,
    )
    return 3
