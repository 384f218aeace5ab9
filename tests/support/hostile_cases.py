"""A hostile value in every field of a spec that accepts it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clusterrun.errors import SpecError
from clusterrun.job_spec import load_spec
from clusterrun.planning.plan import LaunchPlan
from tests.support.planned import plan_of

# The spec's own keys, with a place for the value in every kind of field. Two specs, because some
# fields exclude each other. {} is the value; a field that refuses it is omitted.
FIELDS: dict[str, dict[str, Any]] = {
    "script": {
        "name": "{}",
        "script": "{}",
        "args.{}": "flag",
        "args.value": "{}",
        "args.values": ["first", "{}", "last"],
        "slurm.partition": "{}",
        "slurm.time": "{}",
        "slurm.gres": "{}",
        "slurm.comment": "{}",
        "slurm.constraint": "{}",
        "slurm.reservation": "{}",
        "slurm.additional_parameters.{}": "value",
        "slurm.additional_parameters.newest": "{}",
        "slurm.chdir": "{}",
        "accelerate.main_training_function": "{}",
        "accelerate.deepspeed_config.{}": 1,
        "accelerate.deepspeed_config.value": "{}",
        "accelerate.deepspeed_config.deep": {"list": ["{}"]},
        "environment.modules": ["{}"],
        "environment.venv": "{}",
        "environment.variables.{}": "value",
        "environment.variables.VALUE": "{}",
        "checkpoint.every": "{}",
        "checkpoint.signal": "{}",
        "share": "{}",
        "profile.run_root": "{}",
    },
    "module": {
        "module": "{}",
        "args": ["first", "{}", "last"],
        "slurm.account": "{}",
        "slurm.qos": "{}",
        "slurm.mem": "{}",
        "slurm.nodelist": "{}",
        "slurm.signal": "{}",
        "slurm.array": "{}",
        "accelerate.config_file": "{}",
        "accelerate.mixed_precision": "{}",
        "environment.conda": "{}",
        "environment.variables.OTHER": "{}",
        "environment.secrets": ["{}"],
    },
}
COMMAND = ("script", "module", "args", "accelerate")
FOLDERS = {"slurm.chdir", "environment.venv", "profile.run_root"}
BASE = {"name": "hostile", "slurm.nodes": 1}


def filled(pattern: Any, value: str) -> Any:
    """Replace {} by the value, in keys, values and lists."""
    if isinstance(pattern, dict):
        return {filled(key, value): filled(item, value) for key, item in pattern.items()}
    if isinstance(pattern, list):
        return [filled(item, value) for item in pattern]
    return pattern.replace("{}", value) if isinstance(pattern, str) else pattern


def flow(value: Any) -> str:
    """Write YAML with exactly this meaning, for any characters; `?` allows a key of any length."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"? {flow(key)} : {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    if not isinstance(value, str):
        return str(value)
    return (
        '"'
        + "".join(c if " " <= c <= "~" and c not in '"\\' else f"\\U{ord(c):08X}" for c in value)
        + '"'
    )


def nested(fields: dict[str, Any], value: str) -> dict[str, Any]:
    """Build a tree from dotted paths; the last part of a path may be the value itself."""
    tree: dict[str, Any] = {}
    for path, item in fields.items():
        *above, last = path.split(".")
        branch = tree
        for part in above:
            branch = branch.setdefault(part, {})
        branch[filled(last, value)] = filled(item, value)
    return tree


@dataclass
class Case:
    """One value in one or more fields, and the folder of the run."""

    folder: Path
    fields: dict[str, Any]
    value: str
    what_runs: str

    def plan(self) -> LaunchPlan:
        """Load and plan; raises SpecError if the value is refused."""
        base = BASE if self.what_runs in self.fields else {**BASE, "script": "train.py"}
        tree = nested({**base, **self.fields}, self.value)
        profile = None
        if "profile" in tree:
            profile = self.folder / "profile.yaml"
            profile.write_text(flow(tree.pop("profile")))
        (self.folder / "job.yaml").write_text(flow(tree))
        loaded = load_spec(self.folder / "job.yaml", profile=profile, folder=self.folder / "work")
        return plan_of(
            loaded.spec, source=self.value, version="test", chdir=loaded.chdir or str(self.folder / "work"),
            run_root=loaded.run_root,
        )  # fmt: skip

    def with_fields(self, fields: dict[str, Any]) -> Case:
        """The same case with other fields."""
        return Case(self.folder, fields, self.value, self.what_runs)


def accepted(case: Case) -> dict[str, Any]:
    """The fields that accept the value."""
    found = {}
    for path, item in case.fields.items():
        try:
            case.with_fields({path: item}).plan()
        except SpecError:
            continue
        found[path] = item
    return found


def groups(case: Case) -> Iterator[Case]:
    """The fields that accept the value, together; a long value takes one field at a time."""
    taken = accepted(case)
    alone = [path for path in taken if path.startswith(COMMAND) and len(case.value) > 1000]
    yield case.with_fields({path: item for path, item in taken.items() if path not in alone})
    yield from (case.with_fields({path: taken[path]}) for path in alone)
