"""A site's way to request GPUs, from its profile: `gpus_as`, and GPUs that Slurm does not count.

Some sites refuse `gpus-per-node`, others `gres`. On others (TACC, many cloud clusters) GPUs are no
generic resource (GRES): a job gets whole nodes with all their GPUs, and any request for GPUs is
refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from clusterrun.job_spec import gpus, grammar
from clusterrun.job_spec.layers import Layers
from clusterrun.job_spec.values import name_kind

WITHOUT_GRES = "gpus_per_node_without_gres"
"""The key of the number of GPUs of a node: in a profile, and below `slurm`."""
_WAYS = ("gres", "gpus-per-node")


@dataclass(frozen=True)
class SiteGpus:
    """What a profile says about requests for GPUs."""

    without_gres: dict[str, int]
    """The GPUs of each node by partition; "" for every partition."""
    way: str | None
    """The option that the site accepts; None: any."""


def read_site_gpus(layers: Layers) -> SiteGpus:
    """Remove the profile's keys from the values, and return what they say; record mistakes."""
    way = layers.values.pop("gpus_as", None)
    if way not in (None, *_WAYS):
        layers.add_problem(("gpus_as",), f"must be one of {', '.join(_WAYS)}, got {way!r}")
        way = None
    counts = layers.values.pop(WITHOUT_GRES, None)
    counts = counts if isinstance(counts, dict) else {} if counts is None else {"": counts}
    for partition, count in [*counts.items()]:
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            got = count if isinstance(count, int) else name_kind(count)
            path = (WITHOUT_GRES, partition) if partition else (WITHOUT_GRES,)
            layers.add_problem(path, f"must be a number of GPUs, or one by partition, got {got}")
            del counts[partition]
    return SiteGpus(counts, way)


def use_site_gpus(layers: Layers, site: SiteGpus) -> None:
    """Request GPUs in the site's way: the spec's way replaces the profile's, and becomes it."""
    slurm = layers.values.get("slurm")
    if slurm is None:
        slurm = layers.values["slurm"] = {}
    if not isinstance(slurm, dict):
        return
    try:
        _drop_default_ways(layers, slurm)
        requests = gpus.find_requests(slurm)
        nodes = grammar.most_nodes(grammar.check_nodes(str(slurm.get("nodes", 1))))
        each = gpus.count_per_node(slurm, nodes)
    except ValueError:
        return  # reported by check_gpus
    if len(requests) > 1 or any(name not in map(_with_dashes, slurm) for name in requests):
        return  # the former is refused, the latter is below additional_parameters
    use_cpu = (layers.values.get("accelerate") or {}).get("use_cpu") is True
    count = _count_without_gres(layers, site, slurm)
    if count and (requests or not use_cpu) and WITHOUT_GRES not in slurm:
        _check_count(layers, requests, each, count)
        _remove_requests(slurm)
        slurm[WITHOUT_GRES] = count
        layers.where["slurm", WITHOUT_GRES] = layers.line_of((WITHOUT_GRES,))
    elif site.way and requests and [*requests] != [site.way] and each * nodes:
        _rewrite(layers, slurm, site.way, requests, each, nodes)


def _with_dashes(key: str) -> str:
    return key.replace("_", "-")


def _drop_default_ways(layers: Layers, slurm: dict[str, Any]) -> None:
    """Drop the profile's requests for GPUs if the spec has its own."""
    ways = [key for key in slurm if gpus.find_requests({key: slurm[key]})]
    if {("slurm", key) for key in ways} - layers.defaults:
        layers.drop_defaults("slurm", ways)


def _count_without_gres(layers: Layers, site: SiteGpus, slurm: dict[str, Any]) -> int | None:
    names = str(slurm.get("partition") or "").split(",")
    counts = {site.without_gres.get(name, site.without_gres.get("")) for name in names}
    if len(counts) > 1:
        what = "the nodes of these partitions have different numbers of GPUs"
        layers.add_problem(("slurm", "partition"), what, "name one partition")
        return None
    return next(iter(counts))


def _check_count(
    layers: Layers, requests: dict[str, list[gpus.GpuRequest]], each: int, count: int
) -> None:
    if requests and each != count:
        key = next(iter(requests)).replace("-", "_")
        what = f"{each} per node, but a job gets whole nodes here, with {count} GPUs each"
        layers.add_problem(("slurm", key), what, "delete it: all GPUs of each node are used")


def _remove_requests(slurm: dict[str, Any]) -> None:
    for key in [*slurm]:
        if _with_dashes(key) in gpus.LISTS:
            rest = gpus.without_gpus(str(slurm[key]))
            if rest:
                slurm[key] = rest
            else:
                del slurm[key]
        elif _with_dashes(key) in gpus.COUNTS and key != WITHOUT_GRES:
            del slurm[key]


def _rewrite(
    layers: Layers,
    slurm: dict[str, Any],
    way: str,
    requests: dict[str, list[gpus.GpuRequest]],
    each: int,
    nodes: int,
) -> None:
    """Replace a request by the same one in another option; one of several types stays."""
    (name, listing), *_ = requests.items()
    if len(listing) != 1 or (name in ("gpus", "tres-per-job") and listing[0].count % nodes):
        return
    where = layers.line_of(("slurm", name.replace("-", "_")))
    _remove_requests(slurm)
    kind = listing[0].type
    if way == "gres":
        one = f"gpu:{kind}:{each}" if kind else f"gpu:{each}"
        slurm["gres"] = ",".join(filter(None, (one, slurm.get("gres"))))
    else:
        slurm["gpus_per_node"] = f"{kind}:{each}" if kind else str(each)
    layers.where["slurm", way.replace("-", "_")] = where
