"""`clusterrun completion SHELL`: shell code that completes commands, options and run ids."""

from __future__ import annotations

import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "shell", choices=["bash", "zsh", "fish"], metavar="SHELL", help="bash, zsh or fish"
    )


def run(options: argparse.Namespace) -> int:
    """Print the shell's code."""
    from argcomplete.shell_integration import shellcode  # noqa: PLC0415 - only for this command

    print(shellcode(["clusterrun"], shell=options.shell))
    return 0
