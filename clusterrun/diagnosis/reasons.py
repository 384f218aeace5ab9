"""Slurm's reasons for a pending job, as a table.

`{job}`, `{partition}` and `{run}` are placeholders. Source: squeue(1), JOB REASON CODES;
slurm.conf(5), sacctmgr(1).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """What a reason means, and what the user can do."""

    meaning: str
    fix: str
    temporary: bool = True
    """Whether the job can start without any action."""


REASONS = {
    "None": Reason("Slurm has not considered the job yet", "check again in a minute"),
    "SchedDefer": Reason(
        "Slurm considers jobs later (SchedulerParameters=defer)", "check again in a minute"
    ),
    "Resources": Reason(
        "the job is next in its priority, and waits for free nodes, CPUs, GPUs and memory",
        "wait; fewer nodes or a shorter `slurm.time` fit into a gap sooner",
    ),
    "Priority": Reason(
        "jobs with a higher priority are ahead of it",
        "wait; a shorter `slurm.time` lets backfill schedule it into a gap",
    ),
    "Dependency": Reason(
        "a job that it depends on (`dependency`) has not ended", "wait for that job"
    ),
    "DependencyNeverSatisfied": Reason(
        "the job that it depends on (`dependency`) did not end as required, so it can never start",
        "run `clusterrun cancel {run}` and submit again without that dependency, or "
        "`scontrol update JobId={job} Dependency=`",
        temporary=False,
    ),
    "BeginTime": Reason(
        "its earliest start time is in the future",
        "wait for that time, or run `scontrol update JobId={job} StartTime=now`",
    ),
    "JobHeldUser": Reason(
        "it is held by its user (`sbatch --hold` or `scontrol hold`)",
        "release with `scontrol release {job}`",
        temporary=False,
    ),
    "JobHeldAdmin": Reason(
        "it is held by an administrator or by Slurm (priority 0); only an administrator can "
        "release it",
        "ask your administrators",
        temporary=False,
    ),
    "JobHoldMaxRequeue": Reason(
        "Slurm has restarted it too often (slurm.conf's MaxBatchRequeue, 5) and holds it",
        "release with `scontrol release {job}`; if that is refused, ask your administrators, "
        "or run `clusterrun cancel {run}` and `clusterrun resume {run}`",
        temporary=False,
    ),
    "Licenses": Reason(
        "it waits for licenses (`licenses`) that other jobs use",
        "wait; `scontrol show licenses` shows their use",
    ),
    "Reservation": Reason(
        "its reservation has not started",
        "wait; `scontrol show reservation` shows the start time",
    ),
    "ReservationDeleted": Reason(
        "its reservation was deleted",
        "run `scontrol update JobId={job} ReservationName=`",
        temporary=False,
    ),
    "ReservationInvalid": Reason(
        "its reservation is not valid",
        "run `scontrol update JobId={job} ReservationName=`",
        temporary=False,
    ),
    "RequiresReservation": Reason(
        "the partition {partition} only accepts jobs in a reservation",
        "name the reservation: `--set slurm.reservation=NAME`",
        temporary=False,
    ),
    "ReqNodeNotAvail": Reason(
        "nodes that it needs are not available: down, drained, or reserved",
        "check `sinfo -R` for the cause; a request without named nodes (`nodelist`) can "
        "start elsewhere",
    ),
    "NodeDown": Reason(
        "a node that it needs is down",
        "name other nodes or none (`nodelist`); `sinfo -R` shows the cause",
        temporary=False,
    ),
    "BadConstraints": Reason(
        "no node has what it requests: constraint, memory, GPUs or named nodes",
        "compare with `sinfo -N -o '%N %f %G %m %c'`, then cancel it and submit a request "
        "that fits",
        temporary=False,
    ),
    "PartitionDown": Reason(
        "the partition {partition} is down: it starts no jobs",
        "wait until it is up, or use another partition",
    ),
    "PartitionInactive": Reason(
        "the partition {partition} is inactive: it accepts and starts no jobs",
        "use another partition",
    ),
    "PartitionNodeLimit": Reason(
        "it requests more or fewer nodes than the partition {partition} allows or has up",
        "change `slurm.nodes`, or use another partition",
        temporary=False,
    ),
    "PartitionMinNodes": Reason(
        "it requests fewer nodes than the partition {partition} requires (MinNodes)",
        "request more nodes, or use another partition",
        temporary=False,
    ),
    "PartitionMaxNodes": Reason(
        "it requests more nodes than the partition {partition} allows (MaxNodes)",
        "request fewer nodes, or use another partition",
        temporary=False,
    ),
    "PartitionTimeLimit": Reason(
        "its time limit exceeds the limit of the partition {partition}",
        "use a shorter `slurm.time`: the run continues after the limit by itself; for the "
        "pending job, run `scontrol update JobId={job} TimeLimit=...`",
        temporary=False,
    ),
    "PartitionConfig": Reason(
        "the partition {partition} does not allow this request (scontrol show partition)",
        "change the request, or use another partition",
        temporary=False,
    ),
    "AccountNotAllowed": Reason(
        "its account may not use the partition {partition}",
        "use another `slurm.account` or `slurm.partition`",
        temporary=False,
    ),
    "QOSNotAllowed": Reason(
        "its QOS may not be used in the partition {partition}",
        "use another `slurm.qos` or `slurm.partition`",
        temporary=False,
    ),
    "InvalidAccount": Reason(
        "its account is not valid",
        "use another `slurm.account`: see `sacctmgr show associations user=$USER`",
        temporary=False,
    ),
    "InvalidQOS": Reason(
        "its QOS is not valid",
        "use another `slurm.qos`: see `sacctmgr show associations user=$USER format=account,qos`",
        temporary=False,
    ),
    "AssociationJobLimit": Reason(
        "your account has reached its limit of jobs", "wait until one of them ends"
    ),
    "AssociationResourceLimit": Reason(
        "your account has reached a limit on its resources",
        "wait until one of its jobs ends",
    ),
    "AssociationTimeLimit": Reason("your account has used up its time", "ask your administrators"),
    "QOSJobLimit": Reason("the QOS has reached its limit of jobs", "wait until one of them ends"),
    "QOSResourceLimit": Reason(
        "the QOS has reached a limit on its resources", "wait until one of its jobs ends"
    ),
    "QOSTimeLimit": Reason("the QOS has used up its time", "ask your administrators"),
    "QOSUsageThreshold": Reason(
        "your fair share is below the threshold of the QOS (UsageThreshold)",
        "wait until your share has recovered, or use another `slurm.qos`",
    ),
    "JobArrayTaskLimit": Reason(
        "the array has reached its limit of running tasks (`%N`)",
        "wait, or run `scontrol update JobId={job} ArrayTaskThrottle=N`",
    ),
    "JobLaunchFailure": Reason(
        "Slurm could not launch it because of a file system, a prolog or a node",
        "`sinfo -R` may show the node; release with `scontrol release {job}` if it is held",
        temporary=False,
    ),
    "Prolog": Reason("the site's prolog (PrologSlurmctld) is still running", "wait"),
    "Cleaning": Reason(
        "it is being requeued, and Slurm is still cleaning up its previous start", "wait"
    ),
    "FrontEndDown": Reason("no front end node is up", "ask your administrators"),
    "SystemFailure": Reason(
        "Slurm, a file system or the network failed", "ask your administrators", temporary=False
    ),
    "InactiveLimit": Reason(
        "it reached the system's InactiveLimit", "ask your administrators", temporary=False
    ),
    "NonZeroExitCode": Reason(
        "its previous start exited with a nonzero exit code",
        "see `clusterrun logs {run}`",
        temporary=False,
    ),
    "TimeLimit": Reason(
        "its previous start reached the time limit", "see `clusterrun logs {run}`", temporary=False
    ),
    "OutOfMemory": Reason(
        "its previous start ran out of memory", "increase `slurm.mem`", temporary=False
    ),
    "DeadLine": Reason(
        "it cannot end before its deadline (`deadline`)", "change the `deadline`", temporary=False
    ),
    "MaxMemPerLimit": Reason(
        "it requests more memory per CPU or node than allowed",
        "request less `slurm.mem`",
        temporary=False,
    ),
    "FedJobLock": Reason("another cluster of the federation is scheduling it", "wait"),
    "BurstBufferResources": Reason("it waits for space in the burst buffer", "wait"),
    "BurstBufferStageIn": Reason("its data is being copied into the burst buffer", "wait"),
    "BurstBufferOperation": Reason(
        "a burst buffer operation failed", "ask your administrators", temporary=False
    ),
    "AccountingPolicy": Reason(
        "an accounting limit blocks it",
        "see `sacctmgr show associations user=$USER` and `sacctmgr show qos`",
    ),
}

# Reasons that squeue shows as a sentence, by words that identify them.
SENTENCES = {
    "launch failure limit exceeded": Reason(
        "Slurm holds it because it ended during the grace time of a preemption five times "
        "(MaxBatchRequeue), which counts as failed launches; a user may not release that hold",
        "ask your administrators to release job {job}, or run `clusterrun cancel {run}` and "
        "`clusterrun resume {run}`, which continues in a new job from the last checkpoint",
        temporary=False,
    ),
    "launch failed requeued held": Reason(
        "Slurm could not launch it because a node's prolog or file system failed, and has "
        "requeued and held it",
        "release with `scontrol release {job}`; if that is refused, ask your administrators; "
        "`sinfo -R` shows the drained node",
        temporary=False,
    ),
    "user env retrieval failed requeued held": Reason(
        "Slurm could not get the user's environment on the node (`--get-user-env`), and has "
        "requeued and held it",
        "release with `scontrol release {job}`; if it happens again, ask your administrators",
        temporary=False,
    ),
    "job requeued in held state": Reason(
        "it was requeued and held (`scontrol requeuehold`)",
        "release with `scontrol release {job}`",
        temporary=False,
    ),
    "Nodes required for job are DOWN": Reason(
        "too few nodes are available: they are down, drained, or reserved for jobs in "
        "partitions with a higher priority",
        "wait until they are back (`sinfo -R` shows the causes), or request fewer nodes",
    ),
    "ReqNodeNotAvail, Reserved for maintenance": Reason(
        "it would not end before a maintenance that has reserved the nodes",
        "use a `slurm.time` that ends before the maintenance to start at once; the run "
        "continues afterwards by itself. `scontrol show reservation` shows the time",
    ),
    "ReqNodeNotAvail, May be reserved": Reason(
        "nodes that it needs are kept for another job, or for a reservation that starts "
        "before it would end",
        "wait; for a reservation, a job with a `slurm.time` that ends before its start can "
        "start at once",
    ),
    "ReqNodeNotAvail, Reserved for other": Reason(
        "the nodes that it needs are in a reservation",
        "wait; `scontrol show reservation` shows the time",
    ),
}

# The name of a limit consists of its owner, its aggregate and its resource.
RESOURCES = {
    "Cpu": "CPUs",
    "CPU": "CPUs",
    "Mem": "memory",
    "Memory": "memory",
    "Node": "nodes",
    "GRES": "GPUs (GRES)",
    "License": "licenses",
    "BB": "burst buffer",
    "Energy": "energy",
    "Billing": "billing units",
    "Unknown": "a resource",
    "Jobs": "running jobs",
    "Job": "running jobs",
    "SubmitJobs": "queued and running jobs",
    "SubmitJob": "queued and running jobs",
    "Wall": "wall time",
    "WallDuration": "wall time",
}
SMALLER = "cancel it and submit a smaller request, or ask your administrators for a higher limit"
