"""The request of a run, saved in its folder so that `resume` can render the script again."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from clusterrun.errors import ClusterError
from clusterrun.job_spec.layers import split_key
from clusterrun.job_spec.parameters import escape, format_parameters
from clusterrun.job_spec.yaml_text import YamlFloat, YamlInt
from clusterrun.planning.members import Members
from clusterrun.planning.preparation import Prepared, Request
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.records import read_record, write_record, write_whole
from clusterrun.run_folder.settings import FORMAT
from clusterrun.submission.saved_code import save_code

# Texts that are numbers in YAML 1.2 but not in 1.1, whose quoting rules yaml.SafeDumper uses.
_NUMBERS = re.compile(r"^(?:[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|0o[0-7]+)$")


class _Dumper(yaml.SafeDumper):
    """A dumper that quotes texts that would be read as numbers."""


def _dump_number(dumper: yaml.SafeDumper, number: YamlInt | YamlFloat) -> yaml.Node:
    """Return a number as the user wrote it: a sweep passes `1e-4` on as that text."""
    kind = "int" if isinstance(number, int) else "float"
    return dumper.represent_scalar(f"tag:yaml.org,2002:{kind}", number.text)


_Dumper.add_representer(YamlInt, _dump_number)
_Dumper.add_representer(YamlFloat, _dump_number)
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(rf"^(?:{_NUMBERS.pattern})$"), list("-+.0123456789")
)


def save_request(
    run: RunRef,
    prepared: Prepared,
    settings: Mapping[str, object],
    number: int = 1,
    after: str = "",
    array: str = "",
) -> None:
    """Write the resolved spec, then the intent to queue submission `number`.

    `settings` come from the plan. `after` is the last attempt before the submission; `array` lists
    the tasks if only some are queued. The intent also keeps the time of each submission and the
    last attempt before it.
    """
    write_whole(run.paths.spec, _dump_spec(prepared))
    write_record(run.paths.settings, settings)
    request = {
        "source": str(Path(prepared.request.source).absolute()),
        "work_dir": str(prepared.work_dir),
        "templates": [str(folder.absolute()) for folder in prepared.templates],
    }
    now, earlier = int(time.time()), read_record(run.paths.intent).get("asked", "")
    comment = (prepared.loaded.spec.slurm.__pydantic_extra__ or {}).get("comment") or ""
    values = {
        "format": FORMAT,
        "run_id": run.run_id,
        "time": now,
        "number": number,
        "after": after,
        "asked": f"{earlier} {now}:{after}".strip(),
        "comment": comment,
        "parameters": format_parameters(prepared.loaded.spec.parameters),
        "code": save_code(run.paths, prepared),
        "batch": prepared.batch.in_words(),
        "metric": _format_metric(prepared),
        "array": array or prepared.loaded.spec.slurm.array or "",
        "request": json.dumps(request),
    }
    write_record(run.paths.intent, values)


def _format_metric(prepared: Prepared) -> str:
    """Return the goal and the name of a sweep's metric; empty without one."""
    section = prepared.members.section.get("metric") if prepared.members else None
    return f"{section.get('goal', 'min')} {section.get('name', 'loss')}" if section else ""


def load_request(
    run: RunRef,
    spec: Path,
    overrides: Sequence[str],
    environment: Mapping[str, str],
    tasks: str | None = None,
) -> Request:
    """Return the request of a run, with its saved, resolved spec `spec` as the source.

    `tasks` are the members of a sweep to run. Raises ClusterError for a run folder that `submit`
    did not create.
    """
    kept = read_record(run.paths.intent).get("request")
    if kept is None or not spec.exists():
        what = f"{run.run_id} was not created by `clusterrun submit`, so its spec is unknown"
        job = (
            "empty `stop` and remove `cancelled` in its folder, then run `scontrol requeue "
            f"{run.job_id}`"
        )
        hint = (
            f"while Slurm knows its job: {job}; piping the script into sbatch again starts a new "
            "run"
        )
        raise ClusterError(what, hint)
    values: dict[str, Any] = json.loads(kept)
    return Request(
        str(spec),
        tuple(overrides),
        "",
        tuple(values["templates"]),
        environment,
        Path(values["work_dir"]),
        own_python=False,
        tasks=tasks,
    )


def _dump_spec(prepared: Prepared) -> str:
    """Return the resolved spec with an absolute working directory, as its folder changes."""
    spec = prepared.loaded.spec
    resolved = spec.model_dump(mode="json", exclude_defaults=True)
    if prepared.loaded.chdir:
        resolved["slurm"]["chdir"] = prepared.loaded.chdir
    if prepared.members:
        _restore_sweep(resolved, prepared.members)
    resolved = escape(resolved, spec.parameters)
    return yaml.dump(resolved, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _restore_sweep(resolved: dict[str, Any], members: Members) -> None:
    """Replace the values of the first member by those of the spec, and add the sweep."""
    resolved["name"] = members.template
    resolved["sweep"] = dict(members.section)
    del resolved["slurm"]["array"]
    for path in {one.path for member in members.every for one in member.row}:
        *above, key = split_key(path)
        base: Any = members.base
        section: Any = resolved
        for part in above:
            base = (base or {}).get(part)
            section = section.get(part) or {}
        if key in (base or {}):
            section[key] = (base or {})[key]
        else:
            section.pop(key, None)
