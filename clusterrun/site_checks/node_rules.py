"""Findings from the reports of the nodes."""

from __future__ import annotations

import json
from collections.abc import Iterator

from clusterrun.site_checks.finding import Finding, ok, problem, warning
from clusterrun.site_checks.on_nodes import Exchange, Visit
from clusterrun.site_checks.software import check_versions

_SLOW_SECONDS = 10.0
_SKEW_SECONDS = 5.0
_LITTLE_TMP = 10**9
_LITTLE_SHM = 10**9  # DataLoader workers pass batches through it


def judge_visit(visit: Visit) -> list[Finding]:
    """Judge the reports of a job on the nodes."""
    if not visit.reports and not visit.exchanges:
        return [_judge_empty_visit(visit)]
    lines = [line for node in sorted(visit.exchanges) for line in _judge_sharing(node, visit)]
    for node in sorted(visit.reports):
        lines += _judge_node(visit.reports[node])
    if not visit.complete:
        lines.append(
            problem(
                "on nodes",
                f"some nodes have not reported everything: {visit.state} {visit.reason}".strip(),
                _where_logs_are(visit),
            )
        )
    return [*lines, *_judge_rendezvous(visit)]


def _where_logs_are(visit: Visit) -> str:
    return f"see `clusterrun logs {visit.run_id}`; its folder is {visit.folder}"


def _judge_empty_visit(visit: Visit) -> Finding:
    if visit.state == "TIMEOUT":
        what = f"the job did not start in time ({visit.reason or 'no reason'}) and was cancelled"
        return warning(
            "on nodes", what, "try again with a longer --timeout, or --set slurm.partition=..."
        )
    if visit.state == "COMPLETED":
        what = f"the job ran, but its files are not visible here in {visit.folder}"
        return problem(
            "shared folder",
            what,
            "set run_root to a folder that the login node and the nodes share",
        )
    return problem(
        "on nodes",
        f"the job ended without a report: {visit.state} ({visit.reason})",
        _where_logs_are(visit),
    )


def _node_name(node: int, visit: Visit) -> str:
    return visit.reports.get(node, {}).get("host") or f"node {node}"


def _judge_sharing(node: int, visit: Visit) -> Iterator[Finding]:
    exchange, host = visit.exchanges[node], _node_name(node, visit)
    if exchange.delay is None:
        what = f"{host}: its file is visible here, but it has not seen ours"
        yield problem(
            "shared folder",
            what,
            "set run_root to a file system that all nodes share",
        )
        return
    what = f"{host}: saw a file from here, and its answer arrived after {exchange.delay:.1f} s"
    if exchange.delay > _SLOW_SECONDS:
        fix = (
            "expect `clusterrun status` and `stop` to lag as much: file caches are slow "
            "(NFS: actimeo)"
        )
        yield warning("shared folder", what, fix)
    else:
        yield ok("shared folder", what)
    yield _judge_clock(host, exchange)


def _judge_clock(host: str, exchange: Exchange) -> Finding:
    skew, within = exchange.skew or 0.0, (exchange.delay or 0.0) / 2
    what = (
        f"{host}: {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} this machine's clock, "
        f"within {within:.1f} s"
    )
    if abs(skew) - within > _SKEW_SECONDS:
        return warning(
            "clock",
            what,
            "ask your administrators to set up chrony or ntp; times in logs are not comparable",
        )
    return ok("clock", what)


def _judge_node(report: dict[str, str]) -> list[Finding]:
    host = report.get("host", "?")
    return [*_judge_python(host, report), *_judge_space(host, report), _judge_gpus(host, report)]


def _judge_python(host: str, report: dict[str, str]) -> list[Finding]:
    where = f"{host}: {report.get('python') or 'no Python'}"
    try:
        return check_versions(where, json.loads(report.get("versions", "")))
    except ValueError:
        words = report.get("versions") or "no output"
        return [
            problem(
                "python",
                f"{where}: {words}",
                "use an environment that the nodes have: venv, conda or modules",
            )
        ]


def _judge_space(host: str, report: dict[str, str]) -> Iterator[Finding]:
    for key, folder, least in (("tmp", "/tmp", _LITTLE_TMP), ("shm", "/dev/shm", _LITTLE_SHM)):  # noqa: S108
        kilobytes = whole_or_none(report.get(key))
        if kilobytes is None:
            yield warning("node disk", f"{host}: cannot read {folder}", "see the job's log")
            continue
        what = f"{host}: {kilobytes * 1024 / 1e9:.1f} GB free in {folder}"
        yield (
            ok("node disk", what)
            if kilobytes * 1024 >= least
            else warning("node disk", what, _REMEDY[key])
        )


_REMEDY = {
    "tmp": "set TMPDIR in environment.variables to a folder with free space",
    "shm": "use fewer DataLoader workers, or ask your administrators for a larger /dev/shm",
}


def whole_or_none(text: str | None) -> int | None:
    """Return a number of kilobytes; None if df printed none."""
    return int(text) if text and text.isdecimal() else None


def _judge_gpus(host: str, report: dict[str, str]) -> Finding:
    seen, requested = report.get("gpus") or "0", report.get("given") or ""
    if requested and requested != "0" and seen == "0":
        what = f"{host}: Slurm allocated {requested} GPUs, but nvidia-smi shows none"
        return warning(
            "gpus",
            what,
            "check that nvidia-smi and the driver are installed; ignore this for other vendors",
        )
    if requested and requested != seen:
        what = f"{host}: Slurm allocated {requested} GPUs, but nvidia-smi shows {seen}"
        return warning(
            "gpus",
            what,
            "jobs can see the GPUs of other jobs: ask for ConstrainDevices in cgroup.conf",
        )
    if not requested or requested == "0":
        return ok(
            "gpus",
            f"{host}: none requested",
            "request one with --set slurm.gpus-per-node=1" if seen == "0" else "",
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
                "Slurm allocated one node, so no connection was tested",
                "try again when two nodes are free",
            )
        ]
    if words == {"met"}:
        return [ok("rendezvous", f"the nodes met at {address}")]
    failures = "; ".join(sorted(words - {"met"}))
    fix = "check the firewall: the other nodes must reach ports 10000 to 29999 of the first node"
    return [problem("rendezvous", f"the nodes did not meet at {address}: {failures}", fix)]
