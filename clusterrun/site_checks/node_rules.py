"""From what the nodes told to findings."""

from __future__ import annotations

import json
from collections.abc import Iterator

from clusterrun.site_checks.finding import Finding, ok, problem, warning
from clusterrun.site_checks.on_nodes import Exchange, Visit
from clusterrun.site_checks.software import check_versions

_SLOW_SECONDS = 10.0
_SKEW_SECONDS = 5.0
_LITTLE_TMP = 10**9
_LITTLE_SHM = 10**9  # DataLoader workers hand batches over there


def judge_visit(visit: Visit) -> list[Finding]:
    """Judge what one job on the nodes brought back."""
    if not visit.reports and not visit.exchanges:
        return [_judge_empty_visit(visit)]
    found = [line for node in sorted(visit.exchanges) for line in _judge_sharing(node, visit)]
    for node in sorted(visit.reports):
        found += _judge_node(visit.reports[node])
    if not visit.complete:
        found.append(
            problem(
                "on nodes",
                f"not every node has told all: {visit.state} {visit.reason}".strip(),
                _where_logs_are(visit),
            )
        )
    return [*found, *_judge_rendezvous(visit)]


def _where_logs_are(visit: Visit) -> str:
    return f"`clusterrun logs {visit.run_id}`; its folder is {visit.folder}"


def _judge_empty_visit(visit: Visit) -> Finding:
    if visit.state == "TIMEOUT":
        what = (
            f"the job did not begin in time ({visit.reason or 'no reason told'}) and was cancelled"
        )
        return warning(
            "on nodes", what, "again with a longer --timeout, or --set slurm.partition=..."
        )
    if visit.state == "COMPLETED":
        what = f"the job ran, but nothing of it is seen here in {visit.folder}"
        return problem("shared folder", what, "name a run_root that login machine and nodes share")
    return problem(
        "on nodes",
        f"the job ended without a word: {visit.state} ({visit.reason})",
        _where_logs_are(visit),
    )


def _node_name(node: int, visit: Visit) -> str:
    return visit.reports.get(node, {}).get("host") or f"node {node}"


def _judge_sharing(node: int, visit: Visit) -> Iterator[Finding]:
    exchange, host = visit.exchanges[node], _node_name(node, visit)
    if exchange.delay is None:
        what = f"{host}: its file is seen here, and ours was not answered"
        yield problem(
            "shared folder",
            what,
            "the run folder must be one file system for all; see the profile's run_root",
        )
        return
    what = f"{host}: a file from here was seen there and answered within {exchange.delay:.1f} s"
    if exchange.delay > _SLOW_SECONDS:
        remedy = "its caches are slow (NFS: actimeo): `clusterrun status` and `stop` lag as much"
        yield warning("shared folder", what, remedy)
    else:
        yield ok("shared folder", what)
    yield _judge_clock(host, exchange)


def _judge_clock(host: str, exchange: Exchange) -> Finding:
    skew, within = exchange.skew or 0.0, (exchange.delay or 0.0) / 2
    what = (
        f"{host}: {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} this machine's clock, "
        f"to {within:.1f} s"
    )
    if abs(skew) - within > _SKEW_SECONDS:
        return warning(
            "clock", what, "for your administrators: chrony or ntp; times in logs do not compare"
        )
    return ok("clock", what)


def _judge_node(report: dict[str, str]) -> list[Finding]:
    host = report.get("host", "?")
    return [*_judge_python(host, report), *_judge_space(host, report), _judge_gpus(host, report)]


def _judge_python(host: str, report: dict[str, str]) -> list[Finding]:
    where = f"{host}: {report.get('python') or 'no python'}"
    try:
        return check_versions(where, json.loads(report.get("versions", "")))
    except ValueError:
        words = report.get("versions") or "it said nothing"
        return [
            problem(
                "python",
                f"{where}: {words}",
                "name an environment that the nodes have: venv, conda or modules",
            )
        ]


def _judge_space(host: str, report: dict[str, str]) -> Iterator[Finding]:
    for key, folder, least in (("tmp", "/tmp", _LITTLE_TMP), ("shm", "/dev/shm", _LITTLE_SHM)):  # noqa: S108
        kilobytes = whole_or_none(report.get(key))
        if kilobytes is None:
            yield warning("node disk", f"{host}: {folder} could not be read", "see the job's log")
            continue
        what = f"{host}: {kilobytes * 1024 / 1e9:.1f} GB free in {folder}"
        yield (
            ok("node disk", what)
            if kilobytes * 1024 >= least
            else warning("node disk", what, _REMEDY[key])
        )


_REMEDY = {
    "tmp": "set TMPDIR in environment.variables to a folder with room",
    "shm": "use fewer DataLoader workers, or ask your administrators for a larger /dev/shm",
}


def whole_or_none(text: str | None) -> int | None:
    """Return a number of kilobytes; None where df gave none."""
    return int(text) if text and text.isdecimal() else None


def _judge_gpus(host: str, report: dict[str, str]) -> Finding:
    seen, given = report.get("gpus") or "0", report.get("given") or ""
    if given and given != "0" and seen == "0":
        what = f"{host}: Slurm gave {given} GPUs, and nvidia-smi shows none"
        return warning(
            "gpus",
            what,
            "nvidia-smi is not there, or the driver is not loaded; other makes have other tools",
        )
    if given and given != seen:
        what = f"{host}: Slurm gave {given} GPUs, and nvidia-smi shows {seen}"
        return warning(
            "gpus", what, "jobs here can see GPUs of other jobs (cgroup.conf: ConstrainDevices)"
        )
    if not given or given == "0":
        return ok(
            "gpus",
            f"{host}: none was asked for",
            "--set slurm.gpus-per-node=1 asks for one" if seen == "0" else "",
        )
    return ok("gpus", f"{host}: {seen}")


def _judge_rendezvous(visit: Visit) -> list[Finding]:
    if not visit.complete:
        return []
    words = {report.get("met", "") for report in visit.reports.values()}
    address = next(iter(visit.reports.values())).get("address", "?")
    if words == {"alone"}:
        return [
            ok(
                "rendezvous",
                "Slurm gave one node, so none had to be reached",
                "again when two are free",
            )
        ]
    if words == {"met"}:
        return [ok("rendezvous", f"the nodes met at {address}")]
    told = "; ".join(sorted(words - {"met"}))
    remedy = (
        "a firewall between the nodes, perhaps: ports 10000 to 29999 of the first node must be "
        "open to the others"
    )
    return [problem("rendezvous", f"the nodes did not meet at {address}: {told}", remedy)]
