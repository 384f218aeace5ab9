"""The request that made a run, kept in its folder so that `resume` can render the script again."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from clusterrun.errors import ClusterError
from clusterrun.planning.preparation import Prepared, Request
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.records import read_record, write_record, write_whole
from clusterrun.run_folder.settings import FORMAT

# Texts that YAML 1.2 reads as numbers and 1.1, whose rules yaml.SafeDumper quotes by, does not.
_NUMBERS = re.compile(r"^(?:[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|0o[0-7]+)$")


class _Dumper(yaml.SafeDumper):
    """Quotes texts that would be read back as numbers."""


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
    """Write the resolved spec, then the intent: submission `number` is about to be queued.

    `settings` are the plan's. `after` is the last attempt before it; `array` are the tasks of the
    run, where not all of them are queued. Of all submissions it keeps when they were asked for, and
    behind which attempt.
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
        "batch": prepared.batch.in_words(),
        "array": array or prepared.loaded.spec.slurm.array or "",
        "request": json.dumps(request),
    }
    write_record(run.paths.intent, values)


def load_request(
    run: RunRef, spec: Path, overrides: Sequence[str], environment: Mapping[str, str]
) -> Request:
    """Return the request that made a run, with `spec`, a resolved spec it kept, as its source.

    Raises ClusterError for a run folder that was not made by `submit`.
    """
    kept = read_record(run.paths.intent).get("request")
    if kept is None or not spec.exists():
        what = f"{run.run_id} was not made by `clusterrun submit`, so its spec is not known here"
        job = (
            "empty `stop` and remove `cancelled` in its folder, then `scontrol requeue "
            f"{run.job_id}`"
        )
        hint = (
            f"while Slurm knows its job: {job}; the script, piped into sbatch again, begins a new "
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
    )


def _dump_spec(prepared: Prepared) -> str:
    """Return the resolved spec with an absolute working folder: it is kept in another folder."""
    resolved = prepared.loaded.spec.model_dump(mode="json", exclude_defaults=True)
    if prepared.loaded.chdir:
        resolved["slurm"]["chdir"] = prepared.loaded.chdir
    return yaml.dump(resolved, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
