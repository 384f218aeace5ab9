"""Run Slurm's commands, each with a timeout."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clusterrun.errors import ClusterError

# `status` has 10 s in total; squeue gives up on a dead slurmctld after 9 s (measured, Slurm 22.05).
ASK_SECONDS = 4.5
# At MaxJobCount, sbatch retries for 120 s (measured, Slurm 22.05).
SUBMIT_SECONDS = 60.0

# Slurm's commands read defaults from variables with these prefixes (the ENVIRONMENT VARIABLES of
# each man page): filters, formats, and the options of a surrounding job. The locale changes
# messages and numbers.
_CLIENT_PREFIXES = (
    "SLURM_",
    "SBATCH_",
    "SALLOC_",
    "SRUN_",
    "SQUEUE_",
    "SACCT_",
    "SACCTMGR_",
    "SINFO_",
    "SCONTROL_",
    "SCANCEL_",
    "SPRIO_",
    "SSHARE_",
    "SREPORT_",
    "LC_",
)
_LOCALE_VARIABLES = {"LANG", "LANGUAGE", "POSIXLY_CORRECT"}
# Slurm's location, the selected cluster, and the user's token.
_CONNECTION_VARIABLES = {"SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT"}


@dataclass(frozen=True)
class CommandResult:
    """The result of a command."""

    code: int
    out: str
    err: str


class NoAnswer(ClusterError):
    """Slurm did not respond in time or could not be reached, so nothing is known."""


def installed() -> bool:
    """Return whether this machine has Slurm's commands."""
    return shutil.which("sbatch") is not None


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Drop the variables that change Slurm's output or the job; keep those that locate Slurm."""
    return {
        name: value
        for name, value in environment.items()
        if name in _CONNECTION_VARIABLES
        or not (name.startswith(_CLIENT_PREFIXES) or name in _LOCALE_VARIABLES)
    }


def call(
    argv: Sequence[str],
    *,
    seconds: float = ASK_SECONDS,
    environment: Mapping[str, str] | None = None,
    keep_open: Sequence[int] = (),
) -> CommandResult:
    """Run a Slurm command in a clean environment; `keep_open` lists the inherited descriptors.

    Raises NoAnswer if it takes longer than `seconds`, ClusterError if it is not installed.
    """
    try:
        done = subprocess.run(
            list(argv),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
            stdin=subprocess.DEVNULL,
            pass_fds=keep_open,
            env=clean_environment(os.environ if environment is None else environment),
        )
    except subprocess.TimeoutExpired as error:
        raise NoAnswer(
            f"{argv[0]} did not respond within {seconds:g} s", "try again when Slurm is responding"
        ) from error
    except FileNotFoundError as error:
        hint = (
            "run this on a login node, or use `submit --local` to run without Slurm; "
            "`render` works anywhere"
        )
        raise ClusterError(f"{argv[0]} is not installed on this machine", hint) from error
    return CommandResult(done.returncode, done.stdout, done.stderr.strip())
