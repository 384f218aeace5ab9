"""Query Slurm and this machine once each, and judge the answers."""

from __future__ import annotations

import getpass
import grp
import json
import os
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from clusterrun.errors import ClusterrunError, SpecError
from clusterrun.planning.preparation import Prepared, Request, prepare
from clusterrun.site_checks import disk, software
from clusterrun.site_checks.finding import PROBLEM, WARNING, Finding, ok, problem
from clusterrun.site_checks.partitions import Who, accounts_of, check_partitions
from clusterrun.site_checks.rules import check_slurm
from clusterrun.slurm.commands import installed
from clusterrun.slurm.site import Site, query_site


@dataclass(frozen=True)
class Examination:
    """All findings, and Slurm's answers."""

    findings: tuple[Finding, ...]
    """The findings, in order."""
    site: Site | None = None
    """Slurm's answers; None without Slurm on this machine."""

    @property
    def problems(self) -> int:
        """How many findings keep runs from working."""
        return sum(finding.verdict == PROBLEM for finding in self.findings)

    @property
    def warnings(self) -> int:
        """How many findings cost runs something."""
        return sum(finding.verdict == WARNING for finding in self.findings)


def doctor(
    request: Request | None = None,
    *,
    on_nodes: bool = False,
    timeout: float = 600.0,
    report_progress: Callable[[str], None] = lambda _: None,
) -> Examination:
    """Report what this cluster allows and what prevents runs; `on_nodes` adds a small test job.

    `request` gives profile, overrides and environment; its source is not read. `timeout` is in
    seconds, for the job. A mistake in the profile is a finding, not an error.
    """
    request = request or Request("")
    prepared, mistakes = _prepare_empty_spec(request)
    partition = prepared.loaded.spec.slurm.partition if prepared else None
    site = query_site(getpass.getuser()) if installed() else None
    findings = [*software.check_commands(), *(_check_site(site, partition) if site else [])]
    if site and not site.config.code:
        findings += software.check_status_query()
    findings += [software.check_containers(), *mistakes]
    if prepared is not None:
        findings += _check_machine(prepared)
    if on_nodes and site is not None and prepared is not None:
        findings = _merge_node_findings(findings, _check_nodes(request, timeout, report_progress))
    return Examination(tuple(findings), site)


def _prepare_empty_spec(request: Request) -> tuple[Prepared | None, list[Finding]]:
    """Load the profile and the overrides with an empty spec."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="doctor-", suffix=".yaml", encoding="utf-8"
    ) as file:
        file.write(json.dumps({"name": "doctor", "command": "true"}))
        file.flush()
        try:
            return prepare(replace(request, source=file.name)), []
        except SpecError as error:
            return None, [
                problem(
                    "profile", replace(one, hint="").__str__(), one.hint or "correct the profile"
                )
                for one in error.problems
            ]


def _check_site(site: Site, partition: str | None) -> list[Finding]:
    groups = frozenset(_group_name(number) for number in os.getgroups())
    hosts = frozenset({socket.gethostname(), socket.gethostname().partition(".")[0]})
    who = Who(groups, accounts_of(site), hosts)
    return [*check_slurm(site), *check_partitions(site, who, partition)]


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _check_machine(prepared: Prepared) -> list[Finding]:
    environment = prepared.loaded.spec.environment
    python = software.find_python(environment, prepared.work_dir)
    return [
        *disk.check_run_root(Path(os.path.normpath(prepared.run_root))),
        *disk.check_quota(disk.query_quota()),
        *software.check_python(python),
    ]


def _merge_node_findings(here: list[Finding], there: list[Finding]) -> list[Finding]:
    """Replace a guess about the run root by what the nodes saw."""
    shared = [finding for finding in there if finding.topic == "shared folder"]
    if not shared or any(finding.verdict == PROBLEM for finding in shared):
        return [*here, *there]
    seen = [
        ok(finding.topic, f"{finding.message}; the nodes see it") if _is_guess(finding) else finding
        for finding in here
    ]
    return [*seen, *there]


def _is_guess(finding: Finding) -> bool:
    return finding.topic == "run root" and finding.verdict == WARNING


def _check_nodes(
    request: Request, timeout: float, report_progress: Callable[[str], None]
) -> list[Finding]:
    from clusterrun.site_checks.node_rules import judge_visit  # noqa: PLC0415 - only with --on-nodes
    from clusterrun.site_checks.on_nodes import visit_nodes  # noqa: PLC0415

    try:
        return judge_visit(visit_nodes(request, timeout, report_progress))
    except ClusterrunError as error:
        what, _, hint = str(error).partition("\n  hint: ")
        return [
            problem(
                "on nodes",
                what,
                hint or "see Slurm's message; --set KEY=VALUE changes the job",
            )
        ]
