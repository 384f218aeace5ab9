"""A first profile from Slurm's answers; every guess is marked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from clusterrun.errors import ClusterError, Problem, SpecError
from clusterrun.job_spec import gpus
from clusterrun.run_folder.records import write_whole
from clusterrun.site_checks.partitions import Who, accounts_of, why_closed
from clusterrun.slurm.site import Partition, Site, partitions

_VARIABLES = ("SCRATCH", "WORK", "PSCRATCH", "MYSCRATCH", "WORKDIR")
_FOLDERS = (
    "/scratch/$USER",
    "/scratch/users/$USER",
    "/gpfs/scratch/$USER",
    "/lustre/scratch/$USER",
)  # common names


def first_profile(site: Site | None, environment: Mapping[str, str]) -> str:
    """Return the text of a profile; without Slurm, only from this machine."""
    lines = [
        "# Defaults for every job spec, written by `clusterrun doctor`. Correct what is wrong."
    ]
    lines += _run_root_lines(environment)
    lines += _gpu_memory_lines(site)
    lines += ["slurm:", *_partition_lines(site), *_account_lines(site), *_time_lines(site)]
    lines += _environment_lines(environment)
    return "\n".join(lines) + "\n"


def write_profile(path: Path, text: str, *, force: bool) -> None:
    """Write a profile.

    Raises SpecError if the file exists without `force`, ClusterError if the disk refuses.
    """
    if path.exists() and not force:
        raise SpecError(
            [
                Problem(
                    "--write-profile", "", f"{path} already exists", "use --force to overwrite it"
                )
            ]
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text, 0o644)
    except OSError as error:
        raise ClusterError(
            f"{path}: {(error.strerror or str(error)).lower()}", "use another file"
        ) from error


def _run_root_lines(environment: Mapping[str, str]) -> list[str]:
    """Return the run root: a scratch folder if found, which is large and visible to all nodes."""
    for name in _VARIABLES:
        if environment.get(name) and _is_writable_folder(environment[name]):
            return [
                (
                    f"run_root: ${name}/runs     # where runs and checkpoints are stored; every "
                    "node must see it"
                )
            ]
    for folder in _FOLDERS:
        if _is_writable_folder(folder.replace("$USER", environment.get("USER", "?"))):
            return [
                (
                    f"run_root: {folder}/runs     # where runs and checkpoints are stored; every "
                    "node must see it"
                )
            ]
    return [
        (
            "# No scratch folder found. Use a folder with enough space for checkpoints, "
            "which every node sees."
        ),
        "run_root: ~/runs",
    ]


def _is_writable_folder(folder: str) -> bool:
    return Path(folder).is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _gpu_memory_lines(site: Site | None) -> list[str]:
    """Return a commented line: Slurm knows the names of GPUs, not their memory."""
    offered = [line.split("|")[-1] for line in site.nodes.out.splitlines()] if site else []
    types = sorted({name for text in offered for name in _gpu_types(text)})
    known = ", ".join(f"{name}: 80GB" for name in types) or "gpu: 80GB"
    return [f"# gpu_memory: {{{known}}}     # per GPU, for `estimate`; enter the real sizes"]


def _gpu_types(offered: str) -> list[str]:
    try:
        return gpus.list_types({"gres": offered})
    except ValueError:  # such as `no_consume`
        return []


def _partition_lines(site: Site | None) -> list[str]:
    known = partitions(site.partitions.out) if site else []
    who = Who(accounts=accounts_of(site)) if site else Who()
    usable = [one for one in known if not why_closed(one, who)]
    if not usable:
        return ["  # partition: gpu"]
    chosen = _choose_partition(usable, _partitions_with_gpus(site) if site else set())
    others = ", ".join(one.name for one in usable if one is not chosen)
    return [
        (
            "  partition: "
            f"{json.dumps(chosen.name)}{f'     # also open to you: {others}' if others else ''}"
        )
    ]


def _choose_partition(usable: Sequence[Partition], with_gpus: set[str]) -> Partition:
    """Choose a partition with GPUs if possible, preferably the default one."""
    return max(usable, key=lambda one: (one.name in with_gpus, one.default))


def _partitions_with_gpus(site: Site) -> set[str]:
    rows = [line.split("|") for line in site.nodes.out.splitlines()]
    return {row[0].rstrip("*") for row in rows if len(row) == 5 and "gpu" in row[4]}


def _account_lines(site: Site | None) -> list[str]:
    accounts = sorted(accounts_of(site)) if site else []
    if len(accounts) == 1:
        return [f"  account: {json.dumps(accounts[0])}"]
    known = f"     # yours: {', '.join(accounts)}" if accounts else ""
    return [f"  # account: {accounts[0] if accounts else 'my-project'}{known}"]


def _time_lines(site: Site | None) -> list[str]:
    return (
        [
            (
                "  # time: 12:00:00     # a shorter limit starts sooner; a run continues over "
                "as many as it needs"
            )
        ]
        if site
        else []
    )


def _environment_lines(environment: Mapping[str, str]) -> list[str]:
    lines = ["environment:"]
    if environment.get("VIRTUAL_ENV"):
        lines.append(f"  venv: {json.dumps(environment['VIRTUAL_ENV'])}     # the active one")
    elif environment.get("CONDA_PREFIX"):
        lines.append(f"  conda: {json.dumps(environment['CONDA_PREFIX'])}     # the active one")
    else:
        lines.append(
            "  # venv: ~/venvs/train     # or conda; default: the Python that is active at submit"
        )
    return [*lines, "  # modules: [cuda/12.4]"]
