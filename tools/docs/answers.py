"""Writes json.md, the reference of `--json` output, from the JSON Schemas of the answers."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clusterrun.json_output.answer_schema import answer_schema
from clusterrun.json_output.output_types import OUTPUTS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "json.md"
INTRODUCTION = """\
# JSON output

<!-- Written by tools/docs/answers.py from the types of the answers. Change those, and run it. -->

Every command but `schema` and `completion` takes `--json`: one value on stdout, \
and nothing else there. Messages go to stderr, and no question is asked. \
`clusterrun schema COMMAND` prints the JSON Schema (2020-12) of the \
command's output, from which this page is made. Version 0.2 renames keys once \
([old and new names](#names-before-02)). From 1.0 on, keys are only added within a major version: \
none is removed, and none changes its type or meaning.

If a command fails, stdout has a failure instead: `{"problems": [...]}`, \
each problem with `where`
(`file:line`, an option, or empty), `key` (as written in the spec), `message` and `hint`. \
[Exit codes](states-and-exit-codes.md#exit-codes-of-the-commands) are the same with and without \
`--json`. After a wrong command line (2), an interrupt (130) or an internal error (3), stdout \
stays empty.

Times are seconds since the epoch, durations are seconds, sizes bytes. What is not known is null, \
or empty for text; a number that JSON cannot represent, such as a loss of NaN, is null, too. \
No key is ever missing, unless the table says so. `status --watch --json` prints \
an object for each change, one per line; `render --json` belongs to `--explain`.
"""

RENAMED_KEYS = {
    "RunStatus (`status`, `list`, `wait`, ...)": (
        "total:total_steps submitted:submitted_at ends:time_limit_at ended:ended_at "
        "avoids:excluded_nodes"
    ),
    "`status`": (
        "doing:activity rate:samples_per_second step_seconds:seconds_per_step "
        "left:seconds_left living:active_runs"
    ),
    "Attempt": (
        "began:started_at ended:ended_at words:summary step_from:resumed_from_step "
        "step_to:last_step next:decision"
    ),
    "SavedCheckpoint": "time:saved_at next:used_on_resume",
    "`why`": "alive:liveness",
    "Waiting": (
        "means:meaning do:fix passes:temporary start:expected_start ahead:jobs_ahead facts:details"
    ),
    "Liveness (was Alive)": (
        "looks:looks_alive words:summary silent:seconds_since_progress doing:activity "
        "patience:hang_timeout"
    ),
    "Stopped": "words:summary means:meaning do:fix places:hang_locations",
    "FirstFailure": "means:meaning do:fix unread:unread_bytes",
    "HangLocation": "inner:innermost_call script:script_call",
    "Next": "words:summary",
    "`logs`": "number:line_number",
    "`report`": "run:status seconds:time_split rate:samples_per_second stories:timeline",
    "AttemptTimeline (was Story)": (
        "asked:waiting_since began:started_at first_step:first_step_at lost_from:lost_since "
        "trained:trained_until ended:ended_at split:time_split"
    ),
    "TimeSplit (was Split)": "start:startup ending:shutdown held:allocated",
    "`validate`": "least_nodes:min_nodes samples_a_step:samples_per_step",
    "`estimate`": "precision:mixed_precision would_fit:suggested_change",
    "StrategyEstimate": "states:model_states on_cpu:offloaded",
    "`submit --dry-run`": "slurm:slurm_response",
    "`rehearse`": (
        "how:interruption reference:reference_run_id left:stopped_at_step saved:saved_step "
        "back:resumed_from_step first:first_step_after"
    ),
    "LossComparison": (
        "after:compared_after first:first_step last:last_step largest:largest_difference "
        "largest_at:largest_difference_step differ_from:diverged_at_step "
        "before:compared_before largest_before:largest_difference_before"
    ),
    "WeightComparison": (
        "files:weight_files differing:differing_weight_files others:differing_other_files"
    ),
    "`clean`": "bytes:total_size",
    "CleanedItem": "bytes:size",
    "`notify`": "missed:failed words:messages",
    "A webhook's message (`notify`)": "run:run_id",
    "Finding (`doctor`)": "what:message remedy:fix",
    "Problem": "path:key what:message",
}
"""The keys that version 0.2 renamed: `old:new`, by the object that has them."""


def of_type(form: dict[str, Any]) -> str:
    """Name the type of a value; a link where it is an object of its own."""
    if "$ref" in form:
        name = form["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in form:
        return " or ".join(of_type(one) for one in form["anyOf"])
    if "enum" in form or "const" in form:
        return ", ".join(f"`{one}`" for one in form.get("enum", [form.get("const")]))
    if form.get("type") == "array":
        return (
            f"list of {of_type(form['items'])}"
            if form.get("items")
            else f"[{', '.join(pair(form))}]"
        )
    if form.get("type") == "object" and "additionalProperties" in form:
        return f"object of {of_type(form['additionalProperties'])}"
    kind = form.get("type", "any value")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def pair(form: dict[str, Any]) -> list[str]:
    """Name the types of a list of fixed length."""
    return [of_type(one) for one in form.get("prefixItems", [])]


def table(form: dict[str, Any]) -> Iterator[str]:
    """Write what an object is, and a row a key."""
    yield from ["| key | value | |", "|---|---|---|"]
    for name, inner in form["properties"].items():
        optional = "" if name in form.get("required", ()) else "may be missing. "
        description = f"{optional}{inner.get('description', '')}".replace("|", "\\|")
        yield f"| `{name}` | {of_type(inner)} | {description} |"


def command(name: str) -> Iterator[str]:
    """Write the section of one command."""
    schema = answer_schema(name)
    main, *rest = schema["anyOf"]
    yield from [f"## {name}", "", f"`clusterrun {name} --json`: {schema['description']}.", ""]
    for form in [main.get("items", main), *rest[:-1]]:
        kind = form.get("title", "")
        if kind in made_of():
            yield from [f"See [{kind}](#{kind.lower()}).", ""]
        else:
            yield from [form["description"].partition("\n")[0], "", *table(form), ""]


@functools.cache
def made_of() -> dict[str, Any]:
    """Collect what the answers are made of, by name."""
    found: dict[str, Any] = {}
    for name in OUTPUTS:
        found |= answer_schema(name)["$defs"]
    return dict(sorted(found.items()))


def inner() -> Iterator[str]:
    """Write what the answers are made of, each once."""
    for name, form in made_of().items():
        yield from [f"### {name}", "", form.get("description", "").partition("\n")[0], ""]
        yield from [*table(form), ""] if "properties" in form else [of_type(form), ""]


def renamed() -> Iterator[str]:
    """Write the old and the new names of keys and states."""
    yield from [
        "## Names before 0.2",
        "",
        "Version 0.2 renamed these keys, and the Python attributes of the same names.",
        "The states `VANISHED` and `NO_ANSWER` are now `LOST` and `UNKNOWN`.",
        "",
        "| object | old name → new name |",
        "|---|---|",
    ]
    for name, keys in RENAMED_KEYS.items():
        pairs = [key.split(":") for key in keys.split()]
        yield f"| {name} | {', '.join(f'`{old}` → `{new}`' for old, new in pairs)} |"


def page() -> str:
    """Return the whole page."""
    lines = [INTRODUCTION]
    for name in OUTPUTS:
        lines += command(name)
    return "\n".join([*lines, "## Types", "", *inner(), *renamed()]).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
