"""The GPUs that sbatch's options request: the only parser of their values.

Source: sbatch(1), and what `sbatch --test-only` of Slurm 22.05 accepts. A type is any word without
`:`, `,` and `(`, such as `a100`, `3090`, `1g.10gb` or `nvidia_a100_3g.20gb`; a number alone is
always a count, so `gpu:3090` requests 3090 GPUs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

COUNT = re.compile(r"(?:(?P<type>[^\s:=,(]+):)?(?P<count>\d{1,7})", re.ASCII)
_ITEM = re.compile(
    r"(?:gres[:/])?gpu(?:[:=](?P<type>(?!\d+[kmgtp]?(?:\(|$))[^\s:=,(]+))?(?:[:=](?P<count>\d{1,7}))?(?:\([^)]*\))?",
    re.ASCII | re.IGNORECASE,
)
_SHARES = ("shard", "mps")  # parts of one GPU (gres.conf(5))
_BETWEEN_ITEMS = re.compile(r",(?![^(]*\))")

COUNTS = (
    "gpus-per-node-without-gres",
    "gpus-per-node",
    "gpus-per-task",
    "gpus-per-socket",
    "gpus",
)
"""Options whose value is a number of GPUs; the first one is not sbatch's."""
LISTS = ("gres", "tres-per-node", "tres-per-task", "tres-per-socket", "tres-per-job")
"""Options whose value is a list of resources, GPUs among them."""
MOST_OF_NODE = 128
"""No node has more, MIG instances included; a larger count was meant as a type."""


@dataclass(frozen=True)
class GpuRequest:
    """A number of GPUs of one type."""

    count: int
    type: str = ""
    """As the site names it; empty for any type."""


def parse_count(text: str) -> GpuRequest:
    """Parse the value of `gpus`, `gpus-per-node` and similar options: `4` or `a100:4`.

    Raises ValueError for anything else.
    """
    match = COUNT.fullmatch(text)
    if not match:
        raise ValueError(f"{text[:80]!r} is not a number of GPUs\n{_propose_count(text)}")
    return GpuRequest(int(match["count"]), match["type"] or "")


def _propose_count(text: str) -> str:
    """Return a hint: the count of a gres such as `gpu:4`, or one GPU of a type such as `a100`."""
    gres = _ITEM.fullmatch(text)
    times = re.fullmatch(r"(\d{1,3}) *x? *([A-Za-z]\w*)", text)
    if gres:
        return (
            f"write {gres['type']}:{gres['count'] or 1}"
            if gres["type"]
            else (f"write {gres['count'] or 1}")
        )
    if times:
        return f"write {times[2]}:{times[1]}"
    return (
        f"write {text}:1"
        if re.fullmatch(r"(?=.*\d)[a-z][\w.-]*", text)
        else ("write a number, such as 4 or a100:4")
    )


def check_count(text: str) -> str:
    """Check the value of `gpus` and similar options, and return it as written.

    Raises ValueError for anything else, and for zero.
    """
    request = parse_count(text)
    if request.type.lower() == "gpu":
        raise ValueError(f"{text[:80]!r} is not a number of GPUs\nwrite {request.count}")
    if request.count == 0:
        raise ValueError("must be at least 1, got 0\ndelete the key for a run on CPUs")
    return text


def parse_list(text: str) -> list[GpuRequest]:
    """Parse the GPUs in a list of resources, such as `gpu:a100:4,tmp:1` or `cpu=8,gres/gpu:2`.

    Raises ValueError for a GPU that cannot be read.
    """
    items = [item.strip() for item in _BETWEEN_ITEMS.split(text)]
    shares = [
        GpuRequest(1)
        for item in items
        if _resource_name(item) in _SHARES and not item.endswith((":0", "=0"))
    ]
    return [_parse_item(item) for item in items if _resource_name(item) == "gpu"] + shares[:1]


def without_gpus(text: str) -> str:
    """Return a list of resources without its GPUs."""
    items = [item.strip() for item in _BETWEEN_ITEMS.split(text)]
    return ",".join(item for item in items if _resource_name(item) not in ("gpu", *_SHARES))


def other_gpu_resources(text: str) -> list[str]:
    """List the resources that have `gpu` in their name but are not GPUs, such as `gpumem:20g`."""
    items = [item.strip() for item in _BETWEEN_ITEMS.split(text)]
    return [item for item in items if "gpu" in item.lower() and _resource_name(item) != "gpu"]


def _resource_name(item: str) -> str:
    match = re.match(r"(?:gres[:/])?([^:=(]*)", item)
    return match[1].lower() if match else ""


def _parse_item(item: str) -> GpuRequest:
    match = _ITEM.fullmatch(item)
    if not match:
        raise ValueError(f"{item[:80]!r} is not a GPU request such as gpu:4 or gpu:a100:4")
    return GpuRequest(int(match["count"] or 1), match["type"] or "")


def find_requests(options: Mapping[str, Any]) -> dict[str, list[GpuRequest]]:
    """Return the GPUs that each option requests, by the option's name.

    `options` are those of a spec's `slurm` section, with dashes or underscores. Raises ValueError
    for a value that cannot be parsed.
    """
    requests: dict[str, list[GpuRequest]] = {}
    for name, value in _list_options(options):
        if name in COUNTS:
            requests[name] = [parse_count(str(value))]
        elif name in LISTS and (listing := parse_list(str(value))):
            requests[name] = listing
    return requests


def _list_options(options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """List options by their names with dashes, also those in `additional_parameters`."""
    extra = options.get("additional_parameters")
    for key, value in [*options.items(), *(extra.items() if isinstance(extra, Mapping) else ())]:
        if value is not None and value is not False:
            yield str(key).replace("_", "-"), value


def are_requested(options: Mapping[str, Any]) -> bool:
    """Return whether a job requests GPUs with any of sbatch's options."""
    return any(
        request.count for requests in find_requests(options).values() for request in requests
    )


def count_per_node(options: Mapping[str, Any], nodes: int, tasks: int = 1) -> int:
    """Return the GPUs of each of `nodes` nodes with `tasks` tasks each; 0 if not known."""
    counts = {
        name: sum(one.count for one in listing) for name, listing in find_requests(options).items()
    }
    for name in ("gpus-per-node-without-gres", "gpus-per-node", "gres", "tres-per-node"):
        if counts.get(name):
            return counts[name]
    for name in ("gpus-per-task", "tres-per-task"):
        if counts.get(name):
            return counts[name] * tasks
    return (counts.get("gpus") or counts.get("tres-per-job") or 0) // max(nodes, 1)


def list_types(options: Mapping[str, Any]) -> list[str]:
    """Return the types of the GPUs that a job requests, as the site names them."""
    return [one.type for listing in find_requests(options).values() for one in listing if one.type]
