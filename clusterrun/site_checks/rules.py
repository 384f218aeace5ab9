"""Check Slurm's configuration for what affects runs in every partition. Source: slurm.conf(5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import chain

from clusterrun.site_checks.finding import Finding, ok, problem, warning
from clusterrun.slurm.commands import CommandResult
from clusterrun.slurm.site import Site, configuration, listed_value, seconds_in

TESTED = ("22.05", "24.11", "26.05")
_CRED_EXPIRE = 120  # AuthInfo's default
_LITTLE_KILL_WAIT = 10

Config = Mapping[str, str]


def check_slurm(site: Site) -> list[Finding]:
    """Return the findings from Slurm's answers; only one if slurmctld is not responding."""
    if site.config.code:
        return [_report_no_answer(site.config)]
    config = configuration(site.config.out)
    one = (
        _check_version,
        _check_requeue,
        _check_requeue_delay,
        _check_expedited_requeue,
        _check_preemption,
        _check_kill_wait,
        _check_limits,
        _check_process_tracking,
    )
    return [
        *(rule(config) for rule in one),
        *chain(_check_accounting(site, config), [_check_pyxis(site.srun)]),
    ]


def _report_no_answer(answer: CommandResult) -> Finding:
    words = answer.err.splitlines()[-1] if answer.err else "scontrol failed without a message"
    return problem(
        "slurm",
        f"slurmctld is not responding: {words}",
        "try again later; `scontrol ping` shows its state",
    )


def parse_version(config: Config) -> tuple[int, int]:
    """Return Slurm's version as two numbers; (0, 0) if unknown."""
    match = re.match(r"(\d+)\.(\d+)", config.get("SLURM_VERSION", ""))
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _check_version(config: Config) -> Finding:
    version, cluster = config.get("SLURM_VERSION", "?"), config.get("ClusterName", "?")
    if parse_version(config) < (22, 5):
        what = f"Slurm {version}, cluster {cluster}: older than the tested versions"
        return warning(
            "slurm",
            what,
            f"check that a job survives with `clusterrun rehearse`; tested: {', '.join(TESTED)}",
        )
    return ok("slurm", f"Slurm {version}, cluster {cluster}")


def _check_requeue(config: Config) -> Finding:
    if config.get("JobRequeue") == "0":
        return ok(
            "requeue",
            "JobRequeue=0: only jobs with --requeue are requeued, and runs use it",
        )
    return ok("requeue", "JobRequeue=1: a job may be requeued")


def requeue_delay(config: Config) -> tuple[int, str]:
    """Return the minimum wait of a requeued job in seconds, and the key that defines it."""
    value = listed_value(config.get("SchedulerParameters", ""), "requeue_delay")
    if value and value.isdecimal() and parse_version(config) >= (25, 11):
        return int(value), "SchedulerParameters=requeue_delay"
    expire = listed_value(config.get("AuthInfo", ""), "cred_expire")
    if expire and expire.isdecimal():
        return int(expire), "AuthInfo=cred_expire"
    return _CRED_EXPIRE, "cred_expire's default"


def _check_requeue_delay(config: Config) -> Finding:
    seconds, key = requeue_delay(config)
    faster = (
        "`requeue: {by: successor}` restarts in a new job, without this delay"
        if seconds > 30
        else ""
    )
    return ok("requeue delay", f"a requeued job waits at least {seconds} s ({key})", faster)


def _check_expedited_requeue(config: Config) -> Finding:
    on = listed_value(config.get("SlurmctldParameters", ""), "enable_expedited_requeue") is not None
    if on and parse_version(config) >= (25, 11):
        return ok(
            "expedited requeue",
            "enable_expedited_requeue is set: sbatch accepts --requeue=expedite",
        )
    why = "not set" if parse_version(config) >= (25, 11) else "requires Slurm 25.11"
    return ok("expedited requeue", f"enable_expedited_requeue: {why}")


def _check_preemption(config: Config) -> Finding:
    if config.get("PreemptType", "preempt/none") == "preempt/none":
        return ok("preemption", "PreemptType=preempt/none: no job preempts another")
    kind, mode = config["PreemptType"], config.get("PreemptMode", "OFF")
    settings = f"PreemptType={kind}, PreemptMode={mode}"
    if listed_value(config.get("SlurmctldParameters", ""), "preempt_send_user_signal") is not None:
        return ok(
            "preemption", f"{settings}; preempt_send_user_signal: the warning is the job's --signal"
        )
    return ok(
        "preemption",
        f"{settings}; the warning is TERM to the steps (preempt_send_user_signal is not set)",
    )


def _check_kill_wait(config: Config) -> Finding:
    seconds = seconds_in(config.get("KillWait", ""))
    what = (
        f"KillWait={config.get('KillWait', '?')}: between TERM and KILL at `scontrol requeue`, "
        "scancel and time limits"
    )
    if seconds is not None and seconds < _LITTLE_KILL_WAIT:
        return warning(
            "kill wait", what, "keep checkpoint.every short: there is little time to save"
        )
    return ok("kill wait", what)


def _check_limits(config: Config) -> Finding:
    keys = ("MaxArraySize", "MaxJobCount", "MinJobAge")
    return ok("limits", ", ".join(f"{key}={config.get(key, '?')}" for key in keys))


def _check_process_tracking(config: Config) -> Finding:
    kind = config.get("ProctrackType", "?")
    if kind == "proctrack/cgroup":
        all_processes = "; SignalChildrenProcesses: all processes receive them" * _is_yes(
            config.get("SignalChildrenProcesses")
        )
        what = (
            "processes end with their task; signals reach only the task, and the job script "
            "forwards them"
        )
        return ok("process tracking", f"{kind}: {what}{all_processes}")
    what = f"{kind}: a process that leaves its parent can outlive its job and keep memory and GPUs"
    return warning(
        "process tracking",
        what,
        "ask your administrators for proctrack/cgroup, which slurm.conf(5) recommends",
    )


def _is_yes(value: str | None) -> bool:
    return (value or "").lower() == "yes"


def _check_accounting(site: Site, config: Config) -> list[Finding]:
    if site.accounting.code == 0:
        return [ok("accounting", "sacct works")]
    words = site.accounting.err.splitlines()[-1] if site.accounting.err else "no message"
    age = config.get("MinJobAge", "300 sec")
    if "disabled" in site.accounting.err or config.get("AccountingStorageType", "").endswith(
        "/none"
    ):
        what = f"accounting is off: Slurm forgets a job {age} after its end"
        return [
            warning(
                "accounting",
                what,
                "no action needed: `status` reads the end of a run from its folder",
            )
        ]
    what = f"accounting is configured, but sacct fails: {words}"
    fix = "report to your administrators that slurmdbd is not responding; runs continue without it"
    return [problem("accounting", what, fix)]


def _check_pyxis(srun: CommandResult) -> Finding:
    if srun.code:
        return warning(
            "pyxis",
            f"`srun --help` fails: {srun.err.splitlines()[-1] if srun.err else 'no message'}",
            "try it on a login node",
        )
    has = "--container-image" in srun.out
    return ok(
        "pyxis",
        "srun accepts --container-image" if has else "srun has no --container-image (no pyxis)",
    )
