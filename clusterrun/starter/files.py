"""The files that `init` writes next to each other, and what is still wrong with them."""

from __future__ import annotations

import json
import os
from pathlib import Path

from clusterrun.errors import Problem, SpecError
from clusterrun.job_spec.json_schema import TITLE, json_schema
from clusterrun.job_spec.profile import find_profile
from clusterrun.job_spec.writing import write_spec
from clusterrun.job_spec.yaml_text import read_yaml
from clusterrun.planning.preparation import Request, prepare
from clusterrun.starter.first_spec import SpecRequest, new_spec
from clusterrun.starter.from_sbatch.draft import Draft

SCHEMA_FILE = ".clusterrun.schema.json"


def add_heading(
    text: str,
    first: str,
) -> str:
    """Return a spec's text below the line for editors, and what it is."""
    return f"# yaml-language-server: $schema={SCHEMA_FILE}\n# {first}\n{text}"


def write_schema(folder: Path) -> bool:
    """Put the schema next to a folder's specs, where editors find it by its relative path.

    Returns False where a file of that name is somebody else's.
    """
    path = folder / SCHEMA_FILE
    text = json.dumps(json_schema(), indent=1) + "\n"
    if path.exists() and TITLE not in path.read_text(encoding="utf-8", errors="replace"):
        return False
    path.write_text(text, encoding="utf-8")
    return True


def text_of_draft(draft: Draft, source: str, *, cwd: Path, folder: Path) -> str:
    """Return the text of a spec made from an old script in `cwd`, to be written to `folder`."""
    slurm = dict(draft.values["slurm"])
    if "chdir" in slurm and not Path(slurm["chdir"]).is_absolute():
        slurm["chdir"] = os.path.relpath(cwd / slurm["chdir"], folder)
    text = write_spec({**draft.values, "slurm": slurm}, draft.comments)
    return add_heading(text, f"What {source} did, made from it by `clusterrun init --from-sbatch`.")


def text_of_request(request: SpecRequest, *, cwd: Path, folder: Path) -> str:
    """Return the text of a new spec, with its first lines."""
    return add_heading(
        new_spec(request, cwd=cwd, folder=folder),
        "All keys: docs/reference/job-spec.md, or `clusterrun schema`.",
    )


def find_problems(path: str, profile: str | None) -> list[Problem]:
    """Return what `clusterrun validate` finds in a spec that was just written."""
    try:
        return [*prepare(Request(path, profile=profile)).problems]
    except SpecError as error:
        return [*error.problems]


def site_defaults(profile: str | None) -> set[str]:
    """Return the sbatch options that the site's profile sets. Raises SpecError if it is invalid."""
    path = find_profile(profile, os.environ)
    if path is None:
        return set()
    values = read_yaml(path.read_text(encoding="utf-8"), str(path)).value
    slurm = values.get("slurm") if isinstance(values, dict) else None
    return {name.replace("_", "-") for name in slurm} if isinstance(slurm, dict) else set()
