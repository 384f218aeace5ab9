"""The files that `init` writes, and the remaining problems in them."""

from __future__ import annotations

import json
import os
from pathlib import Path

from clusterrun.errors import Problem, SpecError
from clusterrun.files.reading import read_text
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
    """Return a spec's text below two comment lines: one for editors, and `first`."""
    return f"# yaml-language-server: $schema={SCHEMA_FILE}\n# {first}\n{text}"


def write_schema(folder: Path) -> bool:
    """Write the schema next to a folder's specs, where editors find it by its relative path.

    Return False if a file of that name is not our schema.
    """
    path = folder / SCHEMA_FILE
    text = json.dumps(json_schema(), indent=1) + "\n"
    if path.exists() and TITLE not in read_text(path, errors="replace"):
        return False
    path.write_text(text, encoding="utf-8")
    return True


def text_of_draft(draft: Draft, source: str, *, cwd: Path, folder: Path) -> str:
    """Return the text of a spec from an old script in `cwd`, to be written to `folder`."""
    slurm = dict(draft.values["slurm"])
    if "chdir" in slurm and not Path(slurm["chdir"]).is_absolute():
        slurm["chdir"] = os.path.relpath(cwd / slurm["chdir"], folder)
    text = write_spec({**draft.values, "slurm": slurm}, draft.comments)
    return add_heading(text, f"Translated from {source} by `clusterrun init --from-sbatch`.")


def text_of_request(request: SpecRequest, *, cwd: Path, folder: Path) -> str:
    """Return the text of a new spec, to be written to `folder`."""
    return add_heading(
        new_spec(request, cwd=cwd, folder=folder),
        "All keys: docs/reference/job-spec.md, or `clusterrun schema`.",
    )


def find_problems(path: str, profile: str | None) -> list[Problem]:
    """Return the problems that `clusterrun validate` finds in a spec."""
    try:
        return [*prepare(Request(path, profile=profile)).problems]
    except SpecError as error:
        return [*error.problems]


def site_defaults(profile: str | None) -> set[str]:
    """Return the sbatch options that the site's profile sets. Raises SpecError if it is invalid."""
    path = find_profile(profile, os.environ)
    if path is None:
        return set()
    values = read_yaml(read_text(path), str(path)).value
    slurm = values.get("slurm") if isinstance(values, dict) else None
    return {name.replace("_", "-") for name in slurm} if isinstance(slurm, dict) else set()
